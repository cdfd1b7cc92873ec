"""Measure the client that decides in a service's own process: time beside a digest and a look-up, memory, and loading."""

from __future__ import annotations

import base64
import gc
import hashlib
import json
import os
import statistics
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.cluster import Cluster
from benchmarks.results import Result, at_least, at_most, told
from benchmarks.verify.sizes import Sizes

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "sdk" / "python" / "src"))

from keystead_client import LocalVerifier, digest
from keystead_client.beliefs import State
from keystead_client.feed import CLOCK, clock
from keystead_client.snapshots import RECORD, read_snapshot

SHARE, BYTES, SECONDS = 0.5, 110.0, 2.0
ASKED = 10_000  # different keys in a turn; a service meets few keys at a time
TURNS = 20


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """Load the largest number of versions, and ask."""
    count = sizes.versions[-1]
    content, signer = _snapshot(count)
    gc.collect()
    before = _resident()
    began = time.process_time()
    snapshot = read_snapshot(content, keys={"snap-1": signer})
    loaded = time.process_time() - began
    del content
    gc.collect()
    # What came was there before and is given back; the records of it, 64 bytes each, are what is held now.
    held = (_resident() - before) / count + RECORD
    verifier = LocalVerifier("http://localhost:1", credential=_text(0))
    feed = verifier._feed  # noqa: SLF001 - what is measured is the answer, not the network
    feed.state, now = State(snapshot), clock(CLOCK)
    feed.believe(now + 3_600, offset=time.time() - now)
    verifier._started = True  # noqa: SLF001 - as above: nobody to follow
    return [
        *_beside_a_dictionary(verifier, count, sizes),
        at_most(f"a snapshot of {count:,} keys: bytes a key", held, BYTES, "B"),
        at_most(f"a snapshot of {count:,} keys: verified and loaded", loaded, SECONDS, "s"),
    ]


def _beside_a_dictionary(verifier: LocalVerifier, count: int, sizes: Sizes) -> list[Result]:
    texts = [_text(number) for number in range(0, count, max(1, count // ASKED))][:ASKED]
    known = {hashlib.sha256(text.encode()).digest(): text for text in texts}
    sha256, find = hashlib.sha256, known.get

    def look_up() -> None:
        for _ in range(TURNS):
            for text in texts:
                find(sha256(text.encode()).digest())

    def verify() -> None:
        ask = verifier.verify
        for _ in range(TURNS):
            for text in texts:
                ask(text)
        verifier._uses.count()  # noqa: SLF001 - counting belongs to the cost; it is done about once a second

    began = time.process_time()
    for text in texts:
        verifier.verify(text)
    first = (time.process_time() - began) / len(texts) * 1e6
    assert all(verifier.verify(text) for text in texts[:: len(texts) // 10 or 1])
    times = TURNS * len(texts)
    pairs = [(_cost(look_up, times), _cost(verify, times)) for _ in range(sizes.rounds)]
    least, mine = (statistics.median(column) for column in zip(*pairs, strict=True))
    return [
        told("SHA-256 and a dictionary", least, "us"),
        told("a verification in process", mine, "us"),
        told("the first verification of a key", first, "us"),
        at_least("a verification in process: share of SHA-256 and a dictionary", least / mine, SHARE, "x"),
    ]


def _cost(work: Callable[[], None], times: int) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) / times * 1e6


def _text(number: int) -> str:
    return f"ks_prod_{number:014d}_{'n' * 49}"


def _snapshot(count: int) -> tuple[bytes, str]:
    """Write what Keystead would send for so many keys, and the key that signed it."""
    key = Ed25519PrivateKey.generate()
    ends_at = (time.time_ns() // 1_000_000) + 86_400_000
    records = sorted(
        digest(_text(each)) + struct.pack("<14s2xIIQ", b"%014d" % each, 0, 0, ends_at) for each in range(count)
    )
    policy = {"scopes": ["orders:read"], "networks": [], "owner_team": "t", "service": "orders", "environment": "prod"}
    header = json.dumps(
        {"kid": "snap-1", "service": "orders", "environment": "prod", "position": "0", "lease_ms": 3000, "count": count,
         "policies": [policy], "warned": {}}
    ).encode()  # fmt: skip
    body = b"KSSNAP1\n" + struct.pack("<I", len(header)) + header + b"".join(records)
    signature = key.sign(b"keystead snapshot v1\n" + hashlib.sha256(body).digest())
    x = base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).rstrip(b"=").decode()
    return body + signature, x


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
