"""Write the SQL of the triggers and functions by which the database itself protects the log.

All triggers are ENABLE ALWAYS, so that `session_replication_role = replica` does not put them to sleep. Tables are named
with their schema: an unqualified name would let a temporary table of the same name stand in for the log.
"""

import re
from collections.abc import Sequence

from audit.database import RETENTION

PRUNE_STEP = 65_536
"""Leaves in a complete subtree of level 16: what is pruned must be a multiple, so that its nodes still prove the rest."""

HOLD_LOCK = 0x6B6579_686F6C64  # "keyhold": an advisory lock between placing a hold and deleting
RETENTION_LOCK = 0x6B6579_6B656570  # "keykeep": between two settings of the period

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")

# A change of this text needs a migration that runs it again.
# One parse of the payload fills every column, so that no writer can make a column say what the payload does not.
# `search_path` is pinned wherever a function runs with its owner's rights.
FUNCTIONS = """
CREATE OR REPLACE FUNCTION audit_project() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    envelope jsonb := convert_from(NEW.payload, 'UTF8')::jsonb;
BEGIN
    NEW.uid := (envelope ->> 'uid')::uuid;
    NEW.occurred_at := (envelope ->> 'time')::timestamptz;
    NEW.recorded_at := clock_timestamp();
    NEW.txid := pg_current_xact_id();
    NEW.actor_type := envelope #>> '{actor,type}';
    NEW.actor_id := envelope #>> '{actor,id}';
    NEW.action := envelope ->> 'action';
    NEW.target_type := envelope #>> '{target,type}';
    NEW.target_id := envelope #>> '{target,id}';
    NEW.environment := envelope ->> 'environment';
    NEW.outcome := envelope ->> 'outcome';
    NEW.request_id := envelope #>> '{request,id}';
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION audit_queue() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO public.audit_pending (event_id) SELECT id FROM arrived;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION audit_private_belongs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM joined LEFT JOIN public.audit_event event ON event.id = joined.event_id
        WHERE event.txid IS DISTINCT FROM pg_current_xact_id()
    ) THEN
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

CREATE OR REPLACE FUNCTION audit_held(first bigint, upto bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM public.audit_hold
        WHERE lifted_at IS NULL AND int8range(from_leaf, upto_leaf) && int8range(first, upto)
    )
$$;

CREATE OR REPLACE FUNCTION audit_prunable(first bigint, upto bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce((
            SELECT range_agg(int8range(from_leaf, upto_leaf)) @> int8range(first, upto)
            FROM public.audit_archive WHERE verified_at IS NOT NULL
        ), false)
        AND NOT public.audit_held(first, upto)
$$;

CREATE OR REPLACE FUNCTION audit_keeps_from() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    -- Without a period everything is kept, so nothing is older than this.
    SELECT coalesce((
        SELECT now() - make_interval(days => keep_days) FROM public.audit_retention
        WHERE outcome = 'accepted' ORDER BY decided_at DESC, id DESC LIMIT 1
    ), '-infinity')
$$;

CREATE OR REPLACE FUNCTION audit_keeps_private_from() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT coalesce((
        SELECT now() - make_interval(days => private_days) FROM public.audit_retention
        WHERE outcome = 'accepted' ORDER BY decided_at DESC, id DESC LIMIT 1
    ), '-infinity')
$$;

CREATE OR REPLACE FUNCTION audit_hold_rules() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.lifted_at IS NULL THEN
        -- Whoever deletes holds this lock in share mode until its commit: a hold waits for it, or is seen by it.
        PERFORM pg_advisory_xact_lock(HOLD_LOCK);
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.lifted_at IS NULL AND NEW.lifted_at IS NOT NULL
        AND to_jsonb(NEW) - '{lifted_at,lifted_by}'::text[] = to_jsonb(OLD) - '{lifted_at,lifted_by}'::text[]
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a hold is placed, and lifted once: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE OR REPLACE FUNCTION audit_retention_rules() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    current public.audit_retention;
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM pg_advisory_xact_lock(RETENTION_LOCK);
        SELECT * INTO current FROM public.audit_retention
        WHERE outcome = 'accepted' ORDER BY decided_at DESC, id DESC LIMIT 1;
        IF NEW.outcome = '' OR (
            NEW.outcome = 'accepted'
            AND (NEW.keep_days IS NULL OR NEW.keep_days >= current.keep_days)
            AND (NEW.private_days IS NULL OR NEW.private_days >= current.private_days)
        ) THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'a shorter period needs a second administrator' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.outcome = '' AND (NEW.outcome = 'refused' OR NEW.decided_by <> OLD.proposed_by)
        AND to_jsonb(NEW) - '{decided_at,decided_by,outcome}'::text[]
            = to_jsonb(OLD) - '{decided_at,decided_by,outcome}'::text[]
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a period is proposed, and decided once, by another: % refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE OR REPLACE FUNCTION audit_keep() RETURNS trigger LANGUAGE plpgsql AS $$
-- The rules stand here, and not only in the functions that delete: a right to delete is no right to delete this row.
DECLARE
    event bigint;
    place bigint;
    written timestamptz;
BEGIN
    IF TG_OP = 'DELETE' THEN
        event := (to_jsonb(OLD) ->> TG_ARGV[0])::bigint;
        place := (SELECT index FROM public.audit_leaf WHERE event_id = event);
        written := (SELECT recorded_at FROM public.audit_event WHERE id = event);
        IF current_user = 'RETENTION_ROLE' AND place IS NOT NULL
            AND (written IS NULL OR written < public.audit_keeps_from())
            AND public.audit_prunable(place, place + 1)
            AND EXISTS (
                SELECT FROM public.audit_event pruned
                WHERE pruned.txid = pg_current_xact_id() AND pruned.action = 'audit.log-pruned'
            )
        THEN
            RETURN OLD;
        END IF;
        -- What has no place yet is held by holds without an end.
        IF TG_TABLE_NAME = 'audit_private'
            AND NOT public.audit_held(coalesce(place, LAST_LEAF), coalesce(place, LAST_LEAF) + 1)
            AND (
                EXISTS (
                    SELECT FROM public.audit_event erasure, public.audit_event erased
                    WHERE erased.id = event
                        AND erasure.txid = pg_current_xact_id()
                        AND erasure.action = 'pii.erased'
                        AND convert_from(erasure.payload, 'UTF8')::jsonb #> '{details,events}' ? erased.uid::text
                )
                OR written < public.audit_keeps_private_from() AND EXISTS (
                    SELECT FROM public.audit_event expiry
                    WHERE expiry.txid = pg_current_xact_id()
                        AND expiry.action = 'pii.expired'
                        AND place >= (convert_from(expiry.payload, 'UTF8')::jsonb #>> '{details,from_leaf}')::bigint
                        AND place < (convert_from(expiry.payload, 'UTF8')::jsonb #>> '{details,upto_leaf}')::bigint
                )
            )
        THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE OR REPLACE FUNCTION audit_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    row_id text := CASE WHEN TG_OP = 'DELETE' THEN to_jsonb(OLD) ->> TG_ARGV[1] ELSE to_jsonb(NEW) ->> TG_ARGV[1] END;
BEGIN
    IF NOT EXISTS (
        -- `|| ''` keeps the planner off the index by target: a fresh table's plan read a thing's whole history at each COMMIT.
        SELECT FROM public.audit_event event
        WHERE event.txid = pg_current_xact_id() AND event.target_id = row_id AND event.target_type || '' = TG_ARGV[0]
    ) THEN
        RAISE EXCEPTION '% of % % without an audit event on % %', TG_OP, TG_TABLE_NAME, row_id, TG_ARGV[0], row_id
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION audit_erase_private(erasure uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    named uuid[];
    erased bigint;
BEGIN
    SELECT array(SELECT jsonb_array_elements_text(convert_from(payload, 'UTF8')::jsonb #> '{details,events}')::uuid)
    INTO named
    FROM public.audit_event
    WHERE uid = erasure AND action = 'pii.erased' AND txid = pg_current_xact_id();
    IF named IS NULL THEN
        RAISE EXCEPTION 'an erasure needs its pii.erased event in the same transaction'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(HOLD_LOCK);
    IF EXISTS (
        SELECT FROM public.audit_event event LEFT JOIN public.audit_leaf leaf ON leaf.event_id = event.id
        WHERE event.uid = ANY (named)
            AND public.audit_held(coalesce(leaf.index, LAST_LEAF), coalesce(leaf.index, LAST_LEAF) + 1)
    ) THEN
        RAISE EXCEPTION 'some of these events are held' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    DELETE FROM public.audit_private private USING public.audit_event event
    WHERE private.event_id = event.id AND event.uid = ANY (named);
    GET DIAGNOSTICS erased = ROW_COUNT;
    RETURN erased;
END $$;

CREATE OR REPLACE FUNCTION audit_expire_private(expiry uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    details jsonb := (
        SELECT convert_from(payload, 'UTF8')::jsonb -> 'details' FROM public.audit_event
        WHERE uid = expiry AND action = 'pii.expired' AND txid = pg_current_xact_id()
    );
    first bigint := (details ->> 'from_leaf')::bigint;
    upto bigint := (details ->> 'upto_leaf')::bigint;
    expired bigint;
BEGIN
    IF first IS NULL OR upto IS NULL THEN
        RAISE EXCEPTION 'an expiry needs its pii.expired event in the same transaction'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(HOLD_LOCK);
    IF public.audit_held(first, upto) THEN
        RAISE EXCEPTION 'some of these leaves are held' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    DELETE FROM public.audit_private private USING public.audit_leaf leaf
    WHERE private.event_id = leaf.event_id AND leaf.index >= first AND leaf.index < upto;
    GET DIAGNOSTICS expired = ROW_COUNT;
    RETURN expired;
END $$;

CREATE OR REPLACE FUNCTION audit_prune(upto bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    first bigint := (SELECT min(index) FROM public.audit_leaf);
    pruned bigint;
BEGIN
    IF upto <= 0 OR upto % PRUNE_STEP <> 0 THEN
        RAISE EXCEPTION 'prune whole subtrees: upto must be a multiple of PRUNE_STEP'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT EXISTS (SELECT FROM public.audit_checkpoint WHERE size >= upto) THEN
        RAISE EXCEPTION 'no checkpoint covers % leaves', upto USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(HOLD_LOCK);
    IF EXISTS (
        SELECT FROM public.audit_leaf leaf JOIN public.audit_event event ON event.id = leaf.event_id
        WHERE leaf.index < upto AND event.recorded_at >= public.audit_keeps_from()
    ) THEN
        RAISE EXCEPTION 'leaves before % are younger than the log keeps events', upto
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF NOT public.audit_prunable(coalesce(first, upto), upto) THEN
        RAISE EXCEPTION 'leaves before % are not all archived and verified, or are held', upto
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    DELETE FROM public.audit_private private USING public.audit_leaf leaf
    WHERE private.event_id = leaf.event_id AND leaf.index < upto;
    DELETE FROM public.audit_event event USING public.audit_leaf leaf
    WHERE event.id = leaf.event_id AND leaf.index < upto;
    GET DIAGNOSTICS pruned = ROW_COUNT;
    DELETE FROM public.audit_leaf WHERE index < upto;
    RETURN pruned;
END $$;
"""
for _name, _value in (
    ("RETENTION_ROLE", RETENTION),
    ("PRUNE_STEP", PRUNE_STEP),
    ("HOLD_LOCK", HOLD_LOCK),
    ("RETENTION_LOCK", RETENTION_LOCK),
    ("LAST_LEAF", 2**53 - 2),
):
    FUNCTIONS = FUNCTIONS.replace(_name, str(_value))

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
REVOKE ALL ON FUNCTION audit_prune(bigint), audit_erase_private(uuid), audit_expire_private(uuid) FROM PUBLIC;
GRANT CREATE ON SCHEMA public TO {RETENTION};
ALTER FUNCTION audit_prune(bigint) OWNER TO {RETENTION};
REVOKE CREATE ON SCHEMA public FROM {RETENTION};

ALTER TABLE audit_event ALTER COLUMN id SET GENERATED ALWAYS;
CREATE TRIGGER audit_project BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION audit_project();
CREATE TRIGGER audit_queue AFTER INSERT ON audit_event
    REFERENCING NEW TABLE AS arrived FOR EACH STATEMENT EXECUTE FUNCTION audit_queue();
CREATE TRIGGER audit_private_belongs AFTER INSERT ON audit_private
    REFERENCING NEW TABLE AS joined FOR EACH STATEMENT EXECUTE FUNCTION audit_private_belongs();
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
