import io

import psycopg
from django.core.checks import run_checks
from django.core.management import call_command

from audit.checks import installed_guards
from audit.database import ROLES, roles_sql
from audit.governed import governed_tables
from tests.audit.conftest import Connect


def _output(command: str, **options: object) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command(command, stdout=out, no_color=True, **options)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def test_every_governed_table_of_the_house_is_guarded_with_todays_columns(db: None) -> None:
    assert [each for each in run_checks(databases=["default"]) if (each.id or "").startswith("audit.")] == []
    guards = installed_guards()
    assert set(guards) == {table.table for table in governed_tables().values()}


def test_a_prepared_database_is_the_sum_of_its_events(committed_db: None) -> None:
    code, words = _output("replay_audit_log")
    assert code == 0, words


def test_the_roles_are_printed_as_sql_that_can_be_run_again(connect: Connect) -> None:
    _, text = _output("database_roles", name='odd"name')
    assert 'ALTER DATABASE "odd""name" OWNER TO keystead_owner;' in text
    for role in ROLES:
        assert f"CREATE ROLE {role} LOGIN NOSUPERUSER" in text
        assert f"\\password {role}" in text
    with connect("postgres") as superuser:
        name = superuser.info.dbname
        for _ in range(2):
            superuser.execute(roles_sql(name).encode())


def test_only_the_auditor_and_the_owner_make_temporary_tables(connect: Connect) -> None:
    for role in ROLES:
        with connect(role) as session:
            try:
                session.execute("CREATE TEMPORARY TABLE mine (x int)")
            except psycopg.errors.InsufficientPrivilege:
                assert role not in {"keystead_auditor", "keystead_owner"}
            else:
                assert role in {"keystead_auditor", "keystead_owner"}
