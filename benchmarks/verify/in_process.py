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
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from benchmarks.cluster import ROOT, Cluster
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
FEW = 50  # signed requests at a time
KID = "8nbmcDHypESyDn"
BODY = b'{"amount":"12.50","currency":"EUR","to":"DE02120300000000202051","text":"Invoice 4711"}'


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """Load the largest number of versions, and ask."""
    count = sizes.versions[-1]
    pair = Ed25519PrivateKey.generate()
    verifier, loaded, held = holding(count, pair)
    return [
        *_beside_a_dictionary(count, sizes),
        *_beside_a_bare_verification(verifier, pair, sizes),
        at_most(f"a snapshot of {count:,} keys: bytes a key", held, BYTES, "B"),
        at_most(f"a snapshot of {count:,} keys: verified and loaded", loaded, SECONDS, "s"),
    ]


def holding(count: int, pair: Ed25519PrivateKey) -> tuple[LocalVerifier, float, float]:
    """A client that holds so many versions and the pair's; how many seconds it loaded them, and how many bytes it holds of each."""
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
    verifier = LocalVerifier("http://localhost:1", credential=text_of(0), nonces=nonces)
    feed = verifier._feed  # noqa: SLF001 - what is measured is the answer, not the network
    feed.state, now = State(snapshot), clock(CLOCK)
    feed.believe(now + 3_600, offset=time.time() - now)
    verifier._started = True  # noqa: SLF001 - as above: nobody to follow
    return verifier, loaded, held


def _beside_a_dictionary(count: int, sizes: Sizes) -> list[Result]:
    """In programs of their own, as services are: which memory one got makes a fifth of it."""
    command = [sys.executable, "-m", "benchmarks.verify.in_a_service", str(count), str(sizes.rounds)]
    told_by = [
        json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
        for _ in range(sizes.services)
    ]
    first, least, mine = zip(*told_by, strict=True)
    return [
        told("SHA-256 and a dictionary", statistics.median(least), "us"),
        told("a verification in process", statistics.median(mine), "us"),
        told("the first verification of a key", statistics.median(first), "us"),
        told(
            "a verification in process: least share in one program",
            min(one / other for one, other in zip(least, mine, strict=True)),
            "x",
        ),
        at_least("a verification in process: share of SHA-256 and a dictionary", ratio(least, mine), SHARE, "x"),
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
        return statistics.median(cost_of(ready(_signed_by(sign, body, FEW)), FEW) for _ in turns)

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


def cost_of(work: Callable[[], None], times: int) -> float:
    """Processor time, in microseconds."""
    began = time.process_time()
    work()
    return (time.process_time() - began) / times * 1e6


def text_of(number: int) -> str:
    """The key of a number."""
    return f"ks_prod_{number:014d}_{'n' * 49}"


def _snapshot(count: int, pair: Ed25519PrivateKey) -> tuple[bytes, str]:
    """Write what Keystead would send for so many keys and one that signs, and the key that signed it."""
    key = Ed25519PrivateKey.generate()
    ends_at = (time.time_ns() // 1_000_000) + 86_400_000
    records = sorted(
        digest(text_of(each)) + struct.pack("<14s2xIIQ", b"%014d" % each, 0, 0, ends_at) for each in range(count)
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
