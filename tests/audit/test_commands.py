import io
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command

from audit.actor import Actor
from audit.checks import installed_guards
from audit.database import ROLES, roles_sql
from audit.governed import governed_tables
from audit.notes import Signer
from tests.audit.conftest import Connect

ROOT = Path(__file__).resolve().parents[2]


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


def test_an_operator_without_a_name_acts_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_000)
    assert Actor.at_the_shell() == Actor.operator("uid-4000000000")


@pytest.mark.parametrize(
    "arguments", [("verify_audit_log", "--key", "/no/such/log.vkey"), ("log_policy", "--key", "/no/such/log.vkey")]
)
def test_a_public_key_that_is_not_there_is_named(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match=r"no file /no/such/log\.vkey"):
        call_command(*arguments)


OPEN_KEYRING = "from keys.sealing import keyring; keyring()"
LOG_KEY = Signer.generate("keystead/audit-log/test").verifier.text()
UNREACHED = "postgres://keystead_application:s3cret@127.0.0.1:1/keystead"


@pytest.mark.parametrize(
    ("changes", "arguments", "words"),
    [
        ({"DATABASE_URL": UNREACHED}, ("prepare_database",), "cannot be asked"),
        ({"KEYSTEAD_KEYRING_FILE": "/no/such/keyring"}, ("shell", "-c", OPEN_KEYRING), "cannot open the keyring"),
        ({}, ("replay_audit_log", "--database", "nobody"), "Which database?"),
        (
            {"KEYSTEAD_ARCHIVE": "no.such.Store"},
            ("archive_audit_log", "--key", LOG_KEY),
            "KEYSTEAD_ARCHIVE cannot be used",
        ),
        ({"KEYSTEAD_STATIC_ROOT": "/dev/null/static"}, ("collectstatic", "--noinput"), "/dev/null/static"),
        ({}, ("replay_audit_log", "--database", "default"), "as which role a command runs"),
    ],
)
def test_a_command_that_cannot_ask_says_so_and_is_no_finding(
    committed_db: None, changes: dict[str, str], arguments: tuple[str, ...], words: str
) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=os.environ | changes,
        capture_output=True,
        text=True,
        check=False,
    )
    assert words in done.stderr, done.stderr
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "way"), [(("changepassword", "a@example.com"), "recover_admin"), (("createsuperuser",), "first_adm")]
)
def test_djangos_ways_past_the_log_are_closed(arguments: tuple[str, ...], way: str) -> None:
    with pytest.raises(CommandError, match=way):
        call_command(*arguments)
