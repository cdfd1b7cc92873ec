"""Say where the data, the engines and the secrets of a one-machine Keystead lie."""

import hashlib
import json
import os
import pwd
import secrets
import stat
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

DATABASE = "keystead"
SUPERUSER = "postgres"
UNPRIVILEGED = ("nobody", "daemon")
SYSTEM_HOME = Path("/var/lib/keystead")
# sockaddr_un holds 108 bytes; PostgreSQL appends ".s.PGSQL.5432" and a lock name.
LONGEST_SOCKET_FOLDER = 80


class NoAccount(RuntimeError):
    """Say that root has nobody to run the engines as."""


@dataclass(frozen=True)
class Account:
    """Who an engine runs as."""

    name: str
    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """Return whom root runs the engines as, or None when we are not root ourselves.

    PostgreSQL refuses root. The account must exist already: creating one is the operator's business.
    """
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        if found.pw_uid != 0:
            return Account(name, found.pw_uid, found.pw_gid)
    message = "running as root, and none of these accounts exists to run PostgreSQL as: " + ", ".join(UNPRIVILEGED)
    raise NoAccount(message)


def is_reachable(path: Path) -> bool:
    """Tell whether every folder down to `path` lets strangers pass."""
    path = path.resolve()
    return all(stat.S_IMODE(folder.stat().st_mode) & 0o001 for folder in (path, *path.parents) if folder.exists())


@dataclass(frozen=True)
class Layout:
    """The folders under KEYSTEAD_DATA and the addresses that follow from them."""

    data: Path

    @property
    def secrets(self) -> Path:
        """Keep the secret key and the keyring, for the owner's eyes."""
        return self.data / "secrets"

    @property
    def secret_key_file(self) -> Path:
        """Hold Django's secret key."""
        return self.secrets / "secret_key"

    @property
    def keyring_file(self) -> Path:
        """Hold the keys that never enter the database."""
        return self.secrets / "keyring.json"

    @property
    def sealer(self) -> Path:
        """Hold the sealer's key, its memory and the tiles of the audit log."""
        return self.data / "sealer"

    @property
    def exports(self) -> Path:
        """Hold what workers export from the audit log, until it expires."""
        return self.data / "exports"

    @property
    def lock_file(self) -> Path:
        """Hold the lock of the one supervisor of this folder."""
        return self.data / "supervisor.lock"

    @property
    def note_file(self) -> Path:
        """Remember where the engines' home was put at the first start."""
        return self.data / "engines.json"

    @cached_property
    def home(self) -> Path:
        """Return the folder of the engines' own data, as chosen at the first start."""
        if self.note_file.exists():
            return Path(json.loads(self.note_file.read_text())["home"])
        if os.geteuid() != 0 or is_reachable(self.data):
            return self.data / "engines"
        return SYSTEM_HOME / hashlib.sha256(str(self.data).encode()).hexdigest()[:12]

    @property
    def postgres(self) -> Path:
        """Hold the database cluster."""
        return self.home / "postgres" / "cluster"

    @property
    def valkey(self) -> Path:
        """Hold Valkey's append-only file."""
        return self.home / "valkey"

    @property
    def binaries(self) -> Path:
        """Hold copies of the engines' programs when the account cannot reach the originals."""
        return self.home / "programs"

    @cached_property
    def sockets(self) -> Path:
        """Hold the engines' sockets, in a path short enough for the kernel."""
        folder = self.home / "sockets"
        if len(str(folder)) <= LONGEST_SOCKET_FOLDER:
            return folder
        digest = hashlib.sha256(str(self.home).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"keystead-{os.geteuid()}-{digest}"

    @property
    def valkey_socket(self) -> Path:
        """Name Valkey's socket."""
        return self.sockets / "valkey.sock"

    def database_url(self, role: str, database: str = DATABASE) -> str:
        """Return the address of `database` for `role`; the socket's folder is the authentication."""
        return f"postgres://{role}@/{self.sockets}/{database}"

    def conninfo(self, role: str = SUPERUSER, database: str = DATABASE) -> str:
        """Return the same address in libpq's words."""
        return f"host={self.sockets} user={role} dbname={database}"

    @property
    def redis_url(self) -> str:
        """Return Valkey's address."""
        return f"unix://{self.valkey_socket}?db=0"

    def remember_home(self) -> None:
        """Write down where the engines live, so a later change of permissions cannot lose the data."""
        if not self.note_file.exists():
            self.note_file.write_text(json.dumps({"home": str(self.home)}) + "\n")


def layout_at(path: str | Path) -> Layout:
    """Return the layout of a data folder, which need not exist yet."""
    return Layout(Path(path).expanduser().resolve())


def keep_private(folder: Path) -> None:
    """Make a folder that no other account may enter, or shut one that an earlier release left open."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        folder.chmod(0o700)


def write_secret(path: Path, text: str) -> None:
    """Write `text` to a new file that only its owner may read."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def new_secret_key() -> str:
    """Make a secret key for Django."""
    return secrets.token_urlsafe(48)
