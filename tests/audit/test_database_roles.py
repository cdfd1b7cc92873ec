"""Each role of the database has its rights and no others, and declaring them again takes back what was given by hand."""

import pytest

from audit.database import (
    APPLICATION,
    AUDITOR,
    FUNCTION_GRANTS,
    GRANTS,
    OWNER,
    ROLES,
    SEALER,
    VERIFIER,
    GrantError,
    apply_grants,
    undeclared_relations,
)
from tests.audit.conftest import Connect


@pytest.mark.parametrize(
    ("role", "table", "allowed"),
    [
        (APPLICATION, "audit_pending", {"SELECT"}),
        (APPLICATION, "audit_leaf", {"SELECT"}),
        (SEALER, "audit_pending", {"SELECT", "DELETE"}),
        (SEALER, "audit_leaf", {"SELECT", "INSERT"}),
        (SEALER, "audit_checkpoint", {"SELECT", "INSERT"}),
        (AUDITOR, "audit_event", {"SELECT"}),
        (AUDITOR, "audit_private", {"SELECT"}),
        (VERIFIER, "audit_event", set()),
        (VERIFIER, "audit_private", set()),
    ],
)
def test_each_role_holds_its_rights_and_no_others(connect: Connect, role: str, table: str, allowed: set[str]) -> None:
    asked = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
    with connect(OWNER) as owner:
        rows = owner.execute(
            "SELECT word FROM unnest(%s::text[]) word WHERE has_table_privilege(%s, %s, word)",
            (list(asked), role, table),
        ).fetchall()
    assert {word for (word,) in rows} == allowed


def test_no_role_is_stronger_than_it_must_be(connect: Connect) -> None:
    with connect(OWNER) as owner:
        rows = owner.execute(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'keystead_%'"
            " AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication)"
        ).fetchall()
        assert rows == []
        count = owner.execute("SELECT count(*) FROM pg_roles WHERE rolname = ANY (%s)", (list(ROLES),)).fetchone()
        assert count == (len(ROLES),)


def test_applying_grants_again_takes_back_what_is_not_declared(connect: Connect) -> None:
    with connect(OWNER) as owner:
        owner.execute(f"GRANT UPDATE (action), DELETE ON audit_event TO {APPLICATION}")
        apply_grants(owner, GRANTS, FUNCTION_GRANTS)
        held = owner.execute(
            "SELECT has_table_privilege(%s, 'audit_event', 'DELETE'),"
            " has_column_privilege(%s, 'audit_event', 'action', 'UPDATE'),"
            " has_column_privilege(%s, 'audit_event', 'payload', 'INSERT')",
            (APPLICATION, APPLICATION, APPLICATION),
        ).fetchone()
        assert held == (False, False, True)


def test_grants_on_unknown_tables_to_unknown_roles_or_of_unknown_rights_are_refused(connect: Connect) -> None:
    with connect(OWNER) as owner:
        for grants in (
            {"nowhere": {}}, {"audit_event": {"postgres": ("SELECT",)}}, {"audit_event": {OWNER: ("SELECT",)}},
            {"audit_event": {APPLICATION: ("ALL",)}}, {"audit_event": {APPLICATION: ("TRUNCATE",)}},
        ):  # fmt: skip
            with pytest.raises(GrantError), owner.transaction():
                apply_grants(owner, grants)
        owner.execute("CREATE TABLE stray (id bigint)")
        assert "stray" in undeclared_relations(owner, GRANTS)
        assert "audit_event" not in undeclared_relations(owner, GRANTS)
