"""Run all of Keystead on one machine: engines, schema, site, verifier, worker, scheduler and sealer, under one parent."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from audit.sealer_folder import SealerFolder, create_key
from audit.signing_keys import SigningKeys
from portal.embedded import Engines, create_secrets
from portal.engines import EngineFailed, die_with_parent
from portal.layout import Layout, NoAccount, keep_private, layout_at
from portal.ports import Address, PortTaken

ROOT = Path(__file__).resolve().parent.parent
GRACE_SECONDS = 20
READY_SECONDS = 90
LONGEST_LOG = 5_000_000
ONCE_ROLE = "DATABASE_OWNER_URL"
VERIFY_PORT_APART = 100  # not the next one: a second Keystead on this machine likes to have that
FEED_PORT_APART = 200
# Who listens where, how far from PORT unless it is set, and what people call it.
LISTENING = {
    "KEYSTEAD_BIND": (0, "the site"),
    "KEYSTEAD_VERIFY_BIND": (VERIFY_PORT_APART, "the verification door"),
    "KEYSTEAD_FEED_BIND": (FEED_PORT_APART, "the feed"),
}


class CannotStart(RuntimeError):
    """Say in words why Keystead does not start, and what to do."""


@dataclass
class Supervisor:
    """The parent of every process; `run` returns the exit code."""

    layout: Layout
    environment: dict[str, str]
    port: int
    children: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    stop_wanted: bool = False

    def run(self) -> int:
        """Start everything, watch it, and stop everything when told to or when a part dies."""
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, self._want_stop)
        began = time.monotonic()
        with self._only_one(), self._ports(), self._engines() as engines:
            create_secrets(self.layout)
            self._create_sealer_key()
            for name in ("logs", "mail"):  # a mail may hold a link that lets its reader in
                keep_private(self.layout.data / name)
            (self.layout.data / "static").mkdir(exist_ok=True)  # empty here: development serves from the packages
            self._prepare_schema()
            try:
                self._start_children()
                self._wait_until_ready()
                if not self.stop_wanted and not self._dead(self.children):
                    self._greet(time.monotonic() - began)
                return self._watch(engines)
            finally:
                self._stop_children()

    def _want_stop(self, _sign: int, _frame: FrameType | None) -> None:
        self.stop_wanted = True

    @contextlib.contextmanager
    def _only_one(self) -> Iterator[None]:
        """Hold the lock of the data folder; the kernel lets go of it when we die, however we die."""
        self.layout.data.mkdir(parents=True, exist_ok=True)
        with self.layout.lock_file.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = (
                    f"Keystead already runs on {self.layout.data}. Stop it, or set KEYSTEAD_DATA to another folder."
                )
                raise CannotStart(message) from None
            yield

    @contextlib.contextmanager
    def _ports(self) -> Iterator[None]:
        """Keep the ports of our servers from everybody else, from before the first of them is started."""
        with contextlib.ExitStack() as held:
            for name, (apart, server) in LISTENING.items():
                address = self._address(name)
                try:
                    held.enter_context(address.held())
                except PortTaken as problem:
                    was_set = address.port != self.port + apart
                    other = f"another {name}" if was_set else f"make run PORT={self.port + 1}"
                    raise PortTaken(f"{problem}, where {server} is to listen. Choose {other}") from None
            yield

    @contextlib.contextmanager
    def _engines(self) -> Iterator[Engines]:
        wants_postgres = not self.environment.get("DATABASE_URL")
        engines = Engines(self.layout, with_postgres=wants_postgres, with_valkey=not self.environment.get("REDIS_URL"))
        if wants_postgres:
            self.environment[ONCE_ROLE] = self.layout.database_url("keystead_owner")
        with engines:
            if self.layout.home.parent != self.layout.data:
                say(f"The engines run as an unprivileged user; their data is in {self.layout.home}")
            yield engines

    def _create_sealer_key(self) -> None:
        """Make the key that signs the audit log, where the operator named none of theirs."""
        folder = SealerFolder(Path(self.environment.get("KEYSTEAD_SEALER_FOLDER") or self.layout.sealer))
        if not self.environment.get("KEYSTEAD_SEALER_KEY_FILE") and not SigningKeys.of(folder.path).exist():
            create_key(folder)

    def _address(self, name: str) -> Address:
        try:
            return Address.read(self.environment[name])
        except ValueError:
            raise CannotStart(f"{name} is an address and a port, as 127.0.0.1:{self.port}") from None

    def _prepare_schema(self) -> None:
        """Migrate as the owner; with a database of the operator's and no owner named, that is their step."""
        owner = self.environment.get(ONCE_ROLE)
        if not owner:
            say(f"{ONCE_ROLE} is not set: the schema is taken as it is.")
            return
        self._manage("prepare_database", DATABASE_URL=owner, KEYSTEAD_STATEMENT_TIMEOUT_MS="0", quiet="1")

    def _manage(self, command: str, *, quiet: str = "", **environment: str) -> None:
        """Run a management command to its end."""
        done = subprocess.run(
            [sys.executable, "manage.py", command],
            cwd=ROOT,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.STDOUT if quiet else None,
            check=False,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        if done.returncode != 0:
            if done.stdout:
                sys.stderr.write(done.stdout.decode(errors="replace"))
            message = f"`manage.py {command}` failed."
            raise CannotStart(message)

    def _start_children(self) -> None:
        python = [sys.executable, "-m"]
        celery = [*python, "celery", "--app=portal.celery"]
        self._launch("web", [*python, "gunicorn", "--config=python:portal.serving", "--reuse-port"])
        self._launch("verify", [*python, "portal.verify"])
        self._launch("feed", [*python, "portal.verify.feed"])
        self._launch(
            "worker", [*celery, "worker", "--concurrency=2", "--without-gossip", "--without-mingle", "--loglevel=info"]
        )
        self._launch("beat", [*celery, "beat", "--pidfile=", "--loglevel=info"])
        self._launch("sealer", [sys.executable, "manage.py", "audit_sealer"])

    def _launch(self, name: str, command: list[str]) -> None:
        log = self._log_file(name)
        if log.exists() and log.stat().st_size > LONGEST_LOG:
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as out:
            self.children[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - one thread
            )

    def _log_file(self, name: str) -> Path:
        return self.layout.data / "logs" / f"{name}.log"

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self.stop_wanted and not self._dead(self.children):
            if all(_answers(f"{self._address(name).url}/readyz") for name in LISTENING):  # ours: see _ports
                return
            if time.monotonic() > deadline:
                message = f"The site did not become ready in {READY_SECONDS} s; see {self._log_file('web')}"
                raise CannotStart(message)
            time.sleep(0.1)

    def _greet(self, seconds: float) -> None:
        say(f"Keystead is ready after {seconds:.1f} s: {self.environment['KEYSTEAD_PUBLIC_URL']}/")
        door = self._address("KEYSTEAD_VERIFY_BIND").port
        say(f"Services verify keys at http://localhost:{door}/v1/verify (docs/verification.md).")
        say(f"Data, logs and mail are in {self.layout.data}. Stop with Ctrl-C.")
        demo = self.environment.get("DEMO", "") not in {"", "0"}
        say(f'Management commands go through `make manage{" DEMO=1" if demo else ""} PORT={self.port} ARGS="..."`.')
        self._manage("load_demo" if demo else "first_administrator")

    def _watch(self, engines: Engines) -> int:
        while not self.stop_wanted:
            dead = self._dead(self.children | engines.running)
            if dead:
                name, code = dead
                say(f"{name} ended by itself (exit code {code}): stopping everything.", error=True)
                self._show_end_of(name)
                return 1
            time.sleep(0.2)
        say("Stopping.")
        return 0

    def _dead(self, processes: dict[str, "subprocess.Popen[bytes]"]) -> tuple[str, int] | None:
        return next(((name, child.returncode) for name, child in processes.items() if child.poll() is not None), None)

    def _show_end_of(self, name: str) -> None:
        log = self._log_file(name) if name in self.children else self.layout.home / f"{name}.log"
        if log.exists():
            sys.stderr.write("\n".join(log.read_text(errors="replace").splitlines()[-20:]) + "\n")

    def _stop_children(self) -> None:
        """Stop whole process groups: first those that make work, all at once; then kill what does not go."""
        deadline = time.monotonic() + GRACE_SECONDS
        # The sealer after them: it seals what they wrote to the last.
        for names in (("beat", "web", "verify", "feed", "worker"), ("sealer",)):
            stopping = [self.children[name] for name in names if name in self.children]
            for child in stopping:
                _signal_group(child, signal.SIGTERM)
            for child in stopping:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(max(1.0, deadline - time.monotonic()))
        for child in self.children.values():
            _signal_group(child, signal.SIGKILL)
            child.wait()
        self.children.clear()


def _signal_group(child: "subprocess.Popen[bytes]", sign: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, sign)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)
    except OSError:
        return False


def say(words: str, *, error: bool = False) -> None:
    """Tell the person at the terminal."""
    stream = sys.stderr if error else sys.stdout
    stream.write(f"{words}\n")
    stream.flush()


def main() -> int:
    """Read the environment as the settings do, with development as the default: this is one machine."""
    environment = dict(os.environ)
    environment["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    environment.setdefault("KEYSTEAD_ENV", "development")
    environment.setdefault("PYTHONWARNINGS", "ignore:You're running the worker with superuser privileges")
    try:
        return _run(environment, _port_of(environment.setdefault("PORT", "8000")))
    except PortTaken as problem:
        say(f"Keystead cannot start: {problem}", error=True)
        return 2
    except (CannotStart, EngineFailed, NoAccount, PermissionError) as problem:
        say(f"Keystead cannot start: {problem}", error=True)
        return 1


def _port_of(text: str) -> int:
    most = 65_535 - FEED_PORT_APART
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise CannotStart(
            f"PORT is a number from 1 to {most}; the door and the feed take the ports {VERIFY_PORT_APART} and {FEED_PORT_APART} above it."
        )
    return int(text)


def _run(environment: dict[str, str], port: int) -> int:
    for name, (apart, _) in LISTENING.items():
        environment[name] = environment.get(name) or f"127.0.0.1:{port + apart}"
    if "KEYSTEAD_PUBLIC_URL" not in environment:  # or there is a proxy of the operator's, which routes by path
        environment["KEYSTEAD_PUBLIC_URL"] = f"http://localhost:{port}"
        environment.setdefault("KEYSTEAD_FEED_URL", f"http://localhost:{port + FEED_PORT_APART}/v1/feed")
    layout = layout_at(environment.get("KEYSTEAD_DATA") or ROOT / ".data")
    environment["KEYSTEAD_DATA"] = str(layout.data)
    environment["PROMETHEUS_MULTIPROC_DIR"] = str(layout.data / "metrics")
    return Supervisor(layout, environment, port).run()


if __name__ == "__main__":
    sys.exit(main())
