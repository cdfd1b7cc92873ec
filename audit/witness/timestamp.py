"""Have a time-stamping authority (RFC 3161) sign that the log had this head by now; the tokens are kept in a folder.

Needs rfc3161-client, which is not among Keystead's own requirements. `openssl ts -verify` checks the same files.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.x509 import Certificate, load_pem_x509_certificates
from rfc3161_client import HashAlgorithm, TimestampRequestBuilder, VerifierBuilder, decode_timestamp_response
from rfc3161_client.errors import VerificationError

from audit.notes import Checkpoint, Note, NoteError
from audit.witness.base import Head, Seen, Witness, WitnessFailed
from audit.witness.directory import DIGITS, write_once
from audit.witness.fetching import address, exchange


class Timestamp(Witness):
    """An authority at an address, whose certificates are pinned."""

    kind = "rfc3161"
    every = 3600.0

    def __init__(
        self,
        *,
        url: str,
        certificates: str,
        keep: str,
        name: str = "",
        elsewhere: bool | None = None,
        every: float | None = None,
    ) -> None:
        self.url, self.keep = address(url), Path(keep)
        super().__init__(name=name or f"time stamps of {self.url}", elsewhere=elsewhere, every=every)
        self._pinned = load_pem_x509_certificates(Path(certificates).read_bytes())

    def publish(self, head: Head) -> Seen:
        """Compare with the newest token that is kept, get the next, keep it, and read it again from the disk."""
        kept, ours = self.read_back(), head.checkpoint
        if kept is not None:
            head.compare(kept)
        if kept is None or kept.size < ours.size:
            token = self._stamped(head.note.encode())
            stem = f"{ours.size:0{DIGITS}d}"
            try:
                write_once(self.keep / f"{stem}.tsr", token)
                write_once(self.keep / f"{stem}.note", head.note.encode())
            except OSError as error:
                raise WitnessFailed("keep", f"{self.keep} cannot be written: {type(error).__name__}") from error
            kept = self.read_back()
        if kept is None or (kept.size, kept.root) != (ours.size, ours.root):
            raise WitnessFailed("read_back", f"{self.keep} does not hold what was put there")
        return Seen(size=kept.size)

    def read_back(self) -> Checkpoint | None:
        """Return the newest head that is kept, if its token is one of the pinned authority over exactly it."""
        try:
            notes = [each for each in self.keep.iterdir() if each.suffix == ".note" and each.stem.isdecimal()]
            if not notes:
                return None
            newest = max(notes)
            text, token = newest.read_bytes(), newest.with_suffix(".tsr").read_bytes()
            self._verify(token, text)
            return Checkpoint.parse(Note.parse(text.decode()).body)
        except OSError as error:
            raise WitnessFailed("keep", f"{self.keep} cannot be read: {type(error).__name__}") from error
        except (NoteError, UnicodeDecodeError) as error:
            raise WitnessFailed("read_back", f"the newest file in {self.keep} is no checkpoint") from error

    def _stamped(self, message: bytes) -> bytes:
        """Ask for a token and verify it: imprint, nonce, signature, certificate and its purpose."""
        asked = TimestampRequestBuilder().data(message).hash_algorithm(HashAlgorithm.SHA256).build()
        headers = {"Content-Type": "application/timestamp-query"}
        status, token = exchange(self.url, asked.as_bytes(), headers=headers)
        if status != 200:
            raise WitnessFailed("refused", f"{self.name} answers {status}")
        self._verify(token, message, nonce=asked.nonce)
        return token

    def _verify(self, token: bytes, message: bytes, *, nonce: int | None = None) -> None:
        roots, others = _sorted(self._pinned)
        try:
            answer = decode_timestamp_response(token)
            VerifierBuilder(roots=roots, intermediates=others, nonce=nonce).build().verify_message(answer, message)
        except (VerificationError, ValueError) as error:
            raise WitnessFailed("token", f"{self.name} gave no token that verifies: {error}") from error


def _sorted(pinned: list[Certificate]) -> tuple[list[Certificate], list[Certificate]]:
    """Tell roots from what stands between them and the authority."""
    roots = [each for each in pinned if each.issuer == each.subject]
    return roots, [each for each in pinned if each not in roots]
