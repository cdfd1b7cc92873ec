"""Name the database's roles, create them, and give each what it needs and nothing else.

Each floor declares what its tables grant: table -> role -> privileges in PostgreSQL's words, where a privilege may name
columns. `apply_grants` takes everything away first, so that a right that is no longer declared is gone.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias

OWNER = "keystead_owner"
APPLICATION = "keystead_application"
VERIFIER = "keystead_verifier"
SEALER = "keystead_sealer"
AUDITOR = "keystead_auditor"
RETENTION = "keystead_retention"

ROLES: Mapping[str, str] = {
    OWNER: "owns the schema; migrations only",
    APPLICATION: "web and workers",
    VERIFIER: "the verification door: reads what it needs, writes its own lease and usage",
    SEALER: "gives events their order: empties the queue, adds leaves, nodes, checkpoints",
    AUDITOR: "reads",
    RETENTION: "archives; owns audit_prune, the only way to delete archived events",
}

Grants: TypeAlias = Mapping[str, Mapping[str, Sequence[str]]]

_READERS = {APPLICATION: ("SELECT",), SEALER: ("SELECT",), AUDITOR: ("SELECT",), RETENTION: ("SELECT",)}
# No right on id, recorded_at, txid or any projected column: a trigger fills them from the payload.
_WRITE_EVENT = ("SELECT", "INSERT (payload)")
_WRITE_PRIVATE = ("SELECT", "INSERT (event_id, salt, body)")
_SEALED = _READERS | {SEALER: ("SELECT", "INSERT")}

GRANTS: Grants = {
    "audit_event": _READERS
    | {
        APPLICATION: _WRITE_EVENT,
        SEALER: _WRITE_EVENT,
        RETENTION: (*_WRITE_EVENT, "DELETE"),
    },
    "audit_private": _READERS
    | {
        APPLICATION: _WRITE_PRIVATE,
        SEALER: ("INSERT (event_id, salt, body)", "SELECT (event_id)"),
        RETENTION: (*_WRITE_PRIVATE, "DELETE"),
    },
    "audit_pending": _READERS | {SEALER: ("SELECT", "DELETE")},
    "audit_leaf": _SEALED | {RETENTION: ("SELECT", "DELETE")},
    "audit_node": _SEALED,
    "audit_checkpoint": _SEALED,
    "audit_cosignature": _SEALED,
    "audit_witness": _READERS | {SEALER: ("SELECT", "INSERT", "UPDATE", "DELETE")},
    # The verification door asks it with every key. The sealer begins one, the operator who brought the rows up ends it.
    "audit_interruption": _READERS
    | {
        APPLICATION: ("SELECT", "UPDATE (ended_at, ended_by)"),
        VERIFIER: ("SELECT",),
        SEALER: ("SELECT", "INSERT (cause, from_leaf, upto_leaf)", "UPDATE (upto_leaf, recovered_at, cause)"),
    },
    "audit_hold": _READERS | {APPLICATION: ("SELECT", "INSERT", "UPDATE (lifted_at, lifted_by)")},
    "audit_retention": _READERS | {APPLICATION: ("SELECT", "INSERT", "UPDATE (decided_at, decided_by, outcome)")},
    "audit_archive": _READERS | {RETENTION: ("SELECT", "INSERT", "UPDATE (verified_at)")},
    # What is asked for and how far it is; the history of exports stays.
    "audit_export": _READERS | {APPLICATION: ("SELECT", "INSERT", "UPDATE")},
    "audit_forward": _READERS | {APPLICATION: ("SELECT", "INSERT", "UPDATE")},
    "audit_inspection": _READERS | {APPLICATION: ("SELECT", "INSERT", "UPDATE")},
}

FUNCTION_GRANTS: Grants = {
    "audit_erase_private(uuid)": {APPLICATION: ("EXECUTE",)},
    "audit_expire_private(uuid)": {APPLICATION: ("EXECUTE",)},
    "audit_prune(bigint)": {RETENTION: ("EXECUTE",)},
    "audit_record(bytea, bytea, bytea)": dict.fromkeys((APPLICATION, SEALER, RETENTION), ("EXECUTE",)),
}

_PRIVILEGE = re.compile(
    r"(SELECT|INSERT|UPDATE|REFERENCES)( \([a-z_][a-z0-9_]*(, [a-z_][a-z0-9_]*)*\))?|DELETE|EXECUTE|USAGE"
)
_RELATION = re.compile(r"[a-z_][a-z0-9_]*")


class Cursor(Protocol):
    """What Django's and psycopg's cursors have in common."""

    def execute(self, query: Any, /) -> Any:
        """Run one or more statements (Any: the two cursors type their query differently)."""

    def fetchall(self) -> list[Any]:
        """Return the rows (Any: a row's columns are the query's business)."""


class Connection(Protocol):
    """A Django or psycopg connection."""

    def cursor(self) -> AbstractContextManager[Any]:
        """Open a cursor (Any: see Cursor)."""


class GrantError(ValueError):
    """A grant names what does not exist, or what nobody should have."""


def roles_sql(database: str) -> str:
    """Return the SQL by which a superuser creates the roles and hands them `database`; safe to run again."""
    lines = ["-- Run as a superuser, connected to the database itself. Running it again changes nothing."]
    for role, purpose in ROLES.items():
        lines += [
            f"\n-- {role}: {purpose}",
            "DO $$ BEGIN",
            f"    CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;",
            "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;",
            "END $$;",
        ]
    quoted = '"' + database.replace('"', '""') + '"'
    strangers = ", ".join(role for role in ROLES if role != OWNER)
    lines += [
        "\n-- The owner may hand audit_prune over to the retention role, which is why it may become it.",
        f"GRANT {RETENTION} TO {OWNER};",
        f"ALTER DATABASE {quoted} OWNER TO {OWNER};",
        f"ALTER SCHEMA public OWNER TO {OWNER};",
        f"REVOKE ALL ON DATABASE {quoted} FROM PUBLIC;",
        f"GRANT CONNECT ON DATABASE {quoted} TO {strangers};",
        "-- Only the auditor makes temporary tables: the replay of the log builds its copy in them.",
        f"GRANT TEMPORARY ON DATABASE {quoted} TO {AUDITOR};",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC;",
        f"GRANT USAGE ON SCHEMA public TO {strangers};",
    ]
    return "\n".join(lines) + "\n"


def apply_grants(connection: Connection, grants: Grants, functions: Grants | None = None) -> None:
    """Make the rights of every role on the named relations and functions exactly those declared (as the owner)."""
    with connection.cursor() as cursor:
        kinds = _relation_kinds(cursor)
        missing = sorted(set(grants) - set(kinds))
        if missing:
            raise GrantError(f"grants name unknown tables: {', '.join(missing)}")
        for relation, rights in grants.items():
            word = "SEQUENCE" if kinds[relation] == "S" else "TABLE"
            _replace(cursor, f"{word} public.{relation}", rights)
        for function, rights in (functions or {}).items():
            _replace(cursor, f"FUNCTION public.{function}", rights)


def undeclared_relations(connection: Connection, grants: Iterable[str]) -> list[str]:
    """Return the tables and sequences nobody declared rights for; an identity's sequence needs none."""
    with connection.cursor() as cursor:
        return sorted(set(_relation_kinds(cursor)) - set(grants))


def _relation_kinds(cursor: Cursor) -> dict[str, str]:
    cursor.execute(
        "SELECT relname, relkind::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT EXISTS (SELECT FROM pg_depend"
        "   WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'i')"
    )
    return {name: kind for name, kind in cursor.fetchall() if _RELATION.fullmatch(name)}


def _replace(cursor: Cursor, what: str, rights: Mapping[str, Sequence[str]]) -> None:
    strangers = ", ".join(role for role in ROLES if role != OWNER)
    cursor.execute(f"REVOKE ALL ON {what} FROM PUBLIC, {strangers}")
    for role, privileges in rights.items():
        if role not in ROLES or role == OWNER:
            raise GrantError(f"{role} is no role that can be granted {what}")
        for privilege in privileges:
            if not _PRIVILEGE.fullmatch(privilege):
                raise GrantError(f"{privilege} on {what} is no privilege we give")
        if privileges:
            cursor.execute(f"GRANT {', '.join(privileges)} ON {what} TO {role}")
