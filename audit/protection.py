"""Write the SQL of the triggers and functions by which the database itself protects the log.

All triggers are ENABLE ALWAYS, so that `session_replication_role = replica` does not put them to sleep. Tables are named
with their schema: an unqualified name would let a temporary table of the same name stand in for the log.
"""

import re
from collections.abc import Sequence

from audit.database import RETENTION
from audit.keeping_rules import FUNCTIONS as KEEPING

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")

# A change of this text needs a migration that runs it again.
# One parse of the payload fills every column, so that no writer can make a column say what the payload does not.
# `search_path` is pinned wherever a function runs with its owner's rights.
FUNCTIONS = """
CREATE OR REPLACE FUNCTION audit_project() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    envelope jsonb := convert_from(NEW.payload, 'UTF8')::jsonb;
BEGIN
    -- In the order of the table's columns, at once: an assignment to each costs more.
    RETURN ROW(
        NEW.id, (envelope ->> 'uid')::uuid, (envelope ->> 'time')::timestamptz, clock_timestamp(), pg_current_xact_id(),
        envelope -> 'actor' ->> 'type', envelope -> 'actor' ->> 'id', envelope ->> 'action',
        envelope -> 'target' ->> 'type', envelope -> 'target' ->> 'id', envelope ->> 'environment',
        envelope ->> 'outcome', envelope -> 'request' ->> 'id', NEW.payload
    )::public.audit_event;
END $$;

CREATE OR REPLACE FUNCTION audit_queue() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO public.audit_pending (event_id) SELECT id FROM arrived;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION audit_private_belongs() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    written xid8;
BEGIN
    -- Found by `id` alone: the planner could as well read every event of this transaction to find one, for each of them.
    SELECT event.txid INTO written FROM public.audit_event event WHERE event.id = NEW.event_id;
    IF written IS DISTINCT FROM pg_current_xact_id() THEN
        RAISE EXCEPTION 'a private part belongs to an event of the same transaction'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION audit_record(told bytea, salt bytea, hidden bytea) RETURNS void LANGUAGE plpgsql AS $$
-- With the rights of whoever calls it. A function's statements are planned once a session, those of a client each time.
DECLARE
    recorded bigint;
BEGIN
    INSERT INTO public.audit_event (payload) VALUES (told) RETURNING id INTO recorded;
    INSERT INTO public.audit_private (event_id, salt, body) VALUES (recorded, salt, hidden);
END $$;

CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE OR REPLACE FUNCTION audit_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    row_id text;
BEGIN
    -- Nearly every table has an `id`; the way of the others writes the whole row out to find one column.
    IF TG_ARGV[1] <> 'id' THEN
        row_id := CASE WHEN TG_OP = 'DELETE' THEN to_jsonb(OLD) ->> TG_ARGV[1] ELSE to_jsonb(NEW) ->> TG_ARGV[1] END;
    ELSIF TG_OP = 'DELETE' THEN
        row_id := OLD.id;
    ELSE
        row_id := NEW.id;
    END IF;
    -- `|| ''` keeps the planner off the index by target: a fresh table's plan read a thing's whole history at each COMMIT.
    PERFORM FROM public.audit_event event
    WHERE event.txid = pg_current_xact_id() AND event.target_id = row_id AND event.target_type || '' = TG_ARGV[0];
    IF NOT FOUND THEN
        RAISE EXCEPTION '% of % % without an audit event on % %', TG_OP, TG_TABLE_NAME, row_id, TG_ARGV[0], row_id
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
"""
FUNCTION_NAMES = (
    "audit_prune(bigint)",
    "audit_erase_private(uuid)",
    "audit_expire_private(uuid)",
    "audit_guard()",
    "audit_keep()",
    "audit_hold_rules()",
    "audit_retention_rules()",
    "audit_keeps_from()",
    "audit_keeps_private_from()",
    "audit_prunable(bigint, bigint)",
    "audit_held(bigint, bigint)",
    "audit_refuse()",
    "audit_record(bytea, bytea, bytea)",
    "audit_private_belongs()",
    "audit_queue()",
    "audit_project()",
)

# The new owner of a function needs, at the moment of the change, the right to create in its schema.
INSTALL = f"""
{FUNCTIONS}
{KEEPING}
REVOKE ALL ON FUNCTION audit_prune(bigint), audit_erase_private(uuid), audit_expire_private(uuid) FROM PUBLIC;
GRANT CREATE ON SCHEMA public TO {RETENTION};
ALTER FUNCTION audit_prune(bigint) OWNER TO {RETENTION};
REVOKE CREATE ON SCHEMA public FROM {RETENTION};

ALTER TABLE audit_event ALTER COLUMN id SET GENERATED ALWAYS;
CREATE TRIGGER audit_project BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION audit_project();
CREATE TRIGGER audit_queue AFTER INSERT ON audit_event
    REFERENCING NEW TABLE AS arrived FOR EACH STATEMENT EXECUTE FUNCTION audit_queue();
CREATE TRIGGER audit_private_belongs AFTER INSERT ON audit_private
    FOR EACH ROW EXECUTE FUNCTION audit_private_belongs();
CREATE TRIGGER audit_hold_rules BEFORE INSERT OR UPDATE OR DELETE ON audit_hold
    FOR EACH ROW EXECUTE FUNCTION audit_hold_rules();
CREATE TRIGGER audit_retention_rules BEFORE INSERT OR UPDATE OR DELETE ON audit_retention
    FOR EACH ROW EXECUTE FUNCTION audit_retention_rules();
ALTER TABLE audit_hold ENABLE ALWAYS TRIGGER audit_hold_rules;
ALTER TABLE audit_retention ENABLE ALWAYS TRIGGER audit_retention_rules;
ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_project;
ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_queue;
ALTER TABLE audit_private ENABLE ALWAYS TRIGGER audit_private_belongs;
"""

REMOVE = """
DROP TRIGGER audit_retention_rules ON audit_retention;
DROP TRIGGER audit_hold_rules ON audit_hold;
DROP TRIGGER audit_private_belongs ON audit_private;
DROP TRIGGER audit_queue ON audit_event;
DROP TRIGGER audit_project ON audit_event;
ALTER TABLE audit_event ALTER COLUMN id SET GENERATED BY DEFAULT;
""" + "\n".join(f"DROP FUNCTION {name};" for name in FUNCTION_NAMES)


def append_only_sql(table: str, *, event_column: str | None = None) -> str:
    """Return the triggers that refuse update, delete and truncate.

    With `event_column`, a row of the log itself: retention and erasure may delete what the rules of audit_keep allow.
    """
    _check_names(table)
    function = f"audit_keep('{event_column}')" if event_column else "audit_refuse()"
    return f"""
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON public.{table}
    FOR EACH ROW EXECUTE FUNCTION public.{function};
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON public.{table}
    FOR EACH STATEMENT EXECUTE FUNCTION public.audit_refuse();
ALTER TABLE public.{table} ENABLE ALWAYS TRIGGER audit_append_only;
ALTER TABLE public.{table} ENABLE ALWAYS TRIGGER audit_no_truncate;
"""


def drop_append_only_sql(table: str) -> str:
    """Return the way back from append_only_sql."""
    _check_names(table)
    return "".join(
        f"DROP TRIGGER IF EXISTS {name} ON public.{table};\n" for name in ("audit_append_only", "audit_no_truncate")
    )


def guard_sql(table: str, target_type: str, *, columns: Sequence[str], pk: str, schema: str = "public") -> str:
    """Return the deferred triggers that look for the event at COMMIT; an update that changes no named column queues nothing."""
    _check_names(table, pk, schema, *columns)
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", target_type):
        raise ValueError(f"{target_type!r} is no target type")
    old = ", ".join(f'OLD."{each}"' for each in columns)
    new = ", ".join(f'NEW."{each}"' for each in columns)
    run = f"EXECUTE FUNCTION public.audit_guard('{target_type}', '{pk}', '{','.join(columns)}')"
    place = f'{schema}."{table}"'
    return f"""
{drop_guard_sql(table, schema=schema)}
CREATE CONSTRAINT TRIGGER audit_guard_rows AFTER INSERT OR DELETE ON {place}
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW {run};
CREATE CONSTRAINT TRIGGER audit_guard_columns AFTER UPDATE ON {place}
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (ROW({old}) IS DISTINCT FROM ROW({new})) {run};
CREATE TRIGGER audit_guard_truncate BEFORE TRUNCATE ON {place}
    FOR EACH STATEMENT EXECUTE FUNCTION public.audit_refuse();
ALTER TABLE {place} ENABLE ALWAYS TRIGGER audit_guard_rows;
ALTER TABLE {place} ENABLE ALWAYS TRIGGER audit_guard_columns;
ALTER TABLE {place} ENABLE ALWAYS TRIGGER audit_guard_truncate;
"""


def drop_guard_sql(table: str, *, schema: str = "public") -> str:
    """Return the way back from guard_sql."""
    _check_names(table, schema)
    return "".join(
        f'DROP TRIGGER IF EXISTS {name} ON {schema}."{table}";\n'
        for name in ("audit_guard_rows", "audit_guard_columns", "audit_guard_truncate")
    )


def _check_names(*names: str) -> None:
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no plain lower-case name")
