"""Be a service that verifies in its own process: `python -m benchmarks.verify.in_a_service COUNT ROUNDS` prints what that costs.

As JSON, in microseconds: the first verification of a key, SHA-256 and a dictionary, and a verification.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import sys
import time
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.verify.in_process import cost_of, holding, text_of  # it finds the client in this checkout

if TYPE_CHECKING:
    from keystead_client import LocalVerifier

ASKED = 10_000  # different keys in a turn; a service meets few keys at a time
TURNS = 20


def main(count: int, rounds: int) -> None:
    """Ask both by turns."""
    verifier, _, _ = holding(count, Ed25519PrivateKey.generate())
    print(json.dumps(_costs(verifier, count, rounds)))


def _costs(verifier: LocalVerifier, count: int, rounds: int) -> tuple[float, float, float]:
    texts = [text_of(number) for number in range(0, count, max(1, count // ASKED))][:ASKED]
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
    pairs = [(cost_of(look_up, times), cost_of(verify, times)) for _ in range(rounds)]
    least, mine = (statistics.median(column) for column in zip(*pairs, strict=True))
    return first, least, mine


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
