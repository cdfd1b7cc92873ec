"""What only somebody elsewhere can find: a past that was set back or written anew together with the sealer's memory."""

import shutil
from pathlib import Path
from typing import Any

import psycopg
import pytest

from audit.events import WitnessContradicted
from audit.inspection import inspect_log
from audit.models import AuditEvent, AuditWitness
from audit.pins import Pins
from audit.sealer import Sealer
from audit.witness.base import AnotherHistory
from tests.audit.sealing import cut_off, make_sealer, write_events
from tests.audit.witness.logs import GrowingLog, served
from tests.audit.witness.publishing import ALARMS, http_witness, keeper, witness_of


def test_found_by_a_witness_an_old_database_together_with_the_sealers_old_memory(
    sealer: Sealer, tmp_path: Path, superuser: "psycopg.Connection[Any]"
) -> None:
    """Whoever sets back database, tiles and memory together agrees with himself; the witness on another host does not."""
    state = sealer.folder.read_state()
    assert state is not None
    shutil.copytree(sealer.folder.path, tmp_path / "old")
    old_size = state.size
    with served(witness_of(sealer, tmp_path / "w")) as url:
        write_events(20)
        sealer.seal()
        mine = keeper(http_witness(url), sealer)
        mine.turn()
        assert AuditWitness.objects.get().size == old_size + 20
        cut_off(superuser, old_size)
        superuser.execute("DELETE FROM audit_witness")
        shutil.rmtree(sealer.folder.path)
        shutil.copytree(tmp_path / "old", sealer.folder.path)
        fresh = make_sealer(sealer.folder.path)
        assert fresh.seal().size == old_size  # the sealer finds nothing wrong
        assert inspect_log(Pins(verifiers=[fresh.signer.verifier])).findings == []  # nor does the nightly look
        mine = keeper(http_witness(url), fresh)
        mine.turn()
        assert [code for code, _ in ALARMS] == ["witness_ahead"]
        # Grown past what the witness saw, the log is a fork.
        write_events(40)
        fresh.seal()
        mine = keeper(http_witness(url), fresh)
        mine.turn()
        assert [code for code, _ in ALARMS] == ["witness_ahead", "witness_fork"]
        row = AuditWitness.objects.get()
        assert (row.reason, row.failed_at is not None) == ("fork", True)
        told = AuditEvent.objects.filter(action=WitnessContradicted.action)
        assert [each.envelope()["reason"] for each in told.order_by("id")] == ["ahead", "fork"]


def test_found_by_a_witness_a_stolen_key_that_rewrites_what_was_witnessed(sealer: Sealer, tmp_path: Path) -> None:
    with served(witness_of(sealer, tmp_path / "w")) as url:
        keeper(http_witness(url), sealer).turn()
        size = AuditWitness.objects.get().size
        thief = GrowingLog(tmp_path / "thief", signer=sealer.signer)
        for grown in (size, size + 10):
            with pytest.raises(AnotherHistory):
                http_witness(url).publish(thief.grow(grown))
