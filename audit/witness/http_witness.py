"""Ask a C2SP witness over HTTP for its cosignature (tlog-witness, `add-checkpoint`)."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from audit.merkle import ProofError
from audit.notes import COSIGNATURE, Checkpoint, Note, NoteError, Verifier
from audit.tiles import TileMissing
from audit.witness.base import AnotherHistory, Cosignature, Head, Seen, Witness, WitnessFailed
from audit.witness.cosigner import submission
from audit.witness.fetching import address, exchange

_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")
REFUSALS = {400: "malformed", 403: "unknown_key", 404: "unknown_log"}


class HttpWitness(Witness):
    """A witness at an address, known by its pinned public key."""

    kind = "http"

    def __init__(
        self, *, url: str, vkey: str, name: str = "", elsewhere: bool | None = None, every: float | None = None
    ) -> None:
        text = Path(vkey).read_text("utf-8") if "+" not in vkey else vkey
        self.verifier = Verifier.parse(text)
        if self.verifier.kind != COSIGNATURE:
            raise NoteError("the key of a witness is one for cosignatures")
        super().__init__(name=name or self.verifier.name, elsewhere=elsewhere, every=every)
        self.url = address(url)
        self._old = 0
        self._origin = ""

    def publish(self, head: Head) -> Seen:
        """Send the head with the proof from what the witness saw last; it says what that was when we are wrong."""
        ours = head.checkpoint
        if ours.origin != self._origin:
            self._origin, self._old = ours.origin, 0
        old = self._old if self._old <= ours.size else 0
        for _ in range(4):
            status, body = self._ask(head, old)
            if status == 409:
                old = self._told(body)
                if old > ours.size:
                    raise AnotherHistory("ahead", f"{self.name} saw {old} leaves, and the log has {ours.size}")
                continue
            if status == 422:
                raise AnotherHistory("fork", f"{self.name} saw another log of {old} leaves than the one we have")
            if status != 200:
                raise WitnessFailed(REFUSALS.get(status, "refused"), f"{self.name} answers {status}")
            found = self._cosignature(head.note, body)
            self._old = ours.size
            kept = self.read_back()
            if kept is not None:
                head.compare(kept)
            return Seen(size=ours.size, cosignature=found)
        raise WitnessFailed("busy", f"{self.name} names another size each time it is asked")

    def read_back(self) -> Checkpoint | None:
        """Return what the witness shows to anybody, under its own signature; not every witness shows it."""
        if not self._origin:
            return None
        path = hashlib.sha256(self._origin.encode()).hexdigest()
        status, body = exchange(f"{self.url}/{path}/checkpoint")
        if status != 200:
            return None
        try:
            note = Note.parse(body.decode())
            note.verified_by(self.verifier)
            return Checkpoint.parse(note.body)
        except (NoteError, UnicodeDecodeError) as error:
            raise WitnessFailed("read_back", f"{self.name} shows a checkpoint that it did not sign") from error

    def _ask(self, head: Head, old: int) -> tuple[int, bytes]:
        try:
            body = submission(old, head.growth(old), head.note)
        except (ProofError, TileMissing) as error:
            raise WitnessFailed("tiles", f"our own tiles do not give the proof from {old}") from error
        return exchange(f"{self.url}/add-checkpoint", body)

    def _told(self, body: bytes) -> int:
        size = _SIZE.fullmatch(body)
        if size is None:
            raise WitnessFailed("malformed_answer", f"{self.name} names no size")
        return int(size[1])

    def _cosignature(self, note: str, body: bytes) -> Cosignature:
        """Verify the answer as the specification says: append it to the note, and look for the pinned key."""
        try:
            signed = Note.parse(note + body.decode())
            at = signed.verified_by(self.verifier)
            line = signed.line_of(self.verifier)
        except (NoteError, UnicodeDecodeError) as error:
            raise WitnessFailed("cosignature", f"{self.name} did not sign with the pinned key") from error
        if not at:
            raise WitnessFailed("cosignature", f"{self.name} does not say when it signed")
        return Cosignature(witness=self.verifier.name, line=line, at=at)
