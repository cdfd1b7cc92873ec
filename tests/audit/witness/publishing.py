"""Publish the heads of a real sealer to a witness that a test made, and keep the alarms."""

from pathlib import Path
from typing import Any

from audit.sealer import Sealer
from audit.witness.base import Witness
from audit.witness.cosigner import Cosigner
from audit.witness.http_witness import HttpWitness
from audit.witness.publisher import Keeper
from tests.audit.witness.logs import WITNESS

ALARMS: list[tuple[str, str]] = []


def alarm(code: str, words: str) -> None:
    ALARMS.append((code, words))


def http_witness(url: str, *, every: float = 0, **options: Any) -> HttpWitness:
    return HttpWitness(url=url, vkey=WITNESS.verifier.text(), every=every, **options)


def keeper(witness: Witness, sealer: Sealer) -> Keeper:
    return Keeper(witness, sealer.folder, alarm, using="sealer")


def witness_of(sealer: Sealer, folder: Path) -> Cosigner:
    return Cosigner(folder, WITNESS, [sealer.signer.verifier])
