"""Say whose signatures make a checkpoint good: read, write and apply policy files (C2SP tlog-policy).

Plain Python. Names are taken as they stand, byte for byte; whatever is not understood is refused as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from audit.notes import COSIGNATURE, NOTE, Checkpoint, Note, NoteError, Verifier, open_checkpoint

NONE = "none"
MOST_OF_A_KIND = 256
_COUNT = re.compile(r"[1-9][0-9]{0,3}")
_SPACES = re.compile(r"[ \t]+")


class PolicyError(ValueError):
    """The text is no policy."""


class QuorumMissed(Exception):
    """A checkpoint is signed by the log, and too few witnesses have seen it."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """So many of these witnesses and groups."""

    needed: int
    members: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Pinned logs and witnesses, and the quorum; addresses stand beside the keys, where there are any."""

    logs: tuple[Verifier, ...] = ()
    witnesses: Mapping[str, Verifier] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    quorum: str = NONE
    addresses: Mapping[Verifier, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, raw: bytes) -> Policy:
        """Read a policy file; raise PolicyError."""
        if any(each < 0x20 and each not in b"\t\n" for each in raw) or b"\x7f" in raw:
            raise PolicyError("a policy holds a control character")
        reader = _Reader()
        # Octets are opaque (C2SP): bytes that are no UTF-8 survive the round trip as themselves.
        for line in raw.decode("utf-8", "surrogateescape").split("\n"):
            words = [word for word in _SPACES.split(line) if word]
            if words and not words[0].startswith("#"):
                reader.take(words)
        return reader.policy()

    def text(self) -> str:
        """Write the file."""
        lines = [" ".join(filter(None, ("log", each.text(), self.addresses.get(each)))) for each in self.logs]
        for name, key in self.witnesses.items():
            lines.append(" ".join(filter(None, ("witness", name, key.text(), self.addresses.get(key)))))
        for name, group in self.groups.items():
            lines.append(f"group {name} {group.needed} {' '.join(group.members)}")
        return "".join(f"{line}\n" for line in [*lines, f"quorum {self.quorum}"])

    def open(self, note: str) -> tuple[Checkpoint, frozenset[str]]:
        """Return a good checkpoint and the names of the witnesses that signed it; NoteError or QuorumMissed otherwise."""
        checkpoint = open_checkpoint(note, self.logs)
        parsed = Note.parse(note)
        seen = frozenset(name for name, key in self.witnesses.items() if _has_signed(parsed, key))
        if self.quorum != NONE and not self._met(self.quorum, seen):
            raise QuorumMissed(
                f"{checkpoint.size} leaves: {', '.join(sorted(seen)) or 'no witness'} is not {self.quorum}"
            )
        return checkpoint, seen

    def _met(self, name: str, seen: frozenset[str]) -> bool:
        if name in self.witnesses:
            return name in seen
        group = self.groups[name]
        return sum(self._met(member, seen) for member in group.members) >= group.needed


class _Reader:
    """Take a policy file line by line; a name must stand before it is used."""

    def __init__(self) -> None:
        self.logs: list[Verifier] = []
        self.witnesses: dict[str, Verifier] = {}
        self.groups: dict[str, Group] = {}
        self.addresses: dict[Verifier, str] = {}
        self.quorum = ""
        self._members: set[str] = set()

    def take(self, words: Sequence[str]) -> None:
        match words:
            case ["log", key, *address] if len(address) <= 1:
                self.logs.append(self._key(key, NOTE, self.logs, address))
            case ["witness", name, key, *address] if len(address) <= 1:
                self._new(name)
                self.witnesses[name] = self._key(key, COSIGNATURE, list(self.witnesses.values()), address)
            case ["group", name, count, *members] if members:
                self._new(name)
                self.groups[name] = self._group(name, count, members)
            case ["quorum", name] if not self.quorum and (name == NONE or self._is_known(name)):
                self.quorum = name
            case _:
                raise PolicyError(f"not understood: {' '.join(words)[:80]}")

    def policy(self) -> Policy:
        """Return it; a file without a quorum is none."""
        if not self.quorum or max(len(self.logs), len(self.witnesses), len(self.groups)) > MOST_OF_A_KIND:
            raise PolicyError("a policy names exactly one quorum, and not too many of anything")
        return Policy(
            logs=tuple(self.logs),
            witnesses=self.witnesses,
            groups=self.groups,
            quorum=self.quorum,
            addresses=self.addresses,
        )

    def _is_known(self, name: str) -> bool:
        return name in self.witnesses or name in self.groups

    def _new(self, name: str) -> None:
        if name == NONE or self._is_known(name):
            raise PolicyError(f"{name} is there already")

    def _key(self, text: str, kind: int, others: Sequence[Verifier], address: Sequence[str]) -> Verifier:
        try:
            key = Verifier.parse(text)
        except NoteError as error:
            raise PolicyError(f"not a key that is understood here: {text[:80]}") from error
        if key.kind != kind or any(each.key == key.key for each in others):
            raise PolicyError(f"the key of {key.name} is of another kind, or there twice")
        if address:
            self.addresses[key] = address[0]
        return key

    def _group(self, name: str, count: str, members: Sequence[str]) -> Group:
        if not all(map(self._is_known, members)) or self._members & {*members} or len({*members}) != len(members):
            raise PolicyError(f"a member of {name} is unknown, or stands in a group already")
        needed = {"any": 1, "all": len(members)}.get(count) or (int(count) if _COUNT.fullmatch(count) else 0)
        if not 1 <= needed <= len(members):
            raise PolicyError(f"{name} needs another number of members than it has")
        self._members |= {*members}
        return Group(needed=needed, members=tuple(members))


def _has_signed(note: Note, key: Verifier) -> bool:
    try:
        note.verified_by(key)
    except NoteError:
        return False
    return True
