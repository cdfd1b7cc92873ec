"""Sign what the log's own key says beside checkpoints: which key follows it, what was restored, where another log begins.

Whoever may record an event may write any words into the log; only the sealer can sign. So an event that speaks for the
sealer carries its signed statement, and readers believe the statement and nothing else of the event. The second line is
never a number, so a statement can never be taken for a checkpoint (C2SP tlog-checkpoint).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from audit.notes import Note, NoteError, Signer, Verifier

HEADER = "keystead-log-statement/v1"
KEY_ANNOUNCED, KEY_RETIRED = "key-announced", "key-retired"
RECOVERED, ORIGIN_BEGUN = "recovered", "origin-begun"
_FACTS = {KEY_ANNOUNCED: 2, KEY_RETIRED: 2, RECOVERED: 2, ORIGIN_BEGUN: 4}


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One thing that the sealer of a log says, a fact a line."""

    kind: str
    origin: str
    facts: tuple[str, ...]

    def body(self) -> str:
        """Write the text that is signed."""
        lines = (HEADER, self.kind, self.origin, *self.facts)
        if any("\n" in line or not line for line in lines) or _FACTS.get(self.kind) != len(self.facts):
            raise NoteError("not a statement")
        return "".join(f"{line}\n" for line in lines)

    def signed(self, signers: Sequence[Signer]) -> str:
        """Return the note, signed by each of these keys."""
        return sign_with(signers, self.body())

    @classmethod
    def parse(cls, text: str) -> tuple[Self, Note]:
        """Take a note apart; nothing is verified yet."""
        note = Note.parse(text)
        header, kind, origin, *facts = [*note.body[:-1].split("\n"), "", ""]
        found = cls(kind=kind, origin=origin, facts=tuple(facts[:-2]))
        if header != HEADER or found.body() != note.body:
            raise NoteError("not a statement")
        return found, note


def sign_with(signers: Sequence[Signer], body: str) -> str:
    """Return the note of `body` with one signature line for each key."""
    return f"{body}\n" + "".join(each.signature_line(body) for each in signers)


def open_statement(text: str, verifiers: Iterable[Verifier], *, kind: str) -> Statement:
    """Return a statement of this kind that one of the keys signed under the log's own name, or raise NoteError."""
    statement, note = Statement.parse(text)
    refused = NoteError("no key is pinned")
    for verifier in verifiers:
        try:
            note.verified_by(verifier)
        except NoteError as error:
            refused = error
        else:
            if (statement.kind, statement.origin) != (kind, verifier.name):
                raise NoteError(f"a statement about {statement.kind} of {statement.origin}, not {kind}")
            return statement
    raise refused
