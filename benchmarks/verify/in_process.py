"""Measure the client that decides in a service's own process: time beside a digest and a look-up, memory, and loading.

Beside it a signed request, whole, and the bare verification of its signature.
"""

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
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from benchmarks.cluster import Cluster
from benchmarks.measuring import by_turns, ratio
from benchmarks.results import Result, at_least, at_most, told
from benchmarks.verify.sizes import Sizes

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "sdk" / "python" / "src"))

from keystead_client import LocalVerifier, MemoryNonces, SignedRequest, Signer, digest
from keystead_client.beliefs import State
from keystead_client.feed import CLOCK, clock
from keystead_client.signature_reading import read_signed
from keystead_client.snapshots import RECORD, read_snapshot

SHARE, BYTES, SECONDS = 0.5, 110.0, 2.0
SIGNED_SHARE = 0.9  # of the bare verification of a signature
ASKED = 10_000  # different keys in a turn; a service meets few keys at a time
TURNS = 20
FEW = 50  # signed requests at a time
KID = "8nbmcDHypESyDn"
BODY = b'{"amount":"12.50","currency":"EUR","to":"DE02120300000000202051","text":"Invoice 4711"}'


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """Load the largest number of versions, and ask."""
    count = sizes.versions[-1]
    pair = Ed25519PrivateKey.generate()
    content, signer = _snapshot(count, pair)
    gc.collect()
    before = _resident()
    began = time.process_time()
    snapshot = read_snapshot(content, keys={"snap-1": signer})
    loaded = time.process_time() - began
    del content
    gc.collect()
    # What came was there before and is given back; the records of it, 64 bytes each, are what is held now.
    held = (_resident() - before) / count + RECORD
    # As in a program that has been there for an hour: what was signed before its memory began is refused.
    nonces = MemoryNonces()
    nonces._made_at -= 3_600  # noqa: SLF001 - as said
    verifier = LocalVerifier("http://localhost:1", credential=_text(0), nonces=nonces)
    feed = verifier._feed  # noqa: SLF001 - what is measured is the answer, not the network
    feed.state, now = State(snapshot), clock(CLOCK)
    feed.believe(now + 3_600, offset=time.time() - now)
    verifier._started = True  # noqa: SLF001 - as above: nobody to follow
    return [
        *_beside_a_dictionary(verifier, count, sizes),
        *_beside_a_bare_verification(verifier, pair, sizes),
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


def _beside_a_bare_verification(verifier: LocalVerifier, pair: Ed25519PrivateKey, sizes: Sizes) -> list[Result]:
    """Each request is signed anew, as its nonce is spent, and not long before: a service has just read what it checks."""
    pem = pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    sign, public = Signer.ed25519(pem, keyid=KID).sign, pair.public_key()
    bodies = {"without a body": b"", "with a body of 88 bytes": BODY}

    def checked(body: bytes) -> float:
        def check(asked: list[dict[str, Any]]) -> None:
            for facts in asked:
                if not verifier.verify_signature(SignedRequest(**facts), scopes=("orders:read",)):
                    raise RuntimeError("refused")
            verifier._uses.count()  # noqa: SLF001 - counting belongs to the cost

        return few_by_few(lambda asked: partial(check, asked), body)

    def bare(body: bytes) -> float:
        def verify(pairs: list[tuple[bytes, bytes]]) -> None:
            for signature, base in pairs:
                if body:
                    hashlib.sha256(body).digest()  # nobody can leave that out
                public.verify(signature, base)

        def ready(asked: list[dict[str, Any]]) -> Callable[[], None]:
            read = [read_signed(SignedRequest(**facts)) for facts in asked]
            return partial(verify, [(base64.b64decode(each.signature[10:-1]), each.base) for each in read])

        return few_by_few(ready, body)

    def few_by_few(ready: Callable[[list[dict[str, Any]]], Callable[[], None]], body: bytes) -> float:
        turns = range(0, sizes.signed, FEW)
        return statistics.median(_cost(ready(_signed_by(sign, body, FEW)), FEW) for _ in turns)

    variants = {(how, what): partial(how, body) for what, body in bodies.items() for how in (checked, bare)}
    found = by_turns({f"{how.__name__} {what}": work for (how, what), work in variants.items()}, rounds=sizes.rounds)
    results = []
    for what in bodies:
        mine, least = found[f"checked {what}"], found[f"bare {what}"]
        results += [
            told(f"Ed25519 {what}: bare verification", statistics.median(least), "us"),
            told(f"a signed request in process {what}: form, digest, time, key, nonce", statistics.median(mine), "us"),
            at_least(f"the same {what}: share of the bare verification", ratio(least, mine), SIGNED_SHARE, "x"),
        ]
    return results


def _signed_by(sign: Callable[..., dict[str, str]], body: bytes, count: int) -> list[dict[str, Any]]:
    """What a service would have of so many requests."""
    method, url = ("POST" if body else "GET"), "https://api.example.com/v1/withdrawals?a=1&b=2"
    target = {"method": method, "authority": "api.example.com", "path": "/v1/withdrawals", "query": "a=1&b=2"}
    signed = (sign(method, url, body=body, content_type="application/json") for _ in range(count))
    return [
        {**target, "headers": {name.lower(): (value,) for name, value in headers.items()}, "body": body}
        for headers in signed
    ]


def _cost(work: Callable[[], None], times: int) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) / times * 1e6


def _text(number: int) -> str:
    return f"ks_prod_{number:014d}_{'n' * 49}"


def _snapshot(count: int, pair: Ed25519PrivateKey) -> tuple[bytes, str]:
    """Write what Keystead would send for so many keys and one that signs, and the key that signed it."""
    key = Ed25519PrivateKey.generate()
    ends_at = (time.time_ns() // 1_000_000) + 86_400_000
    records = sorted(
        digest(_text(each)) + struct.pack("<14s2xIIQ", b"%014d" % each, 0, 0, ends_at) for each in range(count)
    )
    policy = {"scopes": ["orders:read"], "networks": [], "owner_team": "t", "service": "orders", "environment": "prod"}
    signer = pair.public_key().public_bytes_raw() + struct.pack("<14s2xIIQ", KID.encode(), 0, 0, ends_at)
    header = json.dumps(
        {"kid": "snap-1", "service": "orders", "environment": "prod", "position": "0", "lease_ms": 3000, "count": count,
         "policies": [policy], "warned": {}, "signers": _base64url(signer)}
    ).encode()  # fmt: skip
    body = b"KSSNAP1\n" + struct.pack("<I", len(header)) + header + b"".join(records)
    signature = key.sign(b"keystead snapshot v1\n" + hashlib.sha256(body).digest())
    return body + signature, _base64url(key.public_key().public_bytes_raw())


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
