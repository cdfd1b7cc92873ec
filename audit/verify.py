#!/usr/bin/env python3
"""Verify an audit log of Keystead without Keystead: one file, Python's standard library, no network.

    python verify.py proof event.tlog-proof --entry event.json --key log.vkey
    python verify.py consistency old.note new.note --key log.vkey (--proof hashes.txt | --tiles FOLDER)
    python verify.py tiles FOLDER --key log.vkey [--trust old.note] [--deep]

`--key` is the public key you pinned, as a file or as text; nothing in the material itself is believed before it verifies
under that key. Exit code 0: everything holds. 1: findings. 2: the question cannot be answered (a file or key is missing).
What it proves: an entry is in the log; the log only grew; the entries are those that were signed. What it cannot prove:
that an entry tells the truth, or that nothing was kept from the log.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:  # an auditor's machine needs no package; signatures then take a few milliseconds each
    HAS_CRYPTOGRAPHY = False
else:
    HAS_CRYPTOGRAPHY = True

OK, FINDINGS, UNUSABLE = 0, 1, 2
WIDTH = 256
NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
NOTE, COSIGNATURE = 1, 4


class Finding(Exception):
    """Something does not hold; `index` is the first bad leaf, where there is one."""

    def __init__(self, code: str, words: str, index: int | None = None) -> None:
        super().__init__(words)
        self.code, self.index = code, index


class Unusable(Exception):
    """The question cannot be answered with what was given."""


# --- Ed25519 (RFC 8032), for machines without `cryptography` -----------------------------------------------------------
_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_SQRT_M1 = pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]


def _add(p: _Point, q: _Point) -> _Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % _P, (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _multiply(scalar: int, point: _Point) -> _Point:
    result: _Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point, scalar = _add(point, point), scalar >> 1
    return result


def _decompress(raw: bytes) -> _Point | None:
    number = int.from_bytes(raw, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    if y >= _P:
        return None
    x2 = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(x2, (_P + 3) // 8, _P)
    if (x * x - x2) % _P:
        x = x * _SQRT_M1 % _P
    if (x * x - x2) % _P or (x == 0 and sign):
        return None
    x = _P - x if x & 1 != sign else x
    return (x, y, 1, x * y % _P)


_BASE = _decompress((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little"))


def plain_ed25519(key: bytes, signature: bytes, message: bytes) -> bool:
    """Verify one signature with integers alone."""
    point, r = _decompress(key), _decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if _BASE is None or point is None or r is None or len(signature) != 64 or s >= _L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % _L
    left, right = _multiply(s, _BASE), _add(r, _multiply(h, point))
    same_x = (left[0] * right[2] - right[0] * left[2]) % _P == 0
    return same_x and (left[1] * right[2] - right[1] * left[2]) % _P == 0


def ed25519(key: bytes, signature: bytes, message: bytes) -> bool:
    """Verify one signature."""
    if not HAS_CRYPTOGRAPHY:
        return plain_ed25519(key, signature, message)
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


# --- The Merkle tree (RFC 9162) ------------------------------------------------------------------------------------------
def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """The peaks of a growing tree."""

    def __init__(self) -> None:
        self.size = 0
        self.peaks: list[bytes] = []

    def append(self, node: bytes) -> None:
        """Add one leaf."""
        self.peaks.append(node)
        self.size += 1
        for _ in range((self.size & -self.size).bit_length() - 1):
            right = self.peaks.pop()
            self.peaks[-1] = node_hash(self.peaks[-1], right)

    def root(self) -> bytes:
        """Return the root."""
        if not self.peaks:
            return hashlib.sha256(b"").digest()
        result = self.peaks[-1]
        for each in reversed(self.peaks[:-1]):
            result = node_hash(each, result)
        return result


def included_root(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """Return the root that an inclusion proof leads to (2.1.3.2)."""
    place, last, result = index, size - 1, leaf
    if not 0 <= index < size:
        raise Finding("proof", f"a tree of {size} has no leaf {index}", index)
    for each in proof:
        if last == 0:
            raise Finding("proof", "the proof is too long", index)
        if place & 1 or place == last:
            result = node_hash(each, result)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            result = node_hash(result, each)
        place, last = place >> 1, last >> 1
    if last:
        raise Finding("proof", "the proof is too short", index)
    return result


def check_growth(old: Head, new: Head, proof: Sequence[bytes]) -> None:
    """Check a consistency proof (2.1.4.2)."""
    broken = Finding("consistency", f"the log of {new.size} leaves does not begin with that of {old.size}")
    if old.size > new.size:
        raise Finding("rollback", f"the log shrank from {old.size} to {new.size} leaves", new.size)
    if old.size in (0, new.size):
        if proof or (old.size == new.size and old.root != new.root) or (not old.size and old.root != Tree().root()):
            raise broken
        return
    path = [old.root, *proof] if old.size & (old.size - 1) == 0 else list(proof)
    place, last = old.size - 1, new.size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    if not path:
        raise broken
    first = second = path[0]
    for each in path[1:]:
        if last == 0:
            raise broken
        if place & 1 or place == last:
            first, second = node_hash(each, first), node_hash(each, second)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            second = node_hash(second, each)
        place, last = place >> 1, last >> 1
    if last or first != old.root or second != new.root:
        raise broken


# --- Signed notes, checkpoints and proofs (C2SP) ---------------------------------------------------------------------------
class Key(NamedTuple):
    """A pinned public key."""

    name: str
    kind: int
    raw: bytes

    @property
    def id(self) -> bytes:
        """Return the id that signatures name."""
        return hashlib.sha256(f"{self.name}\n".encode() + bytes([self.kind]) + self.raw).digest()[:4]


class Head(NamedTuple):
    """A checkpoint whose signature was verified."""

    origin: str
    size: int
    root: bytes
    witnesses: tuple[str, ...] = ()


def decode(text: str) -> bytes:
    """Read base64 in its one spelling."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not raw or base64.b64encode(raw).decode() != text:
        raise Finding("form", "not base64")
    return raw


def encode(raw: bytes) -> str:
    """Write base64 in its one spelling."""
    return base64.b64encode(raw).decode("ascii")


def read_key(given: str) -> Key:
    """Read `name+id+key`, from a file or as it was given."""
    text = (Path(given).read_text("utf-8") if Path(given).is_file() else given).strip()
    name, _, rest = text.partition("+")
    number, _, value = rest.partition("+")
    try:
        raw = decode(value)
    except Finding as finding:
        raise Unusable(f"{given} is no public key") from finding
    key = Key(name, raw[0], raw[1:])
    if len(raw) != 33 or not name or key.kind not in (NOTE, COSIGNATURE) or key.id.hex() != number:
        raise Unusable(f"{given} is no public key")
    return key


def open_note(text: str, keys: Sequence[Key], witnesses: Sequence[Key] = ()) -> Head:
    """Return the head in a note that a pinned key signed under the log's own name."""
    body, separator, tail = text.rpartition("\n\n")
    body += "\n"
    lines = body.split("\n")
    if not separator or len(lines) < 4 or not all(lines[:-1]) or not NUMBER.fullmatch(lines[1]):
        raise Finding("form", "not a checkpoint")
    signed = [_signature(line) for line in tail.rstrip("\n").split("\n")]
    root = decode(lines[2])
    if len(root) != 32:
        raise Finding("form", "not a checkpoint")
    if not any(key.name == lines[0] and key.kind == NOTE and _signed_by(key, body, signed) for key in keys):
        raise Finding("signature", f"the checkpoint of {lines[0]} is not signed by a pinned key")
    seen = tuple(key.name for key in witnesses if _signed_by(key, body, signed))
    return Head(lines[0], int(lines[1]), root, seen)


def _signature(line: str) -> tuple[str, bytes]:
    dash, _, rest = line.partition(" ")
    name, _, value = rest.partition(" ")
    if dash != "\u2014":
        raise Finding("form", "not a signature line")
    return name, decode(value)


def _signed_by(key: Key, body: str, signed: Sequence[tuple[str, bytes]]) -> bool:
    found = [raw[4:] for name, raw in signed if (name, raw[:4]) == (key.name, key.id)]
    if len(found) != 1:
        return False
    signature, message = found[0], body.encode()
    if key.kind == COSIGNATURE:
        message = f"cosignature/v1\ntime {int.from_bytes(signature[:8], 'big')}\n{body}".encode()
        signature = signature[8:]
    return ed25519(key.raw, signature, message)


def verify_proof(text: str, entry: bytes, keys: Sequence[Key], witnesses: Sequence[Key]) -> tuple[Head, int]:
    """Check a `.tlog-proof` of an entry; return the head and the place in it."""
    above, separator, note = text.partition("\n\n")
    lines = above.split("\n")
    if not separator or lines.pop(0) != "c2sp.org/tlog-proof@v1" or not lines:
        raise Finding("form", "not a proof")
    if lines[0].startswith("extra "):
        lines.pop(0)  # covered by nothing, so it says nothing
    number = lines.pop(0).removeprefix("index ") if lines else ""
    hashes = [decode(line) for line in lines]
    if not NUMBER.fullmatch(number) or any(len(each) != 32 for each in hashes):
        raise Finding("form", "not a proof")
    head, index = open_note(note, keys, witnesses), int(number)
    if included_root(leaf_hash(entry), index, head.size, hashes) != head.root:
        raise Finding("inclusion", f"this entry is not leaf {index} of the log", index)
    return head, index


# --- Tiles -------------------------------------------------------------------------------------------------------------------
def tile(folder: Path, level: int | str, index: int, width: int) -> bytes:
    """Read a tile of `width` or, where that was replaced, a fuller one."""
    digits = f"{index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    path = folder / "tile" / str(level) / "/".join([*(f"x{each}" for each in parts[:-1]), parts[-1]])
    partial = path.with_name(path.name + ".p")
    widths = [int(each.name) for each in partial.iterdir() if each.name.isdecimal()] if partial.is_dir() else []
    for each in sorted(found for found in {width, *widths} if width <= found < WIDTH):
        if (partial / str(each)).is_file():
            return (partial / str(each)).read_bytes()
    if path.is_file():
        return path.read_bytes()
    raise Finding("missing", f"{path.relative_to(folder)} is missing", index * WIDTH)


def entries(folder: Path, size: int) -> Iterator[bytes]:
    """Yield every entry of the log in order."""
    for index in range(-(-size // WIDTH)):
        width = min(WIDTH, size - index * WIDTH)
        text, at = tile(folder, "entries", index, width), 0
        for place in range(width):
            end = at + 2 + int.from_bytes(text[at : at + 2], "big")
            if at + 2 > len(text) or end > len(text):
                raise Finding("torn", f"entry bundle {index} is torn", index * WIDTH + place)
            yield text[at + 2 : end]
            at = end


def verify_tiles(folder: Path, head: Head, trusted: Sequence[Head], *, deep: bool = False) -> None:
    """Hash every entry, compare with the hash tiles, and the root at each trusted size with what was signed."""
    heads = sorted({*trusted, head}, key=lambda each: each.size)
    if heads[-1].size > head.size:
        raise Finding("rollback", f"{heads[-1].size} leaves were signed, and there are {head.size}", head.size)
    tree, level0, uids, before = Tree(), b"", set(), 0
    for index, entry in enumerate(entries(folder, head.size)):
        if index % WIDTH == 0:
            level0 = tile(folder, 0, index // WIDTH, min(WIDTH, head.size - index))
        leaf = leaf_hash(entry)
        at = index % WIDTH * 32
        if level0[at : at + 32] != leaf:
            raise Finding("entry", f"entry {index} is not the one that was hashed", index)
        if deep:
            uid = _uid(entry, index)
            if uid in uids:
                raise Finding("duplicate", f"entry {index} was there before", index)
            uids.add(uid)
        tree.append(leaf)
        while heads and heads[0].size <= tree.size:
            if heads[0].size == tree.size and heads[0].root != tree.root():
                words = f"the first {tree.size} leaves are not those that were signed; the first {before} are"
                raise Finding("root", words, before)
            before = heads.pop(0).size
    if heads and heads[0].root != tree.root():
        raise Finding("root", "the empty log is not what was signed", 0)


def _uid(entry: bytes, index: int) -> str:
    try:
        return str(json.loads(entry)["uid"])
    except (ValueError, KeyError, TypeError) as error:
        raise Finding("form", f"entry {index} is no event", index) from error


# --- The command -------------------------------------------------------------------------------------------------------------
def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Answer one question (Any: the values of a JSON object)."""
    keys, witnesses = [read_key(each) for each in arguments.key], [read_key(each) for each in arguments.witness]
    trusted = [open_note(Path(each).read_text("utf-8"), keys) for each in arguments.trust]
    answer: dict[str, Any] = {}
    if arguments.command == "proof":
        text, entry = Path(arguments.file).read_text("utf-8"), Path(arguments.entry).read_bytes()
        head, answer["index"] = verify_proof(text, entry, keys, witnesses)
        if any(each.size == head.size and each.root != head.root for each in trusted):
            raise Finding("fork", f"two different logs of {head.size} leaves were signed")
    elif arguments.command == "consistency":
        old, head = (
            open_note(Path(each).read_text("utf-8"), keys, witnesses) for each in (arguments.old, arguments.new)
        )
        if arguments.tiles:
            if old.size > head.size:
                check_growth(old, head, [])
            verify_tiles(Path(arguments.tiles), head, [old])
        else:
            check_growth(old, head, [decode(line) for line in Path(arguments.proof).read_text("utf-8").split()])
        answer["from"] = old.size
    else:
        folder = Path(arguments.folder)
        head = open_note((folder / "checkpoint").read_text("utf-8"), keys, witnesses)
        verify_tiles(folder, head, trusted, deep=arguments.deep)
    return answer | {"origin": head.origin, "size": head.size, "root": head.root.hex(), "witnesses": head.witnesses}


def parser() -> argparse.ArgumentParser:
    """Return what may be asked."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--key", action="append", required=True, help="a pinned public key of the log; may be repeated")
    shared.add_argument("--witness", action="append", default=[], help="a pinned public key of a witness")
    shared.add_argument("--trust", action="append", default=[], help="a checkpoint that you kept")
    shared.add_argument("--json", action="store_true", help="answer in JSON")
    which = asked.add_subparsers(dest="command", required=True)
    one = which.add_parser("proof", parents=[shared], help="an event is in the log")
    one.add_argument("file")
    one.add_argument("--entry", required=True, help="the exact bytes of the event")
    two = which.add_parser("consistency", parents=[shared], help="the log only grew")
    two.add_argument("old")
    two.add_argument("new")
    source = two.add_mutually_exclusive_group(required=True)
    source.add_argument("--proof", help="hashes in base64, one a line")
    source.add_argument("--tiles", help="a folder of tiles of the new log")
    three = which.add_parser("tiles", parents=[shared], help="a copy of the whole log is what was signed")
    three.add_argument("folder")
    three.add_argument(
        "--deep", action="store_true", help="read every entry too: each is an event, none is there twice"
    )
    return asked


def main(words: Sequence[str] | None = None) -> int:
    """Print the answer and return the exit code."""
    arguments = parser().parse_args(words)
    answer: dict[str, Any] = {"command": arguments.command}
    try:
        answer |= {"result": "ok"} | run(arguments)
        code, line = OK, "OK: {origin}, {size} leaves, root {root}, seen by {seen}"
    except Finding as finding:
        found = {"code": finding.code, "index": finding.index, "words": str(finding)}
        answer |= {"result": "findings", "findings": [found]}
        code, line = FINDINGS, f"FOUND ({finding.code}): {finding}"
    except (Unusable, OSError, UnicodeDecodeError) as problem:
        answer |= {"result": "unusable", "words": str(problem)}
        code, line = UNUSABLE, f"CANNOT ANSWER: {problem}"
    if arguments.json:
        line = json.dumps(answer)
    elif code == OK:
        line = line.format(**answer, seen=", ".join(answer["witnesses"]) or "no witness that you named")
    sys.stdout.write(f"{line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
