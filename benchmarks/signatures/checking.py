"""Check one signed request over and over: ours, the RFC's library, and the bare primitive under both, by turns."""

from __future__ import annotations

import base64
import hashlib
import hmac
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from types import SimpleNamespace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import HTTPMessageVerifier, MappingKeyResolver, algorithms

from benchmarks.cluster import Cluster
from benchmarks.measuring import by_turns, ratio
from benchmarks.results import Result, at_least, at_most, told
from benchmarks.signatures.sizes import Sizes
from keys.crypto import base64url
from keys.crypto.key_text import mint
from keys.crypto.request_signing import RequestKey, hmac_key, public_key
from keys.crypto.secrets import Secret
from keys.nonces.members import member
from keys.signatures.checking import holds, is_in_future, is_too_old
from keys.signatures.profile import TAG, WITH_BODY, WITHOUT_BODY
from keys.signatures.reading import SignedRequest, content_digest, read_signed
from tests.signing import Call, Sign, by_hmac, by_pair

BODY = b'{"amount":"12.50","currency":"EUR","to":"DE02120300000000202051","text":"Invoice 4711"}'
KID = "8nbmcDHypESyDn"


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """Compare without and with a body, for both kinds."""
    secret = mint("prod", kid=KID).secret
    pair = Ed25519PrivateKey.generate()
    public = public_key(base64url.encode(pair.public_key().public_bytes_raw()))
    without = Call(path="/v1/withdrawals", query="a=1&b=2")
    with_body = Call(method="POST", path="/v1/withdrawals", query="a=1&b=2", body=BODY)
    return [
        *_hmac("without a body", without, secret, sizes),
        *_hmac("with a body of 88 bytes", with_body, secret, sizes),
        *_ed25519(without, by_pair(pair), public, pair, sizes),
    ]


def _hmac(what: str, call: Call, secret: Secret, sizes: Sizes) -> list[Result]:
    key, raw = hmac_key(secret), secret.reveal_bytes()
    headers, now = _signed(call, by_hmac(secret.reveal()), "hmac-sha256")
    base = read_signed(_request(call, headers)).base
    resolver = MappingKeyResolver(public_keys={KID: raw}, private_keys={})
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=resolver)
    found = by_turns(
        {
            "bare": _timed(partial(_bare, raw, base, call.body), sizes.calls),
            "ours": _timed(_checking(call, headers, key, now), sizes.calls),
            "library": _timed(_library(verifier, call, headers), sizes.slow_calls),
        },
        rounds=sizes.rounds,
    )
    name = "hmac.digest and SHA-256 of the body" if call.body else "hmac.digest"
    return [
        told(f"HMAC {what}: {name}", statistics.median(found["bare"]), "us"),
        told(f"HMAC {what}: ours", statistics.median(found["ours"]), "us"),
        at_most(f"HMAC {what}: ours, with a set of nonces / {name}", ratio(found["ours"], found["bare"]), 4, "x"),
        at_least(f"HMAC {what}: the library / ours", ratio(found["library"], found["ours"]), 15, "x"),
    ]


def _ed25519(call: Call, sign: Sign, key: RequestKey, pair: Ed25519PrivateKey, sizes: Sizes) -> list[Result]:
    headers, now = _signed(call, sign, "ed25519")
    presented = read_signed(_request(call, headers))
    raw, public = base64.b64decode(presented.signature[10:-1]), pair.public_key()
    resolver = MappingKeyResolver(public_keys={KID: public}, private_keys={})
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=resolver)
    found = by_turns(
        {
            "bare": _timed(lambda: public.verify(raw, presented.base), sizes.slow_calls),
            "ours": _timed(_checking(call, headers, key, now), sizes.slow_calls),
            "library": _timed(_library(verifier, call, headers), sizes.slow_calls),
        },
        rounds=sizes.rounds,
    )
    return [
        told("Ed25519: bare verification", statistics.median(found["bare"]), "us"),
        at_least("Ed25519: bare verification / ours", ratio(found["bare"], found["ours"]), 0.9, "x"),
        told("Ed25519: the library / ours", ratio(found["library"], found["ours"]), "x"),
    ]


def _bare(secret: bytes, base: bytes, body: bytes) -> None:
    """What nobody can leave out."""
    if body:
        hashlib.sha256(body).digest()
    hmac.digest(secret, base, "sha256")


def _signed(call: Call, sign: Sign, algorithm: str) -> tuple[dict[str, str], float]:
    now = time.time()
    return call.signed(sign, kid=KID, algorithm=algorithm, created=int(now)), now


def _request(call: Call, headers: dict[str, str]) -> SignedRequest:
    digest = content_digest(call.body) if call.body else None
    return SignedRequest(call.method, call.authority, call.path, call.query, headers, digest)


def _checking(call: Call, headers: dict[str, str], key: RequestKey, now: float) -> Callable[[], object]:
    """Everything that is done in this process: digest of the body, form, time, signature, and a set of nonces."""
    spent: set[int] = set()

    def check() -> None:
        presented = read_signed(_request(call, headers))
        assert not is_too_old(presented, now=now)
        assert not is_in_future(presented, now=now)
        assert holds(presented, key)
        spent.add(member(presented.kid, presented.nonce))

    return check


def _library(verifier: HTTPMessageVerifier, call: Call, headers: dict[str, str]) -> Callable[[], object]:
    message = SimpleNamespace(
        method=call.method, url=f"https://{call.authority}{call.path}?{call.query}", headers=dict(headers)
    )
    components = WITH_BODY if call.body else WITHOUT_BODY
    return lambda: verifier.verify(
        message,
        max_age=timedelta(hours=1),
        expect_tag=TAG,
        require_components=components,
        body=call.body or None,
    )


def _timed(action: Callable[[], object], calls: int) -> Callable[[], float]:
    """Return the processor's microseconds for one call."""

    def run() -> float:
        since = time.process_time()
        for _ in range(calls):
            action()
        return (time.process_time() - since) / calls * 1e6

    return run
