"""Change the log's signing key: announce the next one under the old, let both sign for a while, retire the old.

What is to be done follows from the files and the log alone, so the sealer takes one step after each round, and a sealer
that is killed goes on where it was.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connections, transaction

from audit import clock, log
from audit.actor import Actor
from audit.canonical import parse_strict
from audit.events import Event, LogKeyAnnounced, LogKeyRetired
from audit.key_links import key_proof
from audit.log_keys import keys_named, linked
from audit.notes import NoteError, Proof, Signer
from audit.sealer import Refused, Sealer
from audit.signing_keys import SigningKeys
from audit.statements import KEY_ANNOUNCED, KEY_RETIRED, Statement

SEALER = Actor.system("sealer")
OVERLAP = timedelta(days=1)
"""So long both keys sign at the least: whoever looks once a day sees the new one under the old."""
_EVENTS: dict[str, type[LogKeyAnnounced | LogKeyRetired]] = {
    KEY_ANNOUNCED: LogKeyAnnounced,
    KEY_RETIRED: LogKeyRetired,
}
_TOLD = """
SELECT event.payload, leaf.index FROM audit_event event LEFT JOIN audit_leaf leaf ON leaf.event_id = event.id
WHERE event.action = %s ORDER BY event.id DESC
"""


class Rotation:
    """The keys of a sealer, and what is known of their announcements."""

    def __init__(self, sealer: Sealer, keys: SigningKeys) -> None:
        self.sealer, self.keys = sealer, keys
        self._names: tuple[str, ...] | None = None

    def step(self) -> bool:
        """Do what is next, and tell whether something is left to do that the next round of the sealer brings on."""
        if self._names != (names := self.keys.names()):
            self.sealer.signers = self.keys.held()
            self._names = names
        if len(self.sealer.signers) < 2:
            return False
        older, newer = self.sealer.signers[:2]
        if not self._publish(KEY_ANNOUNCED, older, newer):
            return True
        if older.verifier.id.hex() not in self.keys.marked("retiring"):
            return False
        if not self._publish(KEY_RETIRED, older, newer):
            return True
        self.sealer.folder.write_verifiers([newer.verifier])
        self.keys.mark(older, "retired")
        self.keys.lock_away(older)
        self.sealer.signers = self.keys.held()
        return False

    def announced_at(self) -> datetime | None:
        """Return when the newest key was announced, once everybody can follow it; None while there is none or it is not."""
        held = self.keys.held()
        if len(held) < 2 or (link := self._link(KEY_ANNOUNCED, *held[:2])) is None:
            return None
        event: Any = parse_strict(link.extra)
        return datetime.fromisoformat(event["time"])

    def _publish(self, kind: str, older: Signer, newer: Signer) -> bool:
        """Tell that a key comes or goes, and when that is sealed, publish the link; True once it is there."""
        if self._link(kind, older, newer) is not None:
            return True
        place = self._told(kind, older, newer)
        if place is None:
            statement = Statement(
                kind=kind, origin=older.name, facts=(older.verifier.text(), newer.verifier.text())
            ).signed([older, newer])
            self._record(_EVENTS[kind](target_id="log", statement=statement))
            return False
        index, payload = place
        if index is None or (proof := self._proof(index, payload, older, newer)) is None:
            return False
        folder = self.sealer.folder
        folder.write_link(index, proof.text())
        folder.write_verifiers([older.verifier, newer.verifier])
        return True

    def _link(self, kind: str, older: Signer, newer: Signer) -> Proof | None:
        wanted = (kind, older.verifier, newer.verifier)
        proofs = (Proof.parse(each) for each in self.sealer.folder.links())
        return next((each for each in proofs if keys_named(each.extra) == wanted), None)

    def _told(self, kind: str, older: Signer, newer: Signer) -> tuple[int | None, bytes] | None:
        """Return place and payload of the event, if it is in the log; anybody may write one, so only ours counts."""
        with connections[self.sealer.using].cursor() as cursor:
            cursor.execute(_TOLD, (_EVENTS[kind].action,))
            rows = cursor.fetchall()
        for payload, index in rows:
            try:
                if keys_named(bytes(payload)) == (kind, older.verifier, newer.verifier):
                    return index, bytes(payload)
            except NoteError:
                continue
        return None

    def _proof(self, index: int, payload: bytes, older: Signer, newer: Signer) -> Proof | None:
        """Prove the event under the first checkpoint that both keys signed, so that either leads to the other."""
        with connections[self.sealer.using].cursor() as cursor:
            proof = key_proof(cursor, index, payload, older.verifier, newer.verifier)
        if proof is None:
            return None
        try:
            linked([older.verifier], [*self.sealer.folder.links(), proof.text()])
        except NoteError as error:
            raise Refused("rewrite", f"the key's event cannot be proved: {error}") from error
        return proof

    def _record(self, event: Event) -> None:
        using = self.sealer.using
        with transaction.atomic(using=using):
            log.record(event, actor=SEALER, at=clock.now(using), using=using)
