"""Be a witness (C2SP tlog-witness): remember the newest head of each log, and cosign what only grew.

Plain Python over files. The memory of a log is one file: the checkpoint with our cosignature, written whole and synced
before anybody is answered, under a lock that all threads and processes of this folder share.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from audit.merkle import EMPTY_ROOT, ProofError, verify_consistency
from audit.notes import COSIGNATURE, NOTE, Checkpoint, Note, NoteError, Signer, Verifier, hash_of_text
from audit.tiles import sync_folder, write_whole

LONGEST_PROOF = 63
LONGEST_REQUEST = 96 * 1024
MOST_EVIDENCE = 100
SIZE_TYPE = "text/x.tlog.size"
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")


class MemoryTorn(Exception):
    """What we remember of a log is not what we wrote: better no answer than one from a fresh start."""


class Unanswerable(Exception):
    """The request is refused with this status."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an HTTP server says."""

    status: int
    body: str
    content_type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The body of `add-checkpoint`."""

    old: int
    proof: tuple[bytes, ...]
    note: Note
    checkpoint: Checkpoint

    @classmethod
    def parse(cls, raw: bytes) -> Submission:
        """Read it strictly; raise NoteError."""
        try:
            head, separator, note = raw.decode().partition("\n\n")
        except UnicodeDecodeError as error:
            raise NoteError("not UTF-8") from error
        first, *lines = head.split("\n")
        old = _OLD.fullmatch(first)
        if not separator or old is None or len(lines) > LONGEST_PROOF:
            raise NoteError("not a submission")
        parsed = Note.parse(note)
        return cls(
            old=int(old[1]),
            proof=tuple(map(hash_of_text, lines)),
            note=parsed,
            checkpoint=Checkpoint.parse(parsed.body),
        )


def submission(old: int, proof: Sequence[bytes], note: str) -> bytes:
    """Write such a body."""
    lines = "".join(f"{base64.b64encode(each).decode('ascii')}\n" for each in proof)
    return f"old {old}\n{lines}\n{note}".encode()


class Cosigner:
    """One witness: a key, the logs it knows, and a folder of memories."""

    def __init__(
        self, folder: Path, signer: Signer, logs: Sequence[Verifier], *, clock: Callable[[], float] = time.time
    ) -> None:
        if signer.kind != COSIGNATURE or not logs or any(each.kind != NOTE for each in logs):
            raise NoteError("a witness signs with a cosignature key, and knows the public keys of logs")
        self.folder, self.signer, self.logs, self._clock = folder, signer, logs, clock

    def add_checkpoint(self, raw: bytes) -> Answer:
        """Answer one submission as the specification says."""
        try:
            asked = Submission.parse(raw)
        except NoteError as error:
            return Answer(status=400, body=f"{error}\n")
        try:
            signatures = self._of_the_log(asked)
            with self._memory_of(asked.checkpoint.origin) as memory:
                return self._decide(asked, signatures, memory)
        except Unanswerable as refused:
            return Answer(status=refused.status, body=f"{refused}\n")

    def newest(self, origin_hash: str) -> str | None:
        """Return the newest cosigned checkpoint of the log whose name has this hash."""
        if any(_hash_of(each.name) == origin_hash for each in self.logs):
            with contextlib.suppress(FileNotFoundError):
                return (self.folder / origin_hash / "checkpoint").read_text("utf-8")
        return None

    def remembered(self, origin: str) -> Checkpoint:
        """Return the newest head of this log that we cosigned; the empty log before the first."""
        text = self.newest(_hash_of(origin))
        if text is None:
            return Checkpoint(origin=origin, size=0, root=EMPTY_ROOT)
        try:
            note = Note.parse(text)
            note.verified_by(self.signer.verifier)
            kept = Checkpoint.parse(note.body)
        except NoteError as error:
            raise MemoryTorn(f"what was kept of {origin} is not what was signed") from error
        if kept.origin != origin:
            raise MemoryTorn(f"what was kept of {origin} is of {kept.origin}")
        return kept

    def _of_the_log(self, asked: Submission) -> str:
        """Return the lines of the log's own signatures; refuse strangers, and a known key whose signature does not verify."""
        known = [each for each in self.logs if each.name == asked.checkpoint.origin]
        if not known:
            raise Unanswerable(404, "unknown log")
        signers = [each for each in known if asked.note.names(each)]
        if not signers:
            raise Unanswerable(403, "not signed by a known key of this log")
        try:
            return "".join(f"{asked.note.line_of(signer)}\n" for signer in signers)
        except NoteError as error:
            raise Unanswerable(403, str(error)) from error

    def _decide(self, asked: Submission, signatures: str, memory: Path) -> Answer:
        new = asked.checkpoint
        if asked.old > new.size:
            raise Unanswerable(400, "the old size is larger than the checkpoint")
        kept = self.remembered(new.origin)
        if asked.old != kept.size:
            return Answer(status=409, body=f"{kept.size}\n", content_type=SIZE_TYPE)
        try:
            verify_consistency(kept.size, new.size, kept.root, new.root, asked.proof)
        except ProofError as error:
            self._keep_evidence(memory, asked)
            raise Unanswerable(422, str(error)) from error
        at = int(self._clock())
        line = self.signer.signature_line(asked.note.body, at=at)
        self._remember(memory, f"{asked.note.body}\n{signatures}{line}", at=at)
        return Answer(status=200, body=line)

    def _remember(self, memory: Path, text: str, *, at: int) -> None:
        """Write the memory, and once a day a copy that stays: what auditors compare with."""
        write_whole(memory / "checkpoint", text)
        day = memory / "kept" / f"{datetime.fromtimestamp(at, tz=UTC):%Y-%m-%d}.note"
        if not day.exists():
            day.parent.mkdir(exist_ok=True)
            write_whole(day, text)

    def _keep_evidence(self, memory: Path, asked: Submission) -> None:
        """Keep a signed head that does not grow from ours: the two are what proves that the log forked."""
        folder = memory / "evidence"
        folder.mkdir(exist_ok=True)
        path = folder / f"{asked.checkpoint.size}-{asked.checkpoint.root.hex()[:16]}.note"
        if not path.exists() and sum(1 for _ in folder.iterdir()) < MOST_EVIDENCE:
            lines = "".join(f"{asked.note.line_of(each)}\n" for each in self.logs if asked.note.names(each))
            write_whole(path, f"{asked.note.body}\n{lines}")

    @contextlib.contextmanager
    def _memory_of(self, origin: str) -> Iterator[Path]:
        """Hold the memory of one log: reading and writing it are one step, for threads and for processes."""
        memory = self.folder / _hash_of(origin)
        if not memory.exists():
            memory.mkdir(mode=0o755, parents=True, exist_ok=True)
            sync_folder(self.folder)
        with (memory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield memory


def _hash_of(origin: str) -> str:
    return hashlib.sha256(origin.encode()).hexdigest()


def create_witness_key(path: Path, *, name: str) -> Verifier:
    """Make the key of a witness, for its owner's eyes, and the public half beside it; an existing key is never replaced."""
    signer = Signer.generate(name, COSIGNATURE)
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as file:
        file.write(signer.secret_text() + "\n")
        file.flush()
        os.fsync(file.fileno())
    write_whole(path.with_suffix(".vkey"), signer.verifier.text() + "\n")
    return signer.verifier


def read_witness_key(path: Path) -> Signer:
    """Read it; refuse one that others can read: whoever has it can say that he saw what he never saw."""
    text = path.read_text()
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise NoteError(f"{path} can be read by others: chmod 400")
    return Signer.parse(text)


def read_verifiers(given: str) -> list[Verifier]:
    """Read public keys, one a line, from a file or as they were given; during a rotation a log has two."""
    text = given if "+" in given else Path(given).read_text("utf-8")
    return [Verifier.parse(line) for line in text.splitlines() if line.strip()]
