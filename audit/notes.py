"""Write, sign and read checkpoints, cosignatures and proofs in the texts of C2SP.

Plain Python over `cryptography`: signed-note (Ed25519), tlog-checkpoint, tlog-cosignature (v1) and tlog-proof. Readers are
strict: a text that two programs could read differently is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit.merkle import HASH_SIZE

NOTE, COSIGNATURE = 1, 4
"""Kinds of signature: over the note itself, and by a witness with the time."""
PROOF_HEADER = "c2sp.org/tlog-proof@v1"
MAX_NOTE = 64 * 1024

_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_NAME = re.compile(r"[^\s+]+")
_PRIVATE = "PRIVATE+KEY"


class NoteError(ValueError):
    """The text is no note, or is not signed by whom it should be."""


@dataclass(frozen=True, kw_only=True)
class Verifier:
    """A public key with the name it signs under and the kind of signature it makes.

    After a rotation of the log's key each vouches for its own checkpoints only: those of more than `over` leaves, and of
    at most `upto`.
    """

    name: str
    key: bytes
    kind: int = NOTE
    over: int = -1
    upto: int | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or len(self.key) != 32 or self.kind not in (NOTE, COSIGNATURE):
            raise NoteError("not an Ed25519 verifier key")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `name+id+key`, and refuse an id that is not the key's."""
        parts = text.strip().split("+", 2)
        raw = _base64(parts[2]) if len(parts) == 3 else b""
        if len(raw) != 33:
            raise NoteError("not a verifier key: name+id+key")
        found = cls(name=parts[0], kind=raw[0], key=raw[1:])
        if parts[1] != found.id.hex():
            raise NoteError("the verifier key's id is not its own")
        return found

    @property
    def id(self) -> bytes:
        """Return the first four bytes of the hash of name, kind and key."""
        return hashlib.sha256(f"{self.name}\n".encode() + bytes([self.kind]) + self.key).digest()[:4]

    def vouches_for(self, size: int) -> bool:
        """Tell whether this key signs checkpoints of so many leaves."""
        return self.over < size and (self.upto is None or size <= self.upto)

    def text(self) -> str:
        """Write the key for people to pin."""
        return f"{self.name}+{self.id.hex()}+{_text(bytes([self.kind]) + self.key)}"

    def verify(self, signature: bytes, body: str) -> int | None:
        """Check one signature over the body of a note; return the time that a witness says it signed."""
        signed, at = body.encode(), None
        if self.kind == COSIGNATURE:
            if len(signature) != 72:
                raise NoteError(f"a cosignature of {self.name} has the wrong size")
            at, signature = int.from_bytes(signature[:8], "big"), signature[8:]
            signed = _cosigned(at, body)
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, signed)
        except (InvalidSignature, ValueError) as error:
            raise NoteError(f"the signature of {self.name} does not verify") from error
        return at


@dataclass(frozen=True, kw_only=True, repr=False)
class Signer:
    """A private key with its name; the key shows in no repr."""

    name: str
    private: Ed25519PrivateKey
    kind: int = NOTE

    @classmethod
    def generate(cls, name: str, kind: int = NOTE) -> Self:
        """Make a new key."""
        signer = cls(name=name, private=Ed25519PrivateKey.generate(), kind=kind)
        signer.verifier  # noqa: B018 - refuses a name that no note can hold
        return signer

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the private key file."""
        if not text.startswith(f"{_PRIVATE}+"):
            raise NoteError("not a private note key")
        parts = text.strip().removeprefix(f"{_PRIVATE}+").split("+", 2)
        raw = _base64(parts[2]) if len(parts) == 3 else b""
        if len(raw) != 33 or raw[0] not in (NOTE, COSIGNATURE):
            raise NoteError("not a private note key")
        signer = cls(name=parts[0], private=Ed25519PrivateKey.from_private_bytes(raw[1:]), kind=raw[0])
        if signer.verifier.id.hex() != parts[1]:
            raise NoteError("the private key's id is not its own")
        return signer

    def __repr__(self) -> str:
        return f"<Signer {self.name}>"

    @property
    def verifier(self) -> Verifier:
        """Return the public half."""
        return Verifier(name=self.name, key=self.private.public_key().public_bytes_raw(), kind=self.kind)

    def secret_text(self) -> str:
        """Write the private key, for its file and nothing else."""
        raw = bytes([self.kind]) + self.private.private_bytes_raw()
        return f"{_PRIVATE}+{self.name}+{self.verifier.id.hex()}+{_text(raw)}"

    def signature_line(self, body: str, *, at: int = 0) -> str:
        """Sign the body of a note and return the line to put under it; a witness says the time, in Unix seconds."""
        if self.kind == COSIGNATURE:
            signature = at.to_bytes(8, "big") + self.private.sign(_cosigned(at, body))
        else:
            signature = self.private.sign(body.encode())
        return f"\u2014 {self.name} {_text(self.verifier.id + signature)}\n"

    def sign(self, body: str) -> str:
        """Return the note: the body, an empty line, and our signature."""
        return f"{body}\n{self.signature_line(body)}"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One line under a note; the key id tells which key of that name made it."""

    name: str
    key_id: bytes
    signature: bytes

    def line(self) -> str:
        """Write the line, without its line break."""
        return f"\u2014 {self.name} {_text(self.key_id + self.signature)}"


@dataclass(frozen=True, kw_only=True)
class Note:
    """A signed text, taken apart."""

    body: str
    signatures: tuple[Signature, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a note apart; nothing is verified yet."""
        head, separator, tail = text.rpartition("\n\n")
        if len(text) > MAX_NOTE or not separator or not head or not tail.endswith("\n"):
            raise NoteError("not a signed note")
        if any(ord(each) < 0x20 and each != "\n" for each in text):
            raise NoteError("a note holds a control character")
        return cls(body=head + "\n", signatures=tuple(_signature(line) for line in tail[:-1].split("\n")))

    def names(self, verifier: Verifier) -> bool:
        """Tell whether a signature says that it is of this key; nothing is verified."""
        return any((each.name, each.key_id) == (verifier.name, verifier.id) for each in self.signatures)

    def verified_by(self, verifier: Verifier) -> int | None:
        """Raise NoteError unless `verifier` signed; return a witness's time."""
        return verifier.verify(self._signature_of(verifier).signature, self.body)

    def line_of(self, verifier: Verifier) -> str:
        """Return the line by which `verifier` signed, verified, without its line break."""
        self.verified_by(verifier)
        return self._signature_of(verifier).line()

    def _signature_of(self, verifier: Verifier) -> Signature:
        found = [each for each in self.signatures if (each.name, each.key_id) == (verifier.name, verifier.id)]
        if len(found) != 1:
            raise NoteError(f"not signed by {verifier.name} with the pinned key {verifier.id.hex()}")
        return found[0]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The head of a log: its name, how many leaves, and their root."""

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        """Write the text that is signed."""
        return f"{self.origin}\n{self.size}\n{_text(self.root)}\n"

    @classmethod
    def parse(cls, body: str) -> Self:
        """Read the text that was signed; extension lines are allowed and ignored."""
        lines = body.split("\n")
        if len(lines) < 4 or lines.pop() or not all(lines) or not _NUMBER.fullmatch(lines[1]):
            raise NoteError("not a checkpoint")
        return cls(origin=lines[0], size=int(lines[1]), root=hash_of_text(lines[2]))


def open_checkpoint(text: str, verifiers: Iterable[Verifier]) -> Checkpoint:
    """Return the checkpoint of a note that one of the pinned keys signed under the log's own name, or raise NoteError."""
    note = Note.parse(text)
    checkpoint = Checkpoint.parse(note.body)
    refused = NoteError("no key is pinned")
    for verifier in verifiers:
        if verifier.name != checkpoint.origin or verifier.kind != NOTE:
            refused = NoteError(f"the checkpoint is of {checkpoint.origin}, the pinned key of {verifier.name}")
            continue
        try:
            note.verified_by(verifier)
        except NoteError as error:
            refused = error
            continue
        if verifier.vouches_for(checkpoint.size):
            return checkpoint
        refused = NoteError(f"the key {verifier.id.hex()} does not sign checkpoints of {checkpoint.size} leaves")
    raise refused


@dataclass(frozen=True, kw_only=True)
class Proof:
    """That an entry is in the log: its place, the way to the root, and the signed root."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    extra: bytes = b""

    def text(self) -> str:
        """Write the file `.tlog-proof`."""
        extra = f"extra {_text(self.extra)}\n" if self.extra else ""
        path = "".join(f"{_text(each)}\n" for each in self.hashes)
        return f"{PROOF_HEADER}\n{extra}index {self.index}\n{path}\n{self.checkpoint}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read such a file; nothing is verified yet, and `extra` is never covered by any signature."""
        head, separator, checkpoint = text.partition("\n\n")
        lines = head.split("\n")
        if not separator or lines.pop(0) != PROOF_HEADER or not lines:
            raise NoteError("not a proof")
        extra = b""
        if lines[0].startswith("extra "):
            extra = _base64(lines.pop(0).removeprefix("extra "))
        number = lines.pop(0).removeprefix("index ") if lines and lines[0].startswith("index ") else ""
        if not _NUMBER.fullmatch(number) or len(lines) > 63:
            raise NoteError("not a proof")
        return cls(index=int(number), hashes=tuple(map(hash_of_text, lines)), checkpoint=checkpoint, extra=extra)


def _cosigned(at: int, body: str) -> bytes:
    return f"cosignature/v1\ntime {at}\n{body}".encode()


def _signature(line: str) -> Signature:
    dash, name, value = [*line.split(" "), "", "", ""][:3]
    raw = _base64(value)
    if dash != "\u2014" or not _NAME.fullmatch(name) or len(raw) < 5 or line.count(" ") != 2:
        raise NoteError("not a signature line")
    return Signature(name=name, key_id=raw[:4], signature=raw[4:])


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _base64(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError("not base64") from error
    if _text(raw) != text:
        raise NoteError("base64 in another spelling")
    return raw


def hash_of_text(text: str) -> bytes:
    """Read a SHA-256 hash in base64, in its one spelling."""
    raw = _base64(text)
    if len(raw) != HASH_SIZE:
        raise NoteError("not a SHA-256 hash")
    return raw
