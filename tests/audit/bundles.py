"""Small logs and bundles in memory, with every part in the test's hands: what a compromised site could write, and seal."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import IO, Any
from uuid import UUID, uuid4

from audit import verify
from audit.actor import Actor
from audit.canonical import canonical_json
from audit.exporters.bundle import Contents, add_signature, assemble
from audit.exporters.bundle_rows import LeafRange, Row, Scope, Selection
from audit.merkle import (
    NodeId,
    consistency_ranges,
    fold,
    full_subtrees,
    inclusion_ranges,
    leaf_hash,
    node_hash,
    proof_of,
)
from audit.notes import Checkpoint, Proof, Signer
from audit.queries import AuditEventQuerySet

SIGNER = Signer.generate("keystead/audit-log/bundles")
STRANGER = Signer.generate("keystead/audit-log/bundles")  # the same name, and another key
AUDITOR = Actor.operator("auditor")
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEYS = [verify.read_key(SIGNER.verifier.text())]

Payload = dict[str, Any]


def event(action: str, target_id: str, **changes: Any) -> Payload:
    """An event as the log holds it; `change` gives only the new values unless it holds pairs."""
    kind = action.partition(".")[0]
    change = {
        name: each if isinstance(each, tuple) else (None, each) for name, each in changes.pop("change", {}).items()
    }
    body = canonical_json(changes.pop("private", {}))
    salt = hashlib.sha256(target_id.encode()).digest()
    told: Payload = {
        "version": 1, "uid": str(uuid4()), "time": "2026-11-22T10:00:00.000Z", "action": action, "outcome": "success",
        "severity": "low", "actor": {"type": "system", "id": "tests", "session": ""}, "on_behalf_of": None,
        "auth": {"mfa": False}, "target": {"type": kind, "id": target_id, "version": ""}, "environment": "",
        "request": {"id": "", "method": "", "route": "", "task": ""}, "reason": "", "details": {}, "correlation": "",
        "change": {name: list(pair) for name, pair in change.items()}, "approvals": [], "policy": None, "app": "0",
        "private": {"alg": "sha-256", "commitment": hashlib.sha256(salt + body).hexdigest()},
    }  # fmt: skip
    return told | changes


def many(count: int) -> list[Payload]:
    return [event("thing.changed", f"t-{n}", reason="=1+1" if n % 7 == 0 else "") for n in range(count)]


class MemoryLog:
    """A log that signs whatever it is given."""

    def __init__(self, events: Sequence[Payload], signer: Signer = SIGNER) -> None:
        self.signer = signer
        self._nodes: dict[NodeId, bytes] = {}
        self.payloads = [canonical_json(each) for each in events]
        self.uids = [UUID(each["uid"]) for each in events]
        self.salts = [hashlib.sha256(each["target"]["id"].encode()).digest() for each in events]

    def add(self, told: Payload) -> int:
        self.payloads.append(canonical_json(told))
        self.uids.append(UUID(told["uid"]))
        self.salts.append(hashlib.sha256(told["target"]["id"].encode()).digest())
        return len(self.payloads) - 1

    def node(self, node: NodeId) -> bytes:
        level, index = node
        if node not in self._nodes:
            below = [(level - 1, 2 * index), (level - 1, 2 * index + 1)]
            self._nodes[node] = leaf_hash(self.payloads[index]) if not level else node_hash(*map(self.node, below))
        return self._nodes[node]

    def root(self, size: int) -> bytes:
        return fold([self.node(each) for each in full_subtrees(0, size)])

    def note(self, size: int | None = None) -> str:
        size = len(self.payloads) if size is None else size
        return self.signer.sign(Checkpoint(origin=self.signer.name, size=size, root=self.root(size)).body())

    def proof(self, index: int) -> Proof:
        size = len(self.payloads)
        hashes = proof_of(inclusion_ranges(index, size), self.node)
        return Proof(index=index, hashes=tuple(hashes), checkpoint=self.note())

    def growth(self, old: int, new: int) -> list[bytes]:
        return proof_of(consistency_ranges(old, new), self.node)


def make_bundle(
    log: MemoryLog, places: Sequence[int] | None = None, *, with_private: bool = False, since: Sequence[int] = (),
    scope: Scope | None = None, forge: Callable[[dict[str, Any]], None] | None = None, later: int = 3,
    support: Sequence[int] = (),
) -> dict[str, bytes]:  # fmt: skip
    """The files of a bundle of these places (or all): a range when they are dense and no scope says otherwise.

    `forge` changes the manifest before the log signs it: what only a compromised site could do.
    """
    size = len(log.payloads)
    chosen = list(range(size)) if places is None else list(places)
    if scope is None:
        scope = LeafRange() if places is None else Selection(events=AuditEventQuerySet(), searched={"action": "some"})
    body = canonical_json({})
    rows = [Row(each, log.uids[each], log.payloads[each], log.salts[each], body) for each in chosen]
    contents = Contents(
        scope=scope,
        rows=iter([rows[at : at + 7] for at in range(0, len(rows), 7)]),
        note=log.note(size),
        nodes=lambda wanted: {node: log.node(node) for node in wanted},
        growth=[(each, log.growth(each, size)) for each in since],
        support=iter([[Row(each, log.uids[each], log.payloads[each])] for each in support]),
        key=log.signer.verifier.text(),
    )
    into = io.BytesIO()
    manifest = assemble(contents, into=into, actor=AUDITOR, at=AT, with_private=with_private)
    files = unpacked(into.getvalue())
    raw = manifest.encoded()
    if forge is not None:
        told = json.loads(raw)
        forge(told)
        raw = canonical_json(told)
    return sign(files | {"manifest.json": raw}, log, size=size, later=later)


def sign(files: Mapping[str, bytes], log: MemoryLog, *, size: int, later: int = 3) -> dict[str, bytes]:
    """Let the log record and seal the export of what `files` has as manifest."""
    manifest = json.loads(files["manifest.json"])
    kind, _, name = manifest["exported_by"].partition(":")
    details = {
        "form": "bundle",
        "rows": manifest.get("rows"),
        "sha256": hashlib.sha256(files["manifest.json"]).hexdigest(),
    }
    grown = MemoryLog([], log.signer)
    grown.payloads, grown.uids, grown.salts = list(log.payloads), list(log.uids), list(log.salts)
    index = grown.add(
        event("audit.log-exported", "log", details=details, actor={"type": kind, "id": name, "session": ""})
    )
    for told in many(later):
        grown.add(told)
    into = packed({name: text for name, text in files.items() if not name.startswith("export.")})
    add_signature(
        into, payload=grown.payloads[index], proof=grown.proof(index), growth=grown.growth(size, len(grown.payloads))
    )
    return unpacked(into.getvalue())


def refreshed(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files with a manifest that fits them: what somebody without the log's key can do."""
    told = json.loads(files["manifest.json"])
    inside = {name: text for name, text in files.items() if name != "manifest.json" and not name.startswith("export.")}
    counted = {each["name"]: each["rows"] is not None for each in told["files"]}
    told["files"] = [
        {
            "name": name,
            "bytes": len(text),
            "sha256": hashlib.sha256(text).hexdigest(),
            "rows": text.count(b"\n") - (name == "report.csv") if counted.get(name) else None,
        }
        for name, text in inside.items()
    ]
    return {**files, "manifest.json": canonical_json(told)}


def unpacked(text: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(text)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(files: Mapping[str, bytes]) -> io.BytesIO:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return into


class InMemory(verify.Material):
    """A bundle that never was a file, so that thousands can be verified in a second."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(list(files))
        self.files = files

    def open(self, name: str) -> IO[bytes]:
        return io.BytesIO(self.files[name])


def verdict(files: Mapping[str, bytes], keys: Sequence[verify.Key] = KEYS, **asked: Any) -> dict[str, Any]:
    """What verify.py says of these files; raises its Finding."""
    return verify.verify_bundle(InMemory(files), keys, **asked)[1]


def refusal(files: Mapping[str, bytes], keys: Sequence[verify.Key] = KEYS, **asked: Any) -> str:
    """The code of the finding; fails when there is none."""
    try:
        verdict(files, keys, **asked)
    except verify.Finding as finding:
        return finding.code
    raise AssertionError("the bundle was accepted")


def assert_refused_when_changed(files: Mapping[str, bytes], *, places: int, keys: Sequence[verify.Key] = KEYS) -> None:
    """Change each file in so many random places, one at a time: none is accepted, and the untouched bundle is."""
    verdict(files, keys)
    dice = Random(4)
    for name, text in files.items():
        for _ in range(places if text else 0):
            at = dice.randrange(len(text))
            changed = text[:at] + bytes([text[at] ^ dice.randrange(1, 256)]) + text[at + 1 :]
            if dice.random() < 0.2:
                shorter, longer = text[:at] + text[at + 1 :], text[:at] + b"\n" + text[at:]
                changed = dice.choice([text[:at], shorter, longer, text + b"\n"])
            assert refusal({**files, name: changed}, keys), (name, at)
