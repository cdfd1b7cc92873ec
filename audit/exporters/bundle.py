"""Write an evidence bundle: a ZIP that an outsider verifies with one file, the log's public key and nothing else.

The bundle is made in two steps. `write_bundle` writes the events, what proves them, and a manifest with the SHA-256 of
every file; the caller records `manifest.event()` in the same transaction. Once that event is sealed, `finish_bundle` adds
it with its proof: the manifest is then signed by the log itself, and no process but the sealer holds a key for that.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from django.db import connections

from audit import verify
from audit.actor import Actor
from audit.canonical import canonical_json
from audit.checkpoints import consistency_proof, cosigned, nodes, proof_of_event
from audit.events import LogExported
from audit.exporters import csv_table, json_lines
from audit.exporters.bundle_rows import LeafRange, Row, Scope, head_of, rows_of, support_of
from audit.exporters.bundle_zip import BundleFile, BundleZip, add_members, is_finished
from audit.exporters.gap_proof import GapProof
from audit.exporters.summary import readme, summary
from audit.governed import column_value
from audit.notes import Note, Proof

FORM = "bundle"
KIND = "keystead-evidence-bundle"
VERSION = 1
COMPLETENESS, PRESENCE = "completeness", "presence"
MANIFEST, EVENTS, PROOF, TABLE, PRIVATE = "manifest.json", "events.jsonl", "proof.txt", "report.csv", "private.jsonl"
CHECKPOINT, GROWTH, SUMMARY, README = "checkpoint", "growth.txt", "summary.html", "README.txt"
KEY, VERIFIER = "log.vkey", "verify.py"
EXPORT_EVENT, EXPORT_PROOF, EXPORT_GROWTH = "export.json", "export.tlog-proof", "export.growth"
SUPPORT = "support.jsonl"
IN_MEMORY = 256 * 1024


class BundleError(Exception):
    """The bundle cannot be made as it was asked for."""


@dataclass(frozen=True, kw_only=True)
class LinesFile:
    """A further file with something for each event, such as the events as OCSF: a head, and the lines of some payloads."""

    name: str
    lines: Callable[[Sequence[bytes]], bytes]
    head: bytes = b""


@dataclass(frozen=True, kw_only=True)
class PageFile:
    """A further file that tells what the bundle holds, such as a PDF."""

    name: str
    write: Callable[[BundleManifest], bytes]


@dataclass(frozen=True, kw_only=True)
class BundleManifest:
    """What the bundle holds and claims; `files` covers every other file but the event of the export and its proof."""

    proves: str
    searched: Mapping[str, str]
    from_leaf: int
    upto_leaf: int
    rows: int
    first_at: str
    last_at: str
    exported_by: str
    exported_at: datetime
    origin: str
    size: int
    root: str
    with_private: bool
    files: tuple[BundleFile, ...] = ()

    def encoded(self) -> bytes:
        """Return the manifest file."""
        facts = {name: column_value(value) for name, value in vars(self).items() if name != "files"}
        files: list[Any] = [vars(each) for each in self.files]  # Any: a JSON object for each file
        return canonical_json({"kind": KIND, "version": VERSION, **facts, "files": files})

    def event(self) -> LogExported:
        """Return the event that puts this export on record, and by its sealing signs the manifest."""
        return LogExported(
            target_id="log",
            form=FORM,
            searched={**self.searched, "leaves": f"{self.from_leaf}-{self.upto_leaf}", "proves": self.proves},
            rows=self.rows,
            size=sum(each.bytes for each in self.files),
            sha256=hashlib.sha256(self.encoded()).hexdigest(),
            with_private=self.with_private,
        )


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What goes into a bundle, wherever it was read: the rows, the signed head over them, and the subtrees between."""

    scope: Scope
    rows: Iterator[Sequence[Row]]
    note: str
    nodes: Callable[[set[tuple[int, int]]], Mapping[tuple[int, int], bytes]]
    growth: Sequence[tuple[int, Sequence[bytes]]] = ()
    key: str = ""
    support: Iterator[Sequence[Row]] | None = None


@dataclass
class _Told:
    """What is counted while the rows go by."""

    first: int = 0
    after: int = 0
    rows: int = 0
    times: list[str] = field(default_factory=list)


def write_bundle(
    scope: Scope,
    *,
    into: BinaryIO,
    actor: Actor,
    at: datetime,
    progress: Callable[[int], None] = lambda rows: None,
    using: str = "default",
    with_private: bool = False,
    since: Sequence[int] = (),
    key: str = "",
    lines: Sequence[LinesFile] = (),
    pages: Sequence[PageFile] = (),
    seen: Callable[[Sequence[bytes]], object] = len,
) -> BundleManifest:
    """Write all but the signature to `into` (seekable, readable); the caller records `manifest.event()`, commits, finishes.

    `since` are sizes of checkpoints that the reader kept: the bundle then shows that its log grew out of theirs. `seen` is
    given every payload before `pages` are written. Raises
    NotSealed when the log is not as large as was asked, BundleError when events of a range are not in the database.
    """
    if not connections[using].in_atomic_block:
        raise RuntimeError("a bundle is read in one transaction: its pages are of one snapshot")
    head = head_of(scope, using)
    contents = Contents(
        scope=scope,
        rows=rows_of(scope, head.size, with_private=with_private, using=using),
        support=support_of(scope, using=using),
        note=cosigned(head, using),
        nodes=lambda wanted: nodes(wanted, using),
        growth=[(size, consistency_proof(size, head.size, using=using)) for size in sorted(set(since))],
        key=key,
    )
    return assemble(
        contents,
        into=into,
        actor=actor,
        at=at,
        progress=progress,
        with_private=with_private,
        lines=lines,
        pages=pages,
        seen=seen,
    )


def finish_bundle(manifest: BundleManifest, uid: UUID, *, into: BinaryIO, using: str = "default") -> None:
    """Add the event `uid` of the export, its proof and the growth of the log since; raise NotSealed while it waits."""
    if is_finished(into, EXPORT_PROOF):
        return
    proof, payload = proof_of_event(uid, using=using), _payload(uid, using)
    add_signature(
        into,
        payload=payload,
        proof=proof,
        growth=consistency_proof(manifest.size, _size(proof), using=using),
    )


def add_signature(into: BinaryIO, *, payload: bytes, proof: Proof, growth: Sequence[bytes]) -> None:
    """Add what signs the manifest to a bundle that has all the rest."""
    note = Note.parse(proof.checkpoint)
    # Only the log's own keys: nobody who verifies the bundle has to know a witness to notice a changed byte.
    own = [each.line() for each in note.signatures if each.name == note.body.split("\n")[0]]
    signed = "".join(f"{line}\n" for line in own)
    alone = Proof(index=proof.index, hashes=proof.hashes, checkpoint=f"{note.body}\n{signed}")
    add_members(
        into,
        {
            EXPORT_EVENT: payload,
            EXPORT_PROOF: alone.text().encode(),
            EXPORT_GROWTH: _hash_lines(growth),
        },
    )


def assemble(
    contents: Contents,
    *,
    into: BinaryIO,
    actor: Actor,
    at: datetime,
    progress: Callable[[int], None] = lambda rows: None,
    with_private: bool = False,
    lines: Sequence[LinesFile] = (),
    pages: Sequence[PageFile] = (),
    seen: Callable[[Sequence[bytes]], object] = len,
) -> BundleManifest:
    """Write the files of a bundle and its manifest from what was read."""
    scope, origin, size, root = contents.scope, *_told_by(contents.note)
    table = LinesFile(name=TABLE, head=csv_table.header(), lines=csv_table.lines)
    with ExitStack() as stack:
        bundle = stack.enter_context(BundleZip(into))
        proof = GapProof(contents.nodes)
        beside = {
            each: stack.enter_context(tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)) for each in (table, *lines)
        }
        gaps = stack.enter_context(tempfile.SpooledTemporaryFile(max_size=IN_MEMORY))
        private = stack.enter_context(tempfile.SpooledTemporaryFile(max_size=IN_MEMORY))
        for each, file in beside.items():
            file.write(each.head)
        support = stack.enter_context(tempfile.SpooledTemporaryFile(max_size=IN_MEMORY))
        told, kept, supporting = _Told(), 0, 0
        for rows in contents.support or ():
            gaps.write(proof.before([row.place for row in rows]))
            support.write(json_lines.lines([row.payload for row in rows]))
            supporting += len(rows)
        with bundle.lines(EVENTS) as events:
            for rows in contents.rows:
                payloads = [row.payload for row in rows]
                events.write(json_lines.lines(payloads), rows=len(rows))
                seen(payloads)
                gaps.write(proof.before([row.place for row in rows]))
                for each, file in beside.items():
                    file.write(each.lines(payloads))
                if with_private:
                    parts = [(row.uid, row.salt, row.body) for row in rows if row.body is not None]
                    private.write(json_lines.private_lines(parts))
                    kept += len(parts)
                _count(told, rows)
                progress(told.rows)
        gaps.write(proof.after(size))
        _check_range(scope, told, size)
        bundle.copy(PROOF, gaps, rows=proof.lines)
        if supporting:
            bundle.copy(SUPPORT, support, rows=supporting)
        for each, file in beside.items():
            bundle.copy(each.name, file, rows=told.rows)
        if with_private:
            bundle.copy(PRIVATE, private, rows=kept)
        bundle.add(CHECKPOINT, contents.note.encode())
        if contents.growth:
            bundle.add(GROWTH, b"".join(_growth_line(old, size, hashes) for old, hashes in contents.growth))
        if contents.key:
            bundle.add(KEY, f"{contents.key.strip()}\n".encode())
        bundle.add(VERIFIER, Path(verify.__file__).read_bytes())
        manifest = BundleManifest(
            proves=COMPLETENESS if isinstance(scope, LeafRange) else PRESENCE,
            searched={} if isinstance(scope, LeafRange) else dict(scope.searched),
            from_leaf=told.first,
            upto_leaf=told.after,
            rows=told.rows,
            first_at=min(told.times, default=""),
            last_at=max(told.times, default=""),
            exported_by=f"{actor.kind}:{actor.id}",
            exported_at=at,
            origin=origin,
            size=size,
            root=root,
            with_private=with_private,
        )
        for page in (
            PageFile(name=SUMMARY, write=summary),
            PageFile(name=README, write=readme),
            *pages,
        ):
            bundle.add(page.name, page.write(manifest))
        manifest = BundleManifest(**{**vars(manifest), "files": bundle.files})
        bundle.add(MANIFEST, manifest.encoded())
    return manifest


def _count(told: _Told, rows: Sequence[Row]) -> None:
    if not rows:
        return
    if not told.rows:
        told.first = rows[0].place
    told.after = rows[-1].place + 1
    told.rows += len(rows)
    times = [_time(row.payload) for row in rows]
    told.times = [min([*told.times, *times]), max([*told.times, *times])]


def _time(payload: bytes) -> str:
    """Return the time of an event: after it come only uid and version, in the order of canonical JSON."""
    at = payload.rindex(b'"time":"') + 8
    return payload[at : payload.index(b'"', at)].decode("ascii")


def _check_range(scope: Scope, told: _Told, size: int) -> None:
    """Refuse to claim completeness of a range that is not all there."""
    if not isinstance(scope, LeafRange):
        return
    upto = size if scope.upto_leaf is None else scope.upto_leaf
    if not told.rows:
        told.first = told.after = scope.from_leaf
    if (told.first, told.after, told.rows) != (scope.from_leaf, upto, upto - scope.from_leaf):
        raise BundleError(f"not every leaf from {scope.from_leaf} to {upto} is in the database; see the archive")


def _payload(uid: UUID, using: str) -> bytes:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT payload FROM audit_event WHERE uid = %s", (uid,))
        return bytes(cursor.fetchone()[0])


def _told_by(note: str) -> tuple[str, int, str]:
    origin, size, root = Note.parse(note).body.split("\n")[:3]
    return origin, int(size), verify.decode(root).hex()


def _size(proof: Proof) -> int:
    return _told_by(proof.checkpoint)[1]


def _hash_lines(hashes: Sequence[bytes]) -> bytes:
    return b"".join(verify.encode(each).encode() + b"\n" for each in hashes)


def _growth_line(old: int, new: int, hashes: Sequence[bytes]) -> bytes:
    return f"{' '.join([str(old), str(new), *map(verify.encode, hashes)])}\n".encode()
