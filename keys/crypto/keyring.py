"""Load, make, rotate and save the keyring: the keys that the database never holds.

One JSON file, mode 0600, outside the data that backups of the database carry. Losing it loses what it sealed;
reading it together with a dump opens what was sealed: back it up apart (docs/crypto.md).
"""

import json
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Never

from keys.crypto import base64url
from keys.crypto.errors import KeyringUnusable, Malformed, UnknownKey
from keys.crypto.keks.base import KEK_CLASSES, KekProvider, load_provider
from keys.crypto.rings import KEY_ID_PATTERN, KEY_LENGTH, Key, Ring
from keys.crypto.secrets import Secret

FORMAT: Final = "keystead-keyring-1"
ROW_MAC: Final = "row-mac"
PEPPER: Final = "pepper"
SESSION_HASH: Final = "session-hash"
PURPOSES: Final = (ROW_MAC, PEPPER, SESSION_HASH, *(f"kek-{name}" for name in KEK_CLASSES))
LOCAL_KEKS: Final = "keys.crypto.keks.local.LocalKeks"
UNFINISHED: Final = ".keyring-unfinished-"  # how the name of a file begins that is not whole yet
_LARGEST: Final = 256 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Keyring:
    """Every key of an installation by purpose, and the provider of its KEKs."""

    rings: Mapping[str, Ring] = field(repr=False)
    keks: KekProvider = field(repr=False, compare=False)
    keks_path: str = LOCAL_KEKS
    keks_options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def generate(cls, *, at: datetime) -> "Keyring":
        """Make a fresh key for every purpose."""
        rings = {}
        for purpose in PURPOSES:
            key = Key.generate(purpose, at=at)
            rings[purpose] = Ring(primary_id=key.id, keys={key.id: key})
        return cls.of(rings)

    @classmethod
    def of(
        cls,
        rings: Mapping[str, Ring],
        *,
        keks: str = LOCAL_KEKS,
        keks_options: Mapping[str, str] | None = None,
    ) -> "Keyring":
        """Build from rings; every purpose must have one."""
        if set(rings) != set(PURPOSES):
            raise KeyringUnusable("the keyring must hold exactly the purposes " + ", ".join(PURPOSES))
        options = dict(keks_options or {})
        kek_rings = {name: rings[f"kek-{name}"] for name in KEK_CLASSES}
        provider = load_provider(keks, rings=kek_rings, options=options)
        return cls(rings=dict(rings), keks=provider, keks_path=keks, keks_options=options)

    @classmethod
    def load(cls, path: Path, *, keks: str = LOCAL_KEKS, keks_options: Mapping[str, str] | None = None) -> "Keyring":
        """Read a keyring file; refuse one that others can read or write."""
        return cls.of(_rings_of(_read_private(path)), keks=keks, keks_options=keks_options)

    def create(self, path: Path) -> None:
        """Write a new keyring file; FileExistsError rather than lose the keys of an existing one."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            _write_through(file.fileno(), self._to_json())

    def save(self, path: Path) -> None:
        """Replace a keyring file so that a crash leaves either the old or the new one, whole."""
        descriptor, temporary = tempfile.mkstemp(prefix=UNFINISHED, dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), 0o600)
                _keep_owner(file.fileno(), path)
                _write_through(file.fileno(), self._to_json())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def primary(self, purpose: str) -> Key:
        """Return the key of new writes for a purpose."""
        return self._ring(purpose).primary

    def find(self, purpose: str, key_id: str) -> Key:
        """Return the key that made an old write; UnknownKey if it is gone."""
        return self._ring(purpose).find(key_id)

    def newest_first(self, purpose: str) -> tuple[Key, ...]:
        """Return every key of a purpose, the primary first."""
        return self._ring(purpose).newest_first()

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Return the ids of all keys: who holds these can read what they made."""
        return tuple(sorted(key_id for ring in self.rings.values() for key_id in ring.keys))

    def waiting(self, purpose: str) -> Key | None:
        """Return the key of a purpose that reads and does not write yet, if there is one."""
        return self._ring(purpose).waiting

    def with_waiting(self, purpose: str, *, at: datetime) -> "Keyring":
        """Return a keyring with a next key for a purpose. Every process gets it before anything writes with it."""
        ring = self._ring(purpose)
        return self._with(purpose, ring.with_waiting(Key.generate(purpose, at=max(at, ring.next_at))))

    def promoted(self, purpose: str) -> "Keyring":
        """Return a keyring that writes with the key that waited."""
        return self._with(purpose, self._ring(purpose).promoted())

    def rotated(self, purpose: str, *, at: datetime) -> "Keyring":
        """Return a keyring with a new primary for a purpose: both steps at once, where no other process reads."""
        return self.with_waiting(purpose, at=at).promoted(purpose)

    def without(self, purpose: str, key_id: str) -> "Keyring":
        """Return a keyring that has forgotten an old key, once nothing names it any more."""
        return self._with(purpose, self._ring(purpose).without(key_id))

    def _ring(self, purpose: str) -> Ring:
        ring = self.rings.get(purpose)
        if ring is None:
            raise UnknownKey("the keyring has no such purpose")
        return ring

    def _with(self, purpose: str, ring: Ring) -> "Keyring":
        return Keyring.of({**self.rings, purpose: ring}, keks=self.keks_path, keks_options=self.keks_options)

    def _to_json(self) -> Secret:
        purposes = {
            purpose: {
                "primary": ring.primary_id,
                "keys": {
                    key.id: {
                        "created_at": key.created_at.isoformat(),
                        "key": base64url.encode(key.secret.reveal_bytes()),
                    }
                    for key in ring.keys.values()
                },
            }
            for purpose, ring in self.rings.items()
        }
        return Secret(json.dumps({"format": FORMAT, "purposes": purposes}, indent=2, sort_keys=True) + "\n")

    def __reduce__(self) -> Never:
        raise TypeError("a keyring is not serialised")


def _keep_owner(descriptor: int, path: Path) -> None:
    """Give the file to whom the one it replaces belongs: replaced by root, it would be out of the reach of whoever reads it."""
    if os.geteuid() == 0 and path.exists():
        facts = path.stat()
        os.fchown(descriptor, facts.st_uid, facts.st_gid)


def _write_through(descriptor: int, content: Secret) -> None:
    rest = content.reveal_bytes()
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)


def _read_private(path: Path) -> Secret:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise KeyringUnusable(f"cannot open the keyring {path}: {error.strerror}") from error
    # Looked at through the descriptor: the file that is checked is the file that is read.
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise KeyringUnusable(f"the keyring {path} is not a file")
        if facts.st_mode & 0o077:
            raise KeyringUnusable(f"the keyring {path} is open to others; run: chmod 600 {path}")
        if not 0 < facts.st_size <= _LARGEST:
            raise KeyringUnusable(f"the keyring {path} is empty or too large")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return Secret(file.read(_LARGEST + 1))
    finally:
        os.close(descriptor)


def _rings_of(content: Secret) -> dict[str, Ring]:
    rings = _parse_rings(content)
    if rings is None:
        # No cause and no context: the JSON decoder's exception carries the whole document.
        raise KeyringUnusable(f"the keyring is not a {FORMAT} file")
    return rings


def _parse_rings(content: Secret) -> dict[str, Ring] | None:
    try:
        document = json.loads(content.reveal(), object_pairs_hook=_without_duplicates)
        if set(document) != {"format", "purposes"} or document["format"] != FORMAT:
            return None
        return {purpose: _parse_ring(ring) for purpose, ring in document["purposes"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, Malformed, UnknownKey):
        return None


def _parse_ring(ring: dict[str, dict[str, dict[str, str]]]) -> Ring:
    keys = {}
    for key_id, entry in ring["keys"].items():
        secret = Secret(base64url.decode(entry["key"]))
        created_at = datetime.fromisoformat(entry["created_at"])
        if (
            not KEY_ID_PATTERN.fullmatch(key_id)
            or len(secret.reveal_bytes()) != KEY_LENGTH
            or created_at.tzinfo is None
        ):
            raise Malformed("keyring_key")
        keys[key_id] = Key(id=key_id, created_at=created_at, secret=secret)
    return Ring(primary_id=str(ring["primary"]), keys=keys)


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("duplicate name")
    return dict(pairs)
