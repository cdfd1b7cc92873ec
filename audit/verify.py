#!/usr/bin/env python3
"""Verify an audit log of Keystead without Keystead: one file, Python's standard library, no network.

    python verify.py bundle EVIDENCE.zip --key log.vkey [--trust old.note] [--policy policy.txt]
    python verify.py proof event.tlog-proof --key log.vkey [--entry event.json]
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
import bisect
import csv
import hashlib
import io
import json
import re
import struct
import sys
import zipfile
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, NamedTuple

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:  # an auditor's machine needs no package; signatures then take a few milliseconds each
    HAS_CRYPTOGRAPHY = False
else:
    HAS_CRYPTOGRAPHY = True

OK, FINDINGS, UNUSABLE = 0, 1, 2
TILE_LEVEL = 8
WIDTH = 1 << TILE_LEVEL
NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
NOTE, COSIGNATURE = 1, 4
EVENT = json.JSONDecoder()


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


# --- P-256 (FIPS 186-5) and RSA (RFC 8017), for the passkeys of approvers --------------------------------------------------
_Q = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
_Jacobian = tuple[int, int, int]


def _double(p: _Jacobian) -> _Jacobian:
    x, y, z = p
    if not y or not z:
        return (1, 1, 0)
    square = y * y % _Q
    s, m = 4 * x * square % _Q, 3 * (x - z * z) * (x + z * z) % _Q
    x3 = (m * m - 2 * s) % _Q
    return (x3, (m * (s - x3) - 8 * square * square) % _Q, 2 * y * z % _Q)


def _sum(p: _Jacobian, q: _Jacobian) -> _Jacobian:
    if not p[2]:
        return q
    if not q[2]:
        return p
    pz2, qz2 = p[2] * p[2] % _Q, q[2] * q[2] % _Q
    u1, u2 = p[0] * qz2 % _Q, q[0] * pz2 % _Q
    s1, s2 = p[1] * qz2 * q[2] % _Q, q[1] * pz2 * p[2] % _Q
    if u1 == u2:
        return _double(p) if s1 == s2 else (1, 1, 0)
    h, r = u2 - u1, s2 - s1
    h2 = h * h % _Q
    h3, v = h * h2 % _Q, u1 * h2 % _Q
    x3 = (r * r - h3 - 2 * v) % _Q
    return (x3, (r * (v - x3) - s1 * h3) % _Q, h * p[2] * q[2] % _Q)


def _on_curve(x: int, y: int) -> bool:
    return 0 <= x < _Q and 0 <= y < _Q and (y * y - x * x * x + 3 * x - _B) % _Q == 0


def _der_pair(signature: bytes) -> tuple[int, int] | None:
    """Read r and s in the one form that DER allows."""
    found: list[int] = []
    if len(signature) < 8 or signature[0] != 0x30 or signature[1] != len(signature) - 2 or signature[1] > 127:
        return None
    at = 2
    for _ in range(2):
        body = signature[at + 2 : at + 2 + (signature[at + 1] if at + 1 < len(signature) else 0)]
        if signature[at : at + 1] != b"\x02" or not body or len(body) != signature[at + 1] or body[0] > 127:
            return None
        if len(body) > 1 and body[0] == 0 and body[1] < 128:
            return None
        found.append(int.from_bytes(body, "big"))
        at += 2 + len(body)
    return (found[0], found[1]) if at == len(signature) else None


def plain_es256(x: int, y: int, signature: bytes, message: bytes) -> bool:
    """Verify one ECDSA signature over P-256 and SHA-256 with integers alone."""
    pair = _der_pair(signature)
    if pair is None or not _on_curve(x, y) or not all(0 < each < _N for each in pair):
        return False
    r, s = pair
    inverse = pow(s, -1, _N)
    u, v = int.from_bytes(hashlib.sha256(message).digest(), "big") * inverse % _N, r * inverse % _N
    base, key = (*_G, 1), (x, y, 1)
    both, result = _sum(base, key), (1, 1, 0)
    for bit in range(255, -1, -1):  # both multiples at once (Shamir)
        result = _double(result)
        chosen = (u >> bit & 1, v >> bit & 1)
        if chosen != (0, 0):
            result = _sum(result, {(1, 0): base, (0, 1): key, (1, 1): both}[chosen])
    if not result[2]:
        return False
    return result[0] * pow(result[2], -2, _Q) % _Q % _N == r


def es256(x: int, y: int, signature: bytes, message: bytes) -> bool:
    """Verify one signature."""
    if not HAS_CRYPTOGRAPHY or _der_pair(signature) is None or not _on_curve(x, y):
        return plain_es256(x, y, signature, message)
    try:
        ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key().verify(
            signature, message, ec.ECDSA(hashes.SHA256())
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def rs256(modulus: int, exponent: int, signature: bytes, message: bytes) -> bool:
    """Verify one RSASSA-PKCS1-v1_5 signature with SHA-256 by making the one padding that is right."""
    size = (modulus.bit_length() + 7) // 8
    number = int.from_bytes(signature, "big")
    if not 2048 <= modulus.bit_length() <= 8192 or not modulus & 1 or not exponent & 1 or not 65537 <= exponent < 2**32:
        return False
    if len(signature) != size or number >= modulus:
        return False
    tail = b"\x00" + _SHA256_INFO + hashlib.sha256(message).digest()
    padded = b"\x00\x01" + b"\xff" * (size - 2 - len(tail)) + tail
    return pow(number, exponent, modulus).to_bytes(size, "big") == padded


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

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add several leaves; a full tile that begins where one may is hashed by itself, in half the time."""
        if len(leaves) == WIDTH and self.size % WIDTH == 0:
            row = leaves
            while len(row) > 1:
                row = [node_hash(left, right) for left, right in zip(row[::2], row[1::2], strict=True)]
            self.graft(TILE_LEVEL, row[0])
        else:
            for leaf in leaves:
                self.append(leaf)

    def graft(self, level: int, node: bytes) -> None:
        """Add a full subtree where one of its size may begin."""
        self.peaks.append(node)
        self.size += 1 << level
        for _ in range((self.size & -self.size).bit_length() - 1 - level):
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
    """A pinned public key; after a change of the log's key, for checkpoints of more than `over` leaves and at most `upto`."""

    name: str
    kind: int
    raw: bytes
    over: int = -1
    upto: int | None = None

    @property
    def id(self) -> bytes:
        """Return the id that signatures name."""
        return hashlib.sha256(f"{self.name}\n".encode() + bytes([self.kind]) + self.raw).digest()[:4]

    def vouches_for(self, size: int) -> bool:
        """Tell whether this key signs checkpoints of so many leaves."""
        return self.over < size and (self.upto is None or size <= self.upto)


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


def read_keys(given: str) -> list[Key]:
    """Read public keys, from a file with one a line or as it was given."""
    text = Path(given).read_text("utf-8") if Path(given).is_file() else given
    return [read_key(line) for line in text.split()] or [read_key(given)]


def read_key(given: str) -> Key:
    """Read `name+id+key`."""
    text = given.strip()
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
    able = [key for key in keys if key.name == lines[0] and key.kind == NOTE and key.vouches_for(int(lines[1]))]
    if not any(_signed_by(key, body, signed) for key in able):
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


def carried_entry(text: str) -> bytes:
    """Return the entry that a receipt carries as its extra line; nothing signs that line, but its hash has to be the leaf."""
    line = text.split("\n", 2)[1] if text.count("\n") > 1 else ""
    if not line.startswith("extra "):
        raise Unusable("the proof does not carry its entry: give it as --entry")
    return decode(line.removeprefix("extra "))


# --- From one key of the log to the next -----------------------------------------------------------------------------------
def follow_keys(pinned: Sequence[Key], links: Sequence[str]) -> list[Key]:
    """Return the pinned keys and those that links lead to. A link is a proof that carries the event about a key.

    It counts when a trusted key signed its checkpoint and both keys that the event names signed its statement. One from no
    trusted key is left aside; a key that was only reached backwards leads nowhere, because it may be stolen since.
    """
    known = {key.id: key for key in pinned}
    leads_on, waiting = set(known), sorted(links, key=_index_of)
    while usable := [each for each in waiting if _is_of(each, list(known.values()))]:
        for link in usable:
            waiting.remove(link)
            entry = carried_entry(link)
            _, index = verify_proof(link, entry, list(known.values()), ())
            action, older, newer = _keys_named(entry, index)
            if action == "log.key-retired":
                if older.id in known and newer.id in known:
                    known[older.id] = known[older.id]._replace(upto=index)
            elif older.id in leads_on:
                known[newer.id] = newer._replace(over=index)
                leads_on.add(newer.id)
            elif newer.id in known:
                known[newer.id] = known[newer.id]._replace(over=index)
                known[older.id] = older
    return list(known.values())


def _index_of(link: str) -> int:
    found = re.search(r"^index ([0-9]{1,19})$", link, re.MULTILINE)
    return int(found[1]) if found else -1


def _is_of(link: str, keys: Sequence[Key]) -> bool:
    try:
        open_note(link.partition("\n\n")[2], keys)
    except Finding:
        return False
    return True


def _keys_named(entry: bytes, index: int) -> tuple[str, Key, Key]:
    """Return what an event says of which keys, when both signed its statement."""
    refused = Finding("key", "this names a key of the log, and the log's keys did not sign it", index)
    try:
        event = json.loads(entry)
        action, text = event["action"], event["details"]["statement"]
        body, _, tail = text.rpartition("\n\n")
        header, kind, origin, *named = body.split("\n")
        older, newer = (read_key(each) for each in named)
        signed = [_signature(line) for line in tail.rstrip("\n").split("\n")]
    except (Finding, Unusable, ValueError, KeyError, TypeError, AttributeError) as error:
        raise refused from error
    wanted = ("keystead-log-statement/v1", f"log.{kind}", origin, origin)
    signers = (_signed_by(key, body + "\n", signed) for key in (older, newer))
    if (header, action, older.name, newer.name) != wanted or older.raw == newer.raw or not all(signers):
        raise refused
    return action, older, newer


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


def unbundle(text: bytes, width: int) -> list[bytes]:
    """Return up to `width` entries of a bundle: fewer when it is torn."""
    found, at = [], 0
    for _ in range(width):
        start = at + 2
        at = start + int.from_bytes(text[at:start], "big")
        if start > len(text) or at > len(text):
            break
        found.append(text[start:at])
    return found


class Seen:
    """Remember which texts were met, at about ten bytes each: a million uids shall fit where a set of them does not.

    Equal texts always meet. That two others meet by chance, and are called equal, is one in thirty million among a million.
    """

    def __init__(self) -> None:
        # Sorted, and short enough that there is always room to let one grow.
        self.buckets = [array("q") for _ in range(1024)]

    def add(self, text: str) -> bool:
        """Tell whether this text is new."""
        number = hash(text)
        bucket = self.buckets[number & 1023]
        place = bisect.bisect_left(bucket, number)
        if place < len(bucket) and bucket[place] == number:
            return False
        bucket.insert(place, number)
        return True


def verify_tiles(folder: Path, head: Head, trusted: Sequence[Head], *, deep: bool = False) -> None:
    """Hash every entry, compare with the hash tiles, and the root at each trusted size with what was signed."""
    heads = sorted({*trusted, head}, key=lambda each: each.size)
    if heads[-1].size > head.size:
        raise Finding("rollback", f"{heads[-1].size} leaves were signed, and there are {head.size}", head.size)
    tree, uids, before = Tree(), Seen(), 0
    for start in range(0, head.size, WIDTH):
        index, width = start // WIDTH, min(WIDTH, head.size - start)
        found = unbundle(tile(folder, "entries", index, width), width)
        leaves = [leaf_hash(entry) for entry in found]
        told = tile(folder, 0, index, width)
        good = _agreeing(leaves, told)
        if deep:
            for place, entry in enumerate(found[:good], start):
                if not uids.add(_uid(entry, place)):
                    raise Finding("duplicate", f"entry {place} was there before", place)
        for end in sorted({good, *(each.size - start for each in heads if start <= each.size <= start + good)}):
            tree.extend(leaves[tree.size - start : end])
            while heads and heads[0].size <= tree.size:
                if heads[0].size == tree.size and heads[0].root != tree.root():
                    words = f"the first {tree.size} leaves are not those that were signed; the first {before} are"
                    raise Finding("root", words, before)
                before = heads.pop(0).size
        if good < len(found):
            raise Finding("entry", f"entry {start + good} is not the one that was hashed", start + good)
        if good < width:
            raise Finding("torn", f"entry bundle {index} is torn", start + good)
    if heads and heads[0].root != tree.root():
        raise Finding("root", "the empty log is not what was signed", 0)


def _agreeing(leaves: Sequence[bytes], told: bytes) -> int:
    """Return how many leaves from the first on are those of the hash tile."""
    if told[: 32 * len(leaves)] == b"".join(leaves):
        return len(leaves)
    return next(place for place, leaf in enumerate(leaves) if told[32 * place : 32 * place + 32] != leaf)


def _uid(entry: bytes, index: int) -> str:
    try:
        text = entry.decode()
        event, end = EVENT.raw_decode(text)
        if end != len(text):
            raise ValueError("more than an event")
        return str(event["uid"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Finding("form", f"entry {index} is no event", index) from error


# --- Passkeys (RFC 9052, W3C WebAuthn) ---------------------------------------------------------------------------------------
_CoseItem = int | bytes | str


def _cbor(encoded: bytes, at: int) -> tuple[int, int, int]:
    """Return major type, argument and the place after it; no indefinite lengths."""
    if at >= len(encoded):
        raise ValueError("torn")
    major, short = encoded[at] >> 5, encoded[at] & 31
    if short < 24:
        return major, short, at + 1
    width = {24: 1, 25: 2, 26: 4}[short]
    if at + 1 + width > len(encoded):
        raise ValueError("torn")
    return major, int.from_bytes(encoded[at + 1 : at + 1 + width], "big"), at + 1 + width


def _cose(encoded: bytes) -> dict[int, _CoseItem]:
    """Read one map of whole numbers to whole numbers, bytes or text; KeyError or ValueError otherwise."""
    major, pairs, at = _cbor(encoded, 0)
    found: dict[int, _CoseItem] = {}
    if major != 5 or pairs > 16:
        raise ValueError("no COSE key")
    for _ in range(pairs):
        both: list[_CoseItem] = []
        for _ in range(2):
            kind, number, at = _cbor(encoded, at)
            if kind in (2, 3):
                body, at = encoded[at : at + number], at + number
                if at > len(encoded):
                    raise ValueError("torn")
                both.append(body if kind == 2 else body.decode())
            elif kind in (0, 1):
                both.append(number if kind == 0 else -1 - number)
            else:
                raise ValueError("no COSE key")
        label, value = both
        if not isinstance(label, int) or label in found:
            raise ValueError("no COSE key")
        found[label] = value
    if at != len(encoded):
        raise ValueError("no COSE key")
    return found


def signed_with(cose_key: bytes, signature: bytes, message: bytes) -> str:
    """Return the algorithm of the key if it made the signature, or nothing; the signature never chooses it."""
    try:
        key = _cose(cose_key)
        one, two, three = (key.get(label) for label in (-1, -2, -3))
        if (key.get(1), key.get(3), one) == (2, -7, 1) and isinstance(two, bytes) and isinstance(three, bytes):
            x, y = int.from_bytes(two, "big"), int.from_bytes(three, "big")
            return "ES256" if len(two) == len(three) == 32 and es256(x, y, signature, message) else ""
        if (key.get(1), key.get(3), one) == (1, -8, 6) and isinstance(two, bytes):
            return "EdDSA" if len(two) == 32 and ed25519(two, signature, message) else ""
        if (key.get(1), key.get(3)) == (3, -257) and isinstance(one, bytes) and isinstance(two, bytes):
            numbers = int.from_bytes(one, "big"), int.from_bytes(two, "big")
            return "RS256" if rs256(*numbers, signature, message) else ""
    except (KeyError, ValueError):
        pass
    return ""


def _url64(text: object) -> bytes:
    if not isinstance(text, str) or not 0 < len(text) <= 8192 or not re.fullmatch(r"[A-Za-z0-9_-]+", text, re.ASCII):
        raise ValueError("not base64url")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        raise ValueError("base64url in another spelling")
    return raw


def check_assertion(
    cose_key: bytes, assertion: dict[str, Any], challenge: bytes, *, rp_id: str, origins: Sequence[str]
) -> str:
    """Return the algorithm with which a passkey signed this challenge, present and verified; raise ValueError otherwise."""
    response = assertion["response"]
    client_data, authenticator_data = _url64(response["clientDataJSON"]), _url64(response["authenticatorData"])
    client = json.loads(client_data.decode(), object_pairs_hook=_once)
    if not isinstance(client, dict) or client.get("type") != "webauthn.get":
        raise ValueError("it is no assertion")
    if _url64(client.get("challenge")) != challenge:
        raise ValueError("another statement was signed")
    if not _is_place(client.get("origin"), rp_id, origins):
        raise ValueError(f"it was signed at {client.get('origin')!r}")
    if client.get("crossOrigin", False) is not False or "topOrigin" in client:
        raise ValueError("it was signed inside another site's page")
    flags = authenticator_data[32] if 37 <= len(authenticator_data) <= 8192 else 0
    if authenticator_data[:32] != hashlib.sha256(rp_id.encode()).digest():
        raise ValueError("the passkey is of another site")
    if flags & 0x05 != 0x05:
        raise ValueError("the authenticator did not verify its user")
    if (len(authenticator_data) > 37 and not flags & 0xC0) or flags & 0x18 == 0x10:
        raise ValueError("the authenticator's data contradict themselves")
    message = authenticator_data + hashlib.sha256(client_data).digest()
    algorithm = signed_with(cose_key, _url64(response["signature"]), message)
    if not algorithm:
        raise ValueError("the passkey did not sign it")
    return algorithm


def _is_place(origin: object, rp_id: str, pinned: Sequence[str]) -> bool:
    """Tell whether a browser would let this origin use passkeys of `rp_id`, and whether it is one that was pinned."""
    if not isinstance(origin, str) or (pinned and origin not in pinned):
        return False
    found = re.fullmatch(r"(https?)://([a-z0-9.-]+)(:[0-9]{1,5})?", origin, re.ASCII)
    if found is None or not rp_id:
        return False
    host = found[2]
    return (host == rp_id or host.endswith(f".{rp_id}")) and (found[1] == "https" or host == "localhost")


# --- JSON --------------------------------------------------------------------------------------------------------------------
def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def canonical(value: Any) -> bytes:
    """Write canonical JSON (RFC 8785, without floats)."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def read_object(raw: bytes, what: str, index: int | None = None) -> dict[str, Any]:
    """Read an object in its canonical form; two readers must not be able to read two things."""
    try:
        value = json.loads(raw, object_pairs_hook=_once)
        if isinstance(value, dict) and canonical(value) == raw:
            return value
    except (ValueError, RecursionError):
        pass
    raise Finding("form", f"{what} is not canonical JSON", index)


# --- Evidence bundles: what the events say of approvals ----------------------------------------------------------------------
VERIFIED, WEAKER, UNPROVABLE, AUTOMATIC, BARE = "verified", "weaker", "unprovable", "automatic", "without-request"
STATEMENT = "keystead-approval-1"
NONCE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
MOST_LISTED = 1_000
# What a request's content and the key that comes of it have in common, word for word.
SAME = ("name", "consumer", "kind", "public_key", "scopes", "networks", "limits", "rotation", "self_fetch",
        "cryptoperiod_days")  # fmt: skip
# What only an approved request may give a key; it may be taken away by others.
GIVEN = ("service_id", "environment_id", "kind", "public_key", "scopes", "networks", "limits", "verifies_service_id",
         "verifies_environment_id", "cryptoperiod_days", "request_id", "origin")  # fmt: skip
# How a decision without a signature was proved, in the words of the portal's pages.
METHODS = {"presence": "a passkey, without a signature", "totp": "a code from an app"}
SLUGS = {"service.created": "slug", "team.created": "slug", "environment.created": "tag"}


class Passkey(NamedTuple):
    """A passkey as its sealed enrolment tells of it."""

    person: str
    key: bytes
    rp_id: str
    approves_from: str | None


@dataclass
class Decision:
    """A decision about a request that still stands."""

    person: str
    seat: str
    decision: str
    digest: str
    on_service_side: bool
    verdict: str


@dataclass
class Request:
    """A request as the events so far tell of it; `whole` while none of them is missing."""

    facts: dict[str, Any]
    whole: bool
    inside: bool = False  # of a range that claims to be complete: nothing of it can be missing
    decisions: dict[str, Decision] = field(default_factory=dict)
    approved: str = ""  # the verdict, once it is approved
    why: str = ""


class Ledger:
    """What the events say of passkeys, requests, approvals and keys, read in the order of the log.

    Nothing but sealed events is believed: the public key that verifies an approval is that of the enrolment event. What
    the events contradict is a finding; what lies outside the bundle is told as not provable from it.
    """

    def __init__(self, *, origins: Sequence[str] = (), complete: bool = False) -> None:
        self.origins, self.complete = origins, complete
        self.first = self.after = self.rows = self.index = 0
        self.name, self.inside = b"", True
        self.approvals: Counter[str] = Counter()
        self.keys: Counter[str] = Counter()
        self.listed: list[dict[str, Any]] = []
        self.erased = 0
        self.readers: dict[bytes, Reader | None] = {}
        self.passkeys: dict[bytes, Passkey] = {}
        self.credentials: dict[str, bytes] = {}
        self.removed: set[bytes] = set()
        self.requests: dict[str, Request] = {}
        self.nonces: set[bytes] = set()
        self.spent: set[bytes] = set()
        self.slugs: dict[str, str] = {}
        self.policies: dict[str, tuple[int, int]] = {}
        self.made: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, str] = {}

    def read(self, index: int, raw: bytes, *, inside: bool = True) -> None:
        """Read one event; one that is not inside the bundle's range is known, and neither counted nor listed."""
        if not raw.startswith(b'{"action":"'):
            raise Finding("form", f"event {index} is no event of Keystead", index)
        if inside and not self.rows:
            self.first = index
        self.index, self.inside = index, inside
        if inside:
            self.rows, self.after = self.rows + 1, index + 1
        name = self.name = raw[11 : raw.find(b'"', 11)]
        if name not in self.readers:
            action = name.decode("ascii", "replace")
            self.readers[name] = READERS.get(action) or READERS.get(action.partition(".")[0])
        reader = self.readers[name]
        if reader is None:
            return
        event = read_object(raw, f"event {index}", index)
        try:
            if event["outcome"] == "success":
                reader(self, event, {name: pair[1] for name, pair in event["change"].items()})
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise Finding("form", f"{self._event} has not the form of such an event", index) from error

    @property
    def begins(self) -> bool:
        """Tell whether the log is here from its first event on: what was not met then never was."""
        return self.complete and self.first == 0 and self.rows > 0

    def answer(self) -> dict[str, Any]:
        """Return what was found of approvals and keys."""
        return {
            "approvals": {each: self.approvals[each] for each in (VERIFIED, WEAKER, UNPROVABLE)},
            "keys": {each: self.keys[each] for each in (VERIFIED, WEAKER, AUTOMATIC, UNPROVABLE, BARE)},
            "listed": self.listed,
        }

    def _wrong(self, code: str, words: str) -> Finding:
        return Finding(code, f"{self._event}: {words}", self.index)

    @property
    def _event(self) -> str:
        return f"event {self.index} ({self.name.decode('ascii', 'replace')})"

    def _list(self, kind: str, event: dict[str, Any], verdict: str, why: str, *, about: str, number: object) -> None:
        if self.inside and len(self.listed) < MOST_LISTED:
            told = {"index": self.index, "kind": kind, "id": event["target"]["id"], "verdict": verdict, "why": why}
            self.listed.append(told | {"about": f"{about}-{number}" if type(number) is int else ""})

    # - people and places
    def slug(self, event: dict[str, Any], new: dict[str, Any]) -> None:
        """Learn what a service, a team or an environment is called; the name never changes."""
        self.slugs[event["target"]["id"]] = new[SLUGS[event["action"]]]

    def policy(self, event: dict[str, Any], new: dict[str, Any]) -> None:
        """Learn how many approvals a version of a policy asks for."""
        self.policies[event["target"]["id"]] = new["approvals_required"], new["service_approvals_required"]

    def passkey_enrolled(self, event: dict[str, Any], new: dict[str, Any]) -> None:
        """Learn the public key of a passkey, once."""
        credential, target = _hex(new["credential_id"]), event["target"]["id"]
        if credential in self.passkeys or target in self.credentials:
            raise self._wrong("enrolment", "this passkey was enrolled before")
        if new["user_id"] != event["details"]["person"]:
            raise self._wrong("enrolment", "the passkey is of another person than the event says")
        self.credentials[target] = credential
        self.passkeys[credential] = Passkey(
            new["user_id"], _hex(new["public_key"]), event["details"].get("rp_id", ""), new.get("approves_from")
        )

    def passkey_removed(self, event: dict[str, Any], new: dict[str, Any]) -> None:
        """Learn that a passkey signs nothing from here on."""
        if event["target"]["id"] in self.credentials:
            self.removed.add(self.credentials[event["target"]["id"]])

    def erasure(self, event: dict[str, Any], new: dict[str, Any]) -> None:
        """Count the private parts that were erased on record."""
        self.erased += len(event["details"]["events"])

    # - requests
    def request(self, event: dict[str, Any], new: dict[str, Any]) -> None:
        """Follow a request; its content must be what its digest says, at every step."""
        target, action = event["target"]["id"], event["action"]
        if action == "request.submitted":
            if target in self.requests or _id(target) in self.spent:
                raise self._wrong("request", "this request was there before")
            self.requests[target] = Request({}, whole=True, inside=self.complete and self.inside)
        request = self.requests.get(target)
        if request is None:
            if _id(target) in self.spent and not event["change"]:
                return  # a receipt was taken of it, or private texts erased: what was decided stays
            if self.begins:
                raise self._wrong("request", "nobody submitted this request")
            request = self.requests[target] = Request({}, whole=False)
        self._follow(request, event["change"])
        if "content" in new or "digest" in new:
            content, digest = request.facts.get("content"), request.facts.get("digest")
            if content is not None and hashlib.sha256(canonical(content)).hexdigest() != digest:
                raise self._wrong("request", "the content of the request is not what its digest says")
        if action == "request.approved":
            self._approve(request, event)
        elif new.get("state") in ("denied", "withdrawn", "lapsed"):
            del self.requests[target]
            self.spent.add(_id(target))

    def _follow(self, request: Request, change: dict[str, Any]) -> None:
        """Take over what an event changed; each column must have been what the event says it was."""
        for name, (old, now) in change.items():
            if request.whole and request.facts.get(name) != old:
                if request.inside:
                    raise self._wrong("request", f"{name} was not what the event says it was before")
                request.whole = False
            request.facts[name] = now

    def _approve(self, request: Request, event: dict[str, Any]) -> None:
        """Weigh the approvals that a request was approved with."""
        named = [request.decisions.get(each) for each in event["approvals"]]
        given = [each for each in named if each is not None]
        if request.inside and len(given) < len(named):
            raise self._wrong("quorum", "it counts a decision that is not there or was voided")
        if any(each.digest != request.facts.get("digest") for each in given if request.whole):
            raise self._wrong("quorum", "it counts a decision about another content")
        counted = [each for each in given if each.decision in ("approve", "narrow")]
        needed = self.policies.get(str(request.facts.get("policy_id")))
        of_service = sum(each.on_service_side for each in counted)
        if len(given) == len(named) and needed and len(counted) < needed[0]:
            raise self._wrong("quorum", f"{len(counted)} approvals count, and the policy asks for {needed[0]}")
        verdicts = {each.verdict for each in given}
        if not request.whole or len(given) < len(named):
            request.approved, request.why = UNPROVABLE, "events of the request are not in this bundle"
        elif needed is None:
            request.approved, request.why = UNPROVABLE, "the policy it was made under is not in this bundle"
        elif (
            of_service < needed[1]
        ):  # who moved to the service's team since counts there, and the event does not say so
            request.approved, request.why = UNPROVABLE, "fewer decided from the service's side than the policy asks for"
        elif UNPROVABLE in verdicts:
            request.approved, request.why = UNPROVABLE, "one of its approvals is not provable from this bundle"
        elif WEAKER in verdicts:
            request.approved, request.why = WEAKER, "an approval was given with a code or by presence alone"
        else:
            request.approved = VERIFIED if counted else AUTOMATIC

    # - approvals
    def approval_given(self, event: dict[str, Any], new: dict[str, Any]) -> None:
        """Verify a decision: who, about which content, and the signature over just that."""
        person, decision, digest = new["person_id"], new["decision"], new["digest"]
        if (event["actor"]["type"], event["actor"]["id"]) != ("person", person):
            raise self._wrong("approval", "somebody else than its person recorded this decision")
        if new["created_at"][:23] != event["time"][:23]:
            raise self._wrong("approval", "the decision has another time than its event")
        verdict, why = WEAKER, f"decided with {METHODS.get(new['method'], new['method'])}"
        if new["method"] == "passkey":
            verdict, why = self._signature(new)
        elif new.get("assertion") is not None or new.get("statement"):
            raise self._wrong("approval", "a decision without a passkey has a signature")
        request = self.requests.get(new["request_id"])
        if request is None and self.begins:
            raise self._wrong("approval", "it is about a request that is not open")
        if request is None or not request.whole:
            verdict, why = UNPROVABLE, f"the request is not in this bundle; {why}"
            request = self.requests.setdefault(new["request_id"], Request({}, whole=False))
        else:
            self._fits(request, new)
        request.decisions[event["target"]["id"]] = Decision(
            person, new["seat_id"], decision, digest, bool(new.get("on_service_side")), verdict
        )
        self.approvals[verdict] += self.inside
        self._list("approval", event, verdict, why, about="REQ", number=request.facts.get("number"))

    def _fits(self, request: Request, new: dict[str, Any]) -> None:
        if new["digest"] != request.facts["digest"]:
            raise self._wrong("approval", "the decision is about another content than the request had then")
        if request.approved:
            raise self._wrong("approval", "the request was approved before")
        for each in ("requester_id", "recipient_id", "last_editor_id"):
            if request.facts.get(each) == new["person_id"]:
                raise self._wrong("approval", f"the approver is the request's {each.removesuffix('_id')}")
        for standing in request.decisions.values():
            if new["person_id"] == standing.person or new["seat_id"] == standing.seat:
                raise self._wrong("approval", "this person or seat decided before")

    def _signature(self, new: dict[str, Any]) -> tuple[str, str]:
        """Verify that a passkey of the approver signed the statement of this decision, in time and once."""
        text = new["statement"].encode()
        said = read_object(text, "a statement", self.index)
        expected = {
            "version": STATEMENT,
            "decision": new["decision"],
            "request": new["request_id"],
            "content_digest": {"alg": "sha-256", "hex": new["digest"]},
            "approver": new["person_id"],
            "nonce": said.get("nonce"),
            "expires_at": said.get("expires_at"),
        }
        if said != expected or not NONCE.fullmatch(str(said["nonce"])):
            raise self._wrong("approval", "the statement that was signed is about something else")
        if _moment(new["created_at"]) >= _moment(said["expires_at"]):
            raise self._wrong("approval", "the statement had expired when it was used")
        nonce = _url64(said["nonce"])[:16]
        if nonce in self.nonces:
            raise self._wrong("approval", "the statement was used before")
        self.nonces.add(nonce)
        credential = _url64(new["assertion"]["id"])
        passkey = self.passkeys.get(credential)
        if passkey is None:
            if self.begins:
                raise self._wrong("approval", "nobody enrolled the passkey that signed")
            return UNPROVABLE, "the enrolment of the passkey is not in this bundle"
        if passkey.person != new["person_id"]:
            raise self._wrong("approval", "the passkey that signed is of another person")
        if credential in self.removed:
            raise self._wrong("approval", "the passkey that signed had been removed")
        if not passkey.rp_id:
            return UNPROVABLE, "the enrolment of the passkey does not say for which site it is"
        if passkey.approves_from is None or _moment(new["created_at"]) < _moment(passkey.approves_from):
            raise self._wrong("approval", "the passkey that signed was too new to approve with")
        try:
            algorithm = check_assertion(
                passkey.key, new["assertion"], hashlib.sha256(text).digest(), rp_id=passkey.rp_id, origins=self.origins
            )
        except ValueError as error:
            raise self._wrong("approval", str(error)) from error
        return VERIFIED, f"signed with a passkey ({algorithm})"

    def approval_voided(self, event: dict[str, Any], new: dict[str, Any]) -> None:
        """Forget a decision that counts no more."""
        for request in self.requests.values():
            if request.decisions.pop(event["target"]["id"], None):
                return

    # - keys
    def key_created(self, event: dict[str, Any], new: dict[str, Any]) -> None:
        """Compare a new key with what was approved."""
        target, wanted = event["target"]["id"], new.get("request_id")
        if target in self.made:
            raise self._wrong("issued", "this key was there before")
        self.made[target] = {
            name: new.get(name)
            for name in (*GIVEN, "authorised_until", "recipient_id", "owner_team_id", "self_fetch", "number")
        }
        if wanted is None:
            if new["origin"] == "request":
                raise self._wrong("issued", "the key names no request")
            self._key(event, BARE, f"the key came by {new['origin']}")
            return
        request = self._take(wanted, event)
        if request is None:
            return
        content = request.facts["content"]
        other = [each for each in SAME if (new.get(each) or None) != (content[each] or None)]
        other += [each for each in ("service_id", "environment_id", "owner_team_id", "recipient_id", "policy_id")
                  if new.get(each) != request.facts.get(each)]  # fmt: skip
        end = _moment(new["created_at"]) + timedelta(days=content["authorised_days"])
        other += ["authorised_until"] if _moment(new["authorised_until"]) != end else []
        other += ["recipient"] if new.get("recipient_id") != content["recipient"] or content["renews"] else []
        other += ["created_at"] if new["created_at"][:23] != event["time"][:23] else []
        other += ["environment"] if event["environment"] != content["environment"] else []
        named = {
            "service": new["service_id"], "environment": new["environment_id"], "owner_team": new["owner_team_id"],
        }  # fmt: skip
        verifies = content["verifies"] or {}
        if bool(verifies) != (new.get("verifies_service_id") is not None):
            other.append("verifies")
        self._judge(event, request, other, [(content[each], pk) for each, pk in named.items()] + [
            (verifies[each], new[f"verifies_{each}_id"]) for each in verifies
        ])  # fmt: skip

    def key_renewed(self, event: dict[str, Any], new: dict[str, Any]) -> None:
        """Compare a renewal with what was approved."""
        target = event["target"]["id"]
        before, request = self.made.get(target), self._take(event["correlation"], event)
        if before is not None:
            before |= {name: value for name, value in new.items() if name in before}
        if request is None:
            return
        content = request.facts["content"]
        end = _moment(new["authorised_until"]) - timedelta(days=content["authorised_days"])
        other = ["authorised_until"] if end.isoformat(timespec="milliseconds")[:23] != event["time"][:23] else []
        other += ["renews"] if (content["renews"], request.facts.get("renews_id")) != (target, target) else []
        if {*new} - {"authorised_until", "cryptoperiod_days"}:
            other.append("more than a renewal changes")
        if new.get("cryptoperiod_days", content["cryptoperiod_days"]) != content["cryptoperiod_days"]:
            other.append("cryptoperiod_days")
        if before is None:
            if not other:
                request.approved, request.why = UNPROVABLE, "the key that was renewed is not in this bundle"
        else:
            other += [each for each in ("scopes", "networks", "cryptoperiod_days", "recipient_id")
                      if (before[each] or None) != (content[each.removesuffix("_id")] or None)]  # fmt: skip
        self._judge(event, request, other, [])

    def key_changed(self, event: dict[str, Any], new: dict[str, Any]) -> None:
        """Let nothing but an approved request give a key more."""
        if {*new} & {*GIVEN}:
            raise self._wrong(
                "issued", f"{event['action']} gives a key what only a request may: {', '.join({*new} & {*GIVEN})}"
            )
        if "authorised_until" in new:
            old, now = map(_moment, event["change"]["authorised_until"])
            if now > old:
                raise self._wrong("issued", f"{event['action']} makes a key last longer")
        if known := self.made.get(event["target"]["id"]):
            known |= {name: value for name, value in new.items() if name in known}

    def version(self, event: dict[str, Any], new: dict[str, Any]) -> None:
        """Let no version be claimed by another, or last longer, than its key allows."""
        target = event["target"]["id"]
        if "managed_key_id" in new:
            self.versions[target] = new["managed_key_id"]
        if (
            "expires_at" in new
            and (was := event["change"]["expires_at"][0])
            and _moment(new["expires_at"]) > _moment(was)
        ):
            raise self._wrong("issued", f"{event['action']} makes a version last longer")
        key = self.made.get(self.versions.get(target, ""))
        if key is None or "activated_at" not in new:
            return
        days = timedelta(days=key["cryptoperiod_days"])
        end = min(_moment(new["activated_at"]) + days, _moment(key["authorised_until"]))
        if _moment(new["expires_at"]) != end:
            raise self._wrong("issued", "the version ends at another time than its key's approval says")
        if event["action"] == "version.activated":
            # Fetched by the key's own client, with its old secret: nobody claims it.
            if not key["self_fetch"]:
                raise self._wrong("issued", "the version was fetched by its client, which was not approved")
        elif new.get("claimed_by_id") != key["recipient_id"]:
            raise self._wrong("issued", "the version was claimed by another person than the recipient")

    def _take(self, request_id: str, event: dict[str, Any]) -> Request | None:
        """Return the approved request behind a key, once, or tell why it cannot be known."""
        if _id(request_id) in self.spent:
            raise self._wrong("issued", "a second key came of one request, or of one that was refused")
        request = self.requests.pop(request_id, None)
        self.spent.add(_id(request_id))
        if request is not None and request.inside and not request.approved:
            raise self._wrong("issued", "the request was not approved")
        if request is None and self.begins:
            raise self._wrong("issued", "there is no such request")
        if request is None or not request.whole or not request.approved:
            self._key(event, UNPROVABLE, "the request is not in this bundle, or not all of it")
            return None
        return request

    def _judge(
        self, event: dict[str, Any], request: Request, other: Sequence[str], named: Sequence[tuple[str, str]]
    ) -> None:
        if other:
            raise self._wrong("issued", f"what was issued is not what was approved: {', '.join(sorted({*other}))}")
        for name, pk in named:
            if self.slugs.get(pk, name) != name:
                raise self._wrong("issued", f"{name} was approved, and {self.slugs[pk]} was issued")
        unknown = [name for name, pk in named if pk not in self.slugs]
        if unknown and request.approved != UNPROVABLE:
            self._key(event, UNPROVABLE, f"what {', '.join(unknown)} stands for is not in this bundle")
        else:
            self._key(event, request.approved, request.why)

    def _key(self, event: dict[str, Any], verdict: str, why: str) -> None:
        self.keys[verdict] += self.inside
        known = self.made.get(event["target"]["id"], {})
        self._list("key", event, verdict, why, about="KEY", number=known.get("number"))


Reader = Callable[[Ledger, dict[str, Any], dict[str, Any]], None]
READERS: dict[str, Reader] = {
    **dict.fromkeys(SLUGS, Ledger.slug),
    "policy.versioned": Ledger.policy,
    "passkey.enrolled": Ledger.passkey_enrolled,
    "passkey.removed": Ledger.passkey_removed,
    "pii.erased": Ledger.erasure,
    "request": Ledger.request,
    "approval.given": Ledger.approval_given,
    "approval.voided": Ledger.approval_voided,
    "key.created": Ledger.key_created,
    "key.renewed": Ledger.key_renewed,
    "key": Ledger.key_changed,
    "version": Ledger.version,
}


def _id(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))


def _hex(text: str) -> bytes:
    if not text.startswith("\\x"):
        raise ValueError("not bytes")
    return bytes.fromhex(text[2:])


def _moment(text: str) -> datetime:
    if not text.endswith("Z"):
        raise ValueError("not in UTC")
    return datetime.fromisoformat(text)


# --- The policy of an auditor (C2SP tlog-policy) -------------------------------------------------------------------------------
class Policy(NamedTuple):
    """Pinned keys of logs and witnesses, and who must have signed."""

    logs: tuple[Key, ...]
    witnesses: dict[str, Key]
    groups: dict[str, tuple[int, tuple[str, ...]]]
    quorum: str

    def holds(self, head: Head) -> bool:
        """Tell whether enough witnesses signed this head."""
        return self.quorum == "none" or self._met(self.quorum, head)

    def _met(self, name: str, head: Head) -> bool:
        if name in self.witnesses:
            return self.witnesses[name].name in head.witnesses
        needed, members = self.groups[name]
        return sum(self._met(each, head) for each in members) >= needed


def _pinned(text: str, kind: int, others: Sequence[Key]) -> Key:
    """Read a key of a policy, which is not there yet: one witness under two names would be two."""
    key = read_key(text)
    if key.kind != kind or any(
        each.raw == key.raw or (kind == COSIGNATURE and each.name == key.name) for each in others
    ):
        raise Unusable(f"the policy's key of {key.name} is of another kind, or there twice")
    return key


def read_policy(text: str) -> Policy:
    """Read a policy file; Unusable for any line that is not understood."""
    logs: list[Key] = []
    witnesses: dict[str, Key] = {}
    groups: dict[str, tuple[int, tuple[str, ...]]] = {}
    quorum: list[str] = []
    grouped: set[str] = set()
    for line in text.split("\n"):
        words = [word for word in re.split(r"[ \t]+", line) if word]
        known = {"none", *witnesses, *groups}
        match words:
            case []:
                pass
            case [first, *_] if first.startswith("#"):
                pass
            case ["log", key] | ["log", key, _]:
                logs.append(_pinned(key, NOTE, logs))
            case ["witness", name, key] | ["witness", name, key, _] if name not in known:
                witnesses[name] = _pinned(key, COSIGNATURE, [*witnesses.values()])
            case ["group", name, count, *members] if name not in known and members and {*members} <= known - {"none"}:
                needed = {"any": 1, "all": len(members)}.get(count) or int(count if NUMBER.fullmatch(count) else 0)
                # Whoever stood in two groups would count twice.
                if not 1 <= needed <= len(members) or len({*members}) != len(members) or grouped & {*members}:
                    raise Unusable(
                        f"the policy's group {name} has no such number of members, or one that stands elsewhere too"
                    )
                groups[name] = needed, tuple(members)
                grouped |= {*members}
            case ["quorum", name] if name in known and not quorum:
                quorum.append(name)
            case _:
                raise Unusable(f"the policy's line is not understood: {line[:80]}")
    if not logs or not quorum:
        raise Unusable("a policy names a log and a quorum")
    return Policy(tuple(logs), witnesses, groups, quorum[0])


# --- Evidence bundles: the files -----------------------------------------------------------------------------------------------
MANIFEST, EVENTS, PROOF, TABLE, PRIVATE = "manifest.json", "events.jsonl", "proof.txt", "report.csv", "private.jsonl"
CHECKPOINT, GROWTH, SUPPORT = "checkpoint", "growth.txt", "support.jsonl"
EXPORT_EVENT, EXPORT_PROOF, EXPORT_GROWTH = "export.json", "export.tlog-proof", "export.growth"
SIGNATURE = {MANIFEST, EXPORT_EVENT, EXPORT_PROOF, EXPORT_GROWTH}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
SMALL, NOTE_SIZE, LINE, CHUNK, MOST_FILES = 1 << 20, 1 << 16, 1 << 18, 1 << 16, 64


class Material:
    """The files of a bundle; nothing is ever written to disk, so no name can lead anywhere."""

    def __init__(self, names: Sequence[str]) -> None:
        if len(names) > MOST_FILES or len({*names}) != len(names) or not all(map(NAME.fullmatch, names)):
            raise Finding("files", "the bundle has names that no bundle has")
        self.names = frozenset(names)

    def open(self, name: str) -> IO[bytes]:
        """Open one of the files."""
        raise NotImplementedError

    def read(self, name: str, most: int = NOTE_SIZE) -> bytes:
        """Read a small file."""
        if name not in self.names:
            raise Finding("unsigned" if name in SIGNATURE else "files", f"{name} is missing")
        with self.open(name) as file:
            text = file.read(most + 1)
        if len(text) > most:
            raise Finding("files", f"{name} is too large")
        return text

    def text(self, name: str) -> str:
        """Read a small text."""
        try:
            return self.read(name).decode("utf-8")
        except UnicodeDecodeError as error:
            raise Finding("form", f"{name} is no text") from error


class Folder(Material):
    """A bundle that somebody unpacked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        found = list(folder.iterdir())
        if not all(each.is_file() and not each.is_symlink() for each in found):
            raise Finding("files", "a bundle holds plain files and nothing else")
        super().__init__([each.name for each in found])

    def open(self, name: str) -> IO[bytes]:
        """Open one of the files."""
        return (self.folder / name).open("rb")


class Zip(Material):
    """A bundle as it was made."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(0, end - 22))
            tail = file.read()
        # A directory of millions of names would be read whole before anything could refuse it.
        if tail[:4] != b"PK\x05\x06" or int.from_bytes(tail[12:16], "little") > NOTE_SIZE:
            raise Finding("files", "the ZIP is not one that Keystead writes")
        self.zip = zipfile.ZipFile(path)
        members = self.zip.infolist()
        for each in members:
            kind = each.external_attr >> 28
            if each.flag_bits & 1 or each.compress_type not in (0, 8) or kind not in (0, 8):
                raise Finding("files", f"{each.filename!r} is no plain file")
        super().__init__([each.orig_filename for each in members])

    def open(self, name: str) -> IO[bytes]:
        """Open one of the files."""
        return self.zip.open(name)


class Counted:
    """A file that is hashed while it is read, and must end as the manifest says."""

    def __init__(self, material: Material, told: dict[str, Any]) -> None:
        self.name, self.told = str(told["name"]), told
        self.file = material.open(self.name)
        self.digest, self.left = hashlib.sha256(), int(told["bytes"])

    def read(self) -> bytes:
        """Read on."""
        text = self.file.read(min(CHUNK, self.left + 1))
        self.digest.update(text)
        self.left -= len(text)
        if self.left < 0 or (not text and (self.left or self.digest.hexdigest() != self.told["sha256"])):
            raise Finding("manifest", f"{self.name} is not the file of the manifest")
        if not text:
            self.file.close()
        return text

    def lines(self) -> Iterator[bytes]:
        """Yield the lines without their ends; a text without an end is none."""
        rest, count = b"", 0
        while text := self.read():
            *whole, rest = (rest + text).split(b"\n")
            count += len(whole)
            yield from whole
            if len(rest) > LINE:
                raise Finding("form", f"a line of {self.name} has no end")
        if rest or count != self.told["rows"]:
            raise Finding("manifest", f"{self.name} has {count} lines, and the manifest says {self.told['rows']}")


def peaks_between(start: int, end: int) -> list[int]:
    """Return the levels of the full subtrees that fill [start, end) when one goes from left to right."""
    found = []
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        found.append(level)
        start += 1 << level
    return found


def _numbers(line: bytes, name: str) -> tuple[int, int, list[bytes]]:
    words = line.decode("ascii", "replace").split(" ")
    if len(words) < 2 or not all(map(NUMBER.fullmatch, words[:2])):
        raise Finding("form", f"{name} is not understood")
    hashed = [decode(word) for word in words[2:]]
    if any(len(each) != 32 for each in hashed):
        raise Finding("form", f"{name} is not understood")
    return int(words[0]), int(words[1]), hashed


class Bundle:
    """A bundle under verification: first who signed, then every byte, then what the events say."""

    told_private: dict[str, int] | None = None

    def __init__(self, material: Material, keys: Sequence[Key], witnesses: Sequence[Key] = ()) -> None:
        self.material = material
        self.raw = material.read(MANIFEST, SMALL)
        self.manifest = read_object(self.raw, MANIFEST)
        self.signed = self._signed(keys)
        self.files = {each["name"]: each for each in self._told("files", list)}
        if len(self.files) != len(self.manifest["files"]) or {*self.files} & SIGNATURE:
            raise Finding("manifest", "the manifest names a file twice")
        if differing := sorted(({*self.files} | SIGNATURE) ^ material.names):
            raise Finding("files", f"in the bundle or in its manifest only: {', '.join(differing)}")
        if not {EVENTS, PROOF, CHECKPOINT} <= {*self.files}:
            raise Finding("files", "the bundle has no events, no proof or no checkpoint")
        for name in (CHECKPOINT, *sorted({*self.files} - {EVENTS, PROOF, PRIVATE, TABLE, CHECKPOINT, SUPPORT})):
            self._check_whole(name)
        self.head = open_note(material.text(CHECKPOINT), keys, witnesses)
        said = (self._told("origin", str), self._told("size", int), self._told("root", str))
        if said != (self.head.origin, self.head.size, self.head.root.hex()) or said[0] != self.signed.origin:
            raise Finding("manifest", "the manifest is about another checkpoint")
        check_growth(self.head, self.signed, self._export_growth())

    def _told(self, name: str, kind: type) -> Any:
        """Return a fact of the manifest (Any: of the kind that was asked for)."""
        value = self.manifest.get(name)
        if type(value) is not kind:
            raise Finding("manifest", f"the manifest does not say {name}")
        return value

    def _signed(self, keys: Sequence[Key]) -> Head:
        """Return the head of the log that has this manifest's digest in an event of its own."""
        raw, proof = self.material.read(EXPORT_EVENT), self.material.text(EXPORT_PROOF)
        note = proof.partition("\n\n")[2]
        own = f"\u2014 {note.partition(chr(10))[0]} "
        lines = note.rpartition("\n\n")[2].split("\n")
        if "\nextra " in proof or lines.pop() or not all(line.startswith(own) for line in lines):
            raise Finding("form", f"{EXPORT_PROOF} holds what nothing covers")
        head, index = verify_proof(proof, raw, keys, ())
        event = read_object(raw, EXPORT_EVENT)
        details, actor = event.get("details"), event.get("actor")
        if (
            event.get("action") != "audit.log-exported"
            or event.get("outcome") != "success"
            or not isinstance(details, dict)
        ):
            raise Finding("manifest", f"{EXPORT_EVENT} is no export")
        if details.get("form") != "bundle" or details.get("sha256") != hashlib.sha256(self.raw).hexdigest():
            raise Finding("manifest", "the log signed another manifest")
        deputed = event.get("on_behalf_of")  # a worker makes what somebody asked for
        asked = deputed if isinstance(deputed, dict) else actor
        who = f"{asked.get('type')}:{asked.get('id')}" if isinstance(asked, dict) else ""
        if (details.get("rows"), who) != (self._told("rows", int), self._told("exported_by", str)):
            raise Finding("manifest", "the log tells of another export")
        if self._told("kind", str) != "keystead-evidence-bundle" or self._told("version", int) != 1:
            raise Finding("manifest", "the manifest is of a kind that this program does not know")
        if index < self._told("size", int):
            raise Finding("manifest", "the export is older than what it holds")
        return head

    def _export_growth(self) -> list[bytes]:
        text = self.material.text(EXPORT_GROWTH)
        if text and not text.endswith("\n"):
            raise Finding("form", f"{EXPORT_GROWTH} is torn")
        return [decode(line) for line in text.split("\n")[:-1]]

    def _check_whole(self, name: str) -> None:
        file = Counted(self.material, self.files[name])
        while file.read():
            pass

    def growths(self) -> list[tuple[int, int, list[bytes]]]:
        """Return the consistency proofs that the bundle brings for checkpoints that were kept."""
        if GROWTH not in self.files:
            return []
        return [_numbers(line, GROWTH) for line in self.material.read(GROWTH, SMALL).split(b"\n")[:-1]]

    def check(self, ledger: Ledger, trusted: Sequence[Head], *, deep: bool = False) -> set[int]:
        """Compute the root from events and gaps, and let the ledger read along; return the trusted sizes that were met."""
        beside = self._beside(deep=deep)
        tree = Growing(_gaps(Counted(self.material, self.files[PROOF])), trusted)
        for raw, inside in self._events(tree):
            ledger.read(tree.size, raw, inside=inside)
            for each in beside if inside else ():
                each.compare(tree.size, raw)
            tree.append(leaf_hash(raw))
        tree.fill()
        if tree.gap is not None or (tree.size, tree.root()) != (self.head.size, self.head.root):
            raise Finding("root", "these are not the events that were signed, or not at these places")
        for each in beside:
            each.end()
            if isinstance(each, PrivateParts):
                self.told_private = {"present": each.present, "missing": each.missing, "erased": ledger.erased}
        self._check_claims(ledger, beside)
        return tree.met

    def _events(self, tree: Growing) -> Iterator[tuple[bytes, bool]]:
        """Yield the events in the order of the log, those that only support a range too, and whether each is inside."""
        events = Counted(self.material, self.files[EVENTS]).lines()
        if SUPPORT not in self.files:
            for raw in events:
                tree.fill()
                yield raw, True
            return
        support = Counted(self.material, self.files[SUPPORT]).lines()
        start = self._told("from_leaf", int)
        for raw in support:
            tree.fill()
            if tree.size >= start:
                raise Finding("root", f"{SUPPORT} holds what is not before the range", tree.size)
            yield raw, False
        for raw in events:
            tree.fill()
            yield raw, True

    def _beside(self, *, deep: bool) -> list[Report | PrivateParts]:
        """Return what is compared with each event; a report that nobody wants to have rendered again is hashed."""
        beside: list[Report | PrivateParts] = []
        if deep and TABLE in self.files:
            beside.append(Report(Counted(self.material, self.files[TABLE])))
        elif TABLE in self.files:
            self._check_whole(TABLE)
        if PRIVATE in self.files:
            beside.append(PrivateParts(Counted(self.material, self.files[PRIVATE])))
        return beside

    def _check_claims(self, ledger: Ledger, beside: Sequence[Report | PrivateParts]) -> None:
        """Compare what the manifest claims with what the events and the gaps between them showed."""
        said = tuple(self._told(each, int) for each in ("from_leaf", "upto_leaf", "rows"))
        if ledger.rows and said != (ledger.first, ledger.after, ledger.rows):
            raise Finding("manifest", "the manifest is about other places of the log")
        if self._told("proves", str) not in ("completeness", "presence") or self.files[EVENTS].get("rows") != said[2]:
            raise Finding("manifest", "the manifest does not say what it claims")
        if self.is_complete and said[1] - said[0] != said[2]:
            raise Finding("incomplete", "the bundle claims a whole range, and events of it are missing", said[0])
        if self._told("with_private", bool) != any(isinstance(each, PrivateParts) for each in beside):
            raise Finding("manifest", "the manifest is wrong about private parts")

    @property
    def is_complete(self) -> bool:
        """Tell whether the bundle claims to leave nothing out."""
        return bool(self.manifest.get("proves") == "completeness")


Gap = tuple[int, int, list[bytes]]


def _gaps(proof: Counted) -> Iterator[Gap]:
    """Yield the gaps between events: in order, none empty, none beside another, each with just the hashes it needs."""
    before = -1
    for line in proof.lines():
        start, end, found = _numbers(line, PROOF)
        if not before < start < end or len(found) != len(peaks_between(start, end)):
            raise Finding("proof", f"{PROOF} is not in the one form that it has")
        before = end
        yield start, end, found


class Growing(Tree):
    """The tree of a bundle: events, and subtrees where events are not in the bundle."""

    def __init__(self, gaps: Iterator[Gap], trusted: Sequence[Head]) -> None:
        super().__init__()
        self.gaps, self.gap = gaps, next(gaps, None)
        self.kept, self.met = {each.size: each for each in trusted}, set[int]()

    def fill(self) -> None:
        """Fill the gap that begins here, and compare with a checkpoint that was kept of just this size."""
        self._compare()
        if self.gap is not None and self.gap[0] == self.size:
            for level, node in zip(peaks_between(self.gap[0], self.gap[1]), self.gap[2], strict=True):
                self.graft(level, node)
            self.gap = next(self.gaps, None)
            self._compare()

    def _compare(self) -> None:
        kept = self.kept.get(self.size)
        if kept is not None and self.root() != kept.root:
            words = f"the first {kept.size} leaves are not those of the checkpoint that was kept"
            raise Finding("root", words, kept.size)
        if kept is not None:
            self.met.add(kept.size)


class Report:
    """The table beside the events, rendered again and compared byte by byte."""

    columns = (
        "time", "action", "outcome", "severity", "actor.type", "actor.id", "on_behalf_of.id", "auth.mfa", "target.type",
        "target.id", "target.version", "environment", "reason", "change", "details", "policy.rule", "policy.version",
        "correlation", "request.id", "request.method", "request.route", "request.task", "uid",
    )  # fmt: skip
    names = {"on_behalf_of.id": "on_behalf_of", "auth.mfa": "mfa", "request.task": "task"}
    formula = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

    def __init__(self, file: Counted) -> None:
        self.file, self.rest = file, b""
        self._expect([self.names.get(each, each.replace(".", "_")) for each in self.columns], None)

    def compare(self, index: int, raw: bytes) -> None:
        """Compare the next row."""
        event = read_object(raw, f"event {index}", index)
        self._expect([self._cell(event, each.split(".")) for each in self.columns], index)

    def end(self) -> None:
        """Find nothing after the last row."""
        if self.rest or self.file.read():
            raise Finding("report", f"{TABLE} has more rows than there are events")

    def _cell(self, event: Any, path: Sequence[str]) -> str:
        """Return a cell (Any: what JSON holds) that no spreadsheet takes for a formula."""
        for name in path:
            event = event.get(name) if isinstance(event, dict) else None
        if event is None or event in ({}, []):
            return ""
        text = event if isinstance(event, str) else canonical(event).decode()
        return f"'{text}" if text.lstrip(" ").startswith(self.formula) else text

    def _expect(self, cells: Sequence[str], index: int | None) -> None:
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\r\n").writerow(cells)
        line = buffer.getvalue().encode()
        while len(self.rest) < len(line) and (text := self.file.read()):
            self.rest += text
        if self.rest[: len(line)] != line:
            raise Finding("report", f"{TABLE} does not say what event {index} says", index)
        self.rest = self.rest[len(line) :]


class PrivateParts:
    """The private parts beside the events, each of which must be what its event committed to."""

    def __init__(self, file: Counted) -> None:
        self.lines = file.lines()
        self.present = self.missing = 0
        self._next()

    def _next(self) -> None:
        line = next(self.lines, None)
        self.part = None if line is None else read_object(line, f"a line of {PRIVATE}")

    def compare(self, index: int, raw: bytes) -> None:
        """Compare the private part of an event, if it is there: it may have been erased."""
        event = read_object(raw, f"event {index}", index)
        if self.part is None or self.part.get("uid") != event.get("uid"):
            self.missing += 1
            return
        try:
            salt, told = bytes.fromhex(self.part["salt"]), event["private"]
            found = hashlib.sha256(salt + canonical(self.part["private"])).hexdigest()
            if len(salt) != 32 or {**self.part}.keys() != {"uid", "salt", "private"}:
                raise ValueError("form")
            if told != {"alg": "sha-256", "commitment": found}:
                raise Finding(
                    "private", f"the private part of event {index} is not the one it was recorded with", index
                )
        except (KeyError, TypeError, ValueError) as error:
            raise Finding("private", f"the private part of event {index} has no form", index) from error
        self.present += 1
        self._next()

    def end(self) -> None:
        """Find no private part that belongs to no event."""
        if self.part is not None:
            raise Finding("private", f"{PRIVATE} has a part of no event")


TORN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    IndexError,
)


TOLD = ("proves", "from_leaf", "upto_leaf", "rows", "searched", "first_at", "last_at", "exported_by", "exported_at")


def open_bundle(path: Path) -> Material:
    """Open a ZIP or a folder."""
    return Folder(path) if path.is_dir() else Zip(path)


def verify_bundle(
    path: Path | Material,
    keys: Sequence[Key],
    witnesses: Sequence[Key] = (),
    *,
    trusted: Sequence[Head] = (),
    growth: str = "",
    tiles: str = "",
    origins: Sequence[str] = (),
    deep: bool = False,
) -> tuple[Head, dict[str, Any]]:
    """Verify a bundle; return its head and what it shows."""
    try:
        bundle = Bundle(path if isinstance(path, Material) else open_bundle(path), keys, witnesses)
        ledger = Ledger(origins=origins, complete=bundle.is_complete)
        met = bundle.check(ledger, trusted, deep=deep)
        grown = bundle.growths()
    except (TypeError, KeyError, AttributeError) as error:
        raise Finding("manifest", "the manifest has not the form of a manifest") from error
    except TORN as error:
        raise Finding("files", f"the bundle is torn: {error}") from error
    grown += read_growth(growth)
    left = [each for each in trusted if each.size not in met]
    if tiles:
        newest = open_note((Path(tiles) / "checkpoint").read_text("utf-8"), keys)
        verify_tiles(Path(tiles), newest, [*left, bundle.head, bundle.signed])
    else:
        for each in left:
            check_kept(each, (bundle.head, bundle.signed), grown)
    told = {name: bundle.manifest.get(name) for name in TOLD}
    return bundle.head, {
        **told,
        "sha256": hashlib.sha256(bundle.raw).hexdigest(),
        "private": bundle.told_private,
    } | ledger.answer()


def read_growth(path: str) -> list[Gap]:
    """Read the lines `old new hash...` of a file, if there is one."""
    return [_numbers(line, path) for line in Path(path).read_bytes().splitlines()] if path else []


def check_kept(kept: Head, heads: Sequence[Head], grown: Sequence[Gap]) -> None:
    """Compare a checkpoint that was kept with those that are shown, by a proof of growth where it is of another size."""
    for own in heads:
        if kept.origin != own.origin:
            raise Unusable(f"the kept checkpoint is of {kept.origin}, what is shown of {own.origin}")
        if kept.size == own.size:
            check_growth(kept, own, [])
            return
        old, new = sorted((kept, own), key=lambda each: each.size)
        for start, end, found in grown:
            if (start, end) == (old.size, new.size):
                check_growth(old, new, found)
                return
    raise Unusable(
        f"whether the log of {heads[0].size} leaves and the kept one of {kept.size} are one log does not show from this: "
        "give --growth or --tiles, or ask for a bundle made with --since"
    )


# --- The command -------------------------------------------------------------------------------------------------------------
def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Answer one question (Any: the values of a JSON object)."""
    policy = read_policy(Path(arguments.policy).read_text("utf-8")) if arguments.policy else None
    keys = [key for each in arguments.key for key in read_keys(each)]
    witnesses = [key for each in arguments.witness for key in read_keys(each)]
    if policy is not None:
        keys, witnesses = [*keys, *policy.logs], [*witnesses, *policy.witnesses.values()]
    if not keys:
        raise Unusable("no key is pinned: give --key or --policy")
    beside = Path(getattr(arguments, "folder", "") or getattr(arguments, "tiles", "") or "-") / "keys"
    links = [Path(each) for each in arguments.link] + sorted(beside.glob("*.tlog-proof"))
    keys = follow_keys(keys, [each.read_text("utf-8") for each in links])
    trusted = [open_note(Path(each).read_text("utf-8"), keys) for each in arguments.trust]
    head, answer = ANSWERS[arguments.command](arguments, keys, witnesses, trusted)
    if policy is not None and not policy.holds(head):
        raise Finding(
            "witness", f"the policy's quorum {policy.quorum} did not sign the checkpoint of {head.size} leaves"
        )
    return answer | {"origin": head.origin, "size": head.size, "root": head.root.hex(), "witnesses": head.witnesses}


Answer = tuple[Head, dict[str, Any]]
Keys = Sequence[Key]


def answer_proof(asked: argparse.Namespace, keys: Keys, witnesses: Keys, trusted: Sequence[Head]) -> Answer:
    """Answer whether an event is in the log."""
    text = Path(asked.file).read_text("utf-8")
    entry = Path(asked.entry).read_bytes() if asked.entry else carried_entry(text)
    head, index = verify_proof(text, entry, keys, witnesses)
    for each in trusted:
        check_kept(each, (head,), read_growth(asked.growth))
    return head, {"index": index}


def answer_consistency(asked: argparse.Namespace, keys: Keys, witnesses: Keys, trusted: Sequence[Head]) -> Answer:
    """Answer whether the log only grew."""
    old, head = (open_note(Path(each).read_text("utf-8"), keys, witnesses) for each in (asked.old, asked.new))
    if asked.tiles:
        if old.size > head.size:
            check_growth(old, head, [])
        verify_tiles(Path(asked.tiles), head, [old, *trusted])
    else:
        check_growth(old, head, [decode(line) for line in Path(asked.proof).read_text("utf-8").split()])
        for each in trusted:
            check_kept(each, (old, head), read_growth(asked.growth))
    return head, {"from": old.size}


def answer_tiles(asked: argparse.Namespace, keys: Keys, witnesses: Keys, trusted: Sequence[Head]) -> Answer:
    """Answer whether a copy of the log is what was signed."""
    folder = Path(asked.folder)
    head = open_note((folder / "checkpoint").read_text("utf-8"), keys, witnesses)
    verify_tiles(folder, head, trusted, deep=asked.deep)
    return head, {}


def answer_bundle(asked: argparse.Namespace, keys: Keys, witnesses: Keys, trusted: Sequence[Head]) -> Answer:
    """Answer whether an evidence bundle is what the log signed, and what it proves."""
    head, answer = verify_bundle(
        Path(asked.file), keys, witnesses, trusted=trusted, growth=asked.growth, tiles=asked.tiles,
        origins=asked.origin, deep=asked.deep,
    )  # fmt: skip
    unproved = answer["approvals"][UNPROVABLE] + answer["keys"][UNPROVABLE]
    if asked.strict and unproved:
        raise Finding("unprovable", f"{unproved} approvals and keys are not provable from this bundle")
    return head, answer


ANSWERS = {"proof": answer_proof, "consistency": answer_consistency, "tiles": answer_tiles, "bundle": answer_bundle}


def parser() -> argparse.ArgumentParser:
    """Return what may be asked."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--key", action="append", default=[], help="a pinned public key of the log; may be repeated")
    shared.add_argument(
        "--link",
        action="append",
        default=[],
        help="a proof that leads from a pinned key to the next; tiles bring theirs",
    )
    shared.add_argument("--witness", action="append", default=[], help="a pinned public key of a witness")
    shared.add_argument(
        "--policy", help="a file of pinned logs and witnesses (C2SP tlog-policy), whose quorum must hold"
    )
    shared.add_argument("--trust", action="append", default=[], help="a checkpoint that you kept")
    shared.add_argument("--growth", default="", help="lines `old new hash...` that show how the log grew since --trust")
    shared.add_argument("--json", action="store_true", help="answer in JSON")
    which = asked.add_subparsers(dest="command", required=True)
    four = which.add_parser("bundle", parents=[shared], help="an evidence bundle is what the log signed")
    four.add_argument("file", help="the ZIP, or the folder it was unpacked into")
    four.add_argument(
        "--origin", action="append", default=[], help="the address at which approvers sign; may be repeated"
    )
    four.add_argument("--tiles", default="", help="a folder of tiles, to compare --trust and the bundle with")
    four.add_argument("--deep", action="store_true", help="render report.csv again and compare")
    four.add_argument("--strict", action="store_true", help="what is not provable from this bundle is a finding")
    one = which.add_parser("proof", parents=[shared], help="an event is in the log")
    one.add_argument("file")
    one.add_argument("--entry", help="the exact bytes of the event; a receipt carries them itself")
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


def in_words(answer: dict[str, Any]) -> str:
    """Write a good answer for people."""
    seen = ", ".join(answer["witnesses"]) or "no witness that you named"
    lines = [f"OK: {answer['origin']}, {answer['size']} leaves, root {answer['root']}, seen by {seen}"]
    if answer["command"] == "bundle":
        places = f"{answer['rows']} events, leaves {answer['from_leaf']} up to and without {answer['upto_leaf']}"
        complete = answer["proves"] == "completeness"
        lines += [
            f"  {places}: {'unchanged, and none is missing' if complete else 'unchanged; that these are all is not proved'}",
            f"  exported by {answer['exported_by']} at {answer['exported_at']}",
            "  approvals: {verified} signed by the approver's passkey, {weaker} weaker (code or presence), "
            "{unprovable} not provable from this bundle".format(**answer["approvals"]),
            "  keys: {verified} issued as signed, {weaker} as approved, {automatic} without approval by policy, {without-request} "
            "without request, {unprovable} not provable from this bundle".format(**answer["keys"]),
        ]
        lines += [
            f"    {each['kind']} {each['about']}{' ' * bool(each['about'])}{each['id']} (leaf {each['index']}): "
            f"{each['verdict']}. {each['why']}"
            for each in answer["listed"]
        ]
        if answer["private"]:
            lines.append(
                "  private parts: {present} as recorded, {missing} not here, {erased} erased on record".format(
                    **answer["private"]
                )
            )
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> int:
    """Print the answer and return the exit code."""
    arguments = parser().parse_args(words)
    answer: dict[str, Any] = {"command": arguments.command}
    try:
        answer |= {"result": "ok"} | run(arguments)
        code, line = OK, in_words(answer)
    except Finding as finding:
        found = {"code": finding.code, "index": finding.index, "words": str(finding)}
        answer |= {"result": "findings", "findings": [found]}
        code, line = FINDINGS, f"FOUND ({finding.code}): {finding}"
    except (Unusable, OSError, UnicodeDecodeError) as problem:
        answer |= {"result": "unusable", "words": str(problem)}
        code, line = UNUSABLE, f"CANNOT ANSWER: {problem}"
    if arguments.json:
        line = json.dumps(answer)
    sys.stdout.write(f"{line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
