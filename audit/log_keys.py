"""Follow the log's key from one that is pinned to those that came before and after it.

A link is a `.tlog-proof` whose `extra` is the event that announces or retires a key. It counts when its checkpoint is
signed by a key that is trusted already, the event is in that tree, and the event's statement is signed by both keys it
names: so the old key says who follows, the new one that it is there, and the log that everybody could have known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from audit.canonical import CanonicalError, parse_strict
from audit.merkle import ProofError, leaf_hash, verify_inclusion
from audit.notes import NoteError, Proof, Verifier, open_checkpoint
from audit.statements import KEY_ANNOUNCED, KEY_RETIRED, open_statement

ANNOUNCED, RETIRED = "log.key-announced", "log.key-retired"
_KINDS = {ANNOUNCED: KEY_ANNOUNCED, RETIRED: KEY_RETIRED}


def linked(pinned: Sequence[Verifier], links: Iterable[str]) -> list[Verifier]:
    """Return the pinned keys and those that links lead to, each with the checkpoints it vouches for.

    A link from no key that is trusted is left aside: it is of another pin's way. One that is signed by a trusted key and
    does not hold is refused (NoteError).
    """
    chain = _Chain(pinned)
    waiting = sorted((Proof.parse(each) for each in links), key=lambda link: link.index)
    while usable := [each for each in waiting if chain.signed(each)]:
        for link in usable:
            chain.follow(link)
            waiting.remove(link)
    return list(chain.known.values())


def keys_named(payload: bytes) -> tuple[str, Verifier, Verifier]:
    """Return the kind of an event about a key, and the older and newer key it names, signed by both; or raise NoteError."""
    try:
        event = parse_strict(payload)
    except (CanonicalError, ValueError) as error:
        raise NoteError("a link's entry is no event") from error
    details = event.get("details") if isinstance(event, dict) else None
    text = details.get("statement") if isinstance(details, dict) else None
    kind = _KINDS.get(str(event.get("action"))) if isinstance(event, dict) else None
    if kind is None or not isinstance(text, str):
        raise NoteError("a link's entry says nothing about a key")
    # Who they are is in the statement itself; that both signed it is what makes it theirs.
    older, newer = (Verifier.parse(line) for line in text.split("\n")[3:5])
    for each in (older, newer):
        open_statement(text, [each], kind=kind)
    if older.name != newer.name or older.key == newer.key:
        raise NoteError("a link leads to another log")
    return kind, older, newer


class _Chain:
    """The keys that are trusted so far. One that was only reached backwards leads nowhere: if it is stolen after its end,
    it could otherwise announce another successor to those who pinned the true one.
    """

    def __init__(self, pinned: Sequence[Verifier]) -> None:
        self.known = {each.id: each for each in pinned}
        self.leads_on = set(self.known)

    def signed(self, link: Proof) -> bool:
        """Tell whether a trusted key signed the checkpoint of this link."""
        try:
            open_checkpoint(link.checkpoint, self.known.values())
        except NoteError:
            return False
        return True

    def follow(self, link: Proof) -> None:
        """Take the keys of a link up; raise NoteError when it does not hold."""
        head = open_checkpoint(link.checkpoint, self.known.values())
        try:
            verify_inclusion(leaf_hash(link.extra), link.index, head.size, link.hashes, head.root)
        except ProofError as error:
            raise NoteError(f"a link's event is not in the log: {error}") from error
        kind, older, newer = keys_named(link.extra)
        if kind == KEY_RETIRED:
            if {older.id, newer.id} <= self.known.keys():
                self.known[older.id] = replace(self.known[older.id], upto=link.index)
        elif older.id in self.leads_on:
            # It vouches for nothing from before it was announced.
            self.known[newer.id] = replace(newer, over=link.index)
            self.leads_on.add(newer.id)
        elif newer.id in self.known:
            self.known[newer.id] = replace(self.known[newer.id], over=link.index)
            self.known[older.id] = older
