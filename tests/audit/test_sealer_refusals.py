"""The sealer refuses a database, a memory or tiles that are not those it left."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from audit.models import AuditPending
from audit.notes import Checkpoint
from audit.sealer import Refused
from audit.sealer_folder import FolderError, SealerFolder
from tests.audit.sealing import as_superuser, assert_whole, make_sealer, write_events

pytestmark = pytest.mark.usefixtures("committed_db")


ATTACKS = {
    "rollback": (
        "DELETE FROM audit_leaf WHERE index >= 20", "DELETE FROM audit_checkpoint WHERE size > 20",
        "DELETE FROM audit_node",
    ),
    "rewrite: a leaf more": ("INSERT INTO audit_leaf VALUES (50, 99999, sha256('x'))",),
    "rewrite: a leaf less": ("DELETE FROM audit_leaf WHERE index = 49",),
    "rewrite: another node": ("UPDATE audit_node SET hash = sha256('x') WHERE level = 5",),
    "rewrite: a node less": ("DELETE FROM audit_node WHERE level = 4 AND index = 2",),
    "rewrite: another root": ("UPDATE audit_checkpoint SET root = sha256('x') WHERE size = 50",),
    "rewrite: a head of another": (
        "INSERT INTO audit_leaf SELECT 50, max(id), sha256('x') FROM audit_event",
        "INSERT INTO audit_checkpoint SELECT 51, sha256('x'), note, now() FROM audit_checkpoint WHERE size = 50",
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_database_that_is_not_the_one_we_sealed_is_refused(
    tmp_path: Path, superuser: "psycopg.Connection[Any]", attack: str
) -> None:
    sealer = make_sealer(tmp_path)
    superuser.execute("DELETE FROM audit_pending")
    write_events(20)
    sealer.seal()
    write_events(30)
    sealer.seal()
    write_events(1)
    as_superuser(superuser, *ATTACKS[attack])
    for each in (sealer, make_sealer(tmp_path)):
        with pytest.raises(Refused) as refused:
            each.seal()
        assert refused.value.code == attack.partition(":")[0]
    assert AuditPending.objects.count() == 1
    assert SealerFolder(tmp_path).read_state().size == 50  # type: ignore[union-attr]


def test_a_checkpoint_that_another_key_signed_is_not_taken_up(
    tmp_path: Path, superuser: "psycopg.Connection[Any]"
) -> None:
    sealer = make_sealer(tmp_path)
    superuser.execute("DELETE FROM audit_pending")
    write_events(4)
    sealer.seal()
    forger = make_sealer(tmp_path / "forger")
    forged = forger.signer.sign(Checkpoint(origin=sealer.signer.name, size=5, root=b"r" * 32).body())
    superuser.execute("INSERT INTO audit_leaf VALUES (4, 99999, sha256('x'))")
    superuser.execute("INSERT INTO audit_checkpoint VALUES (5, %s, %s, now())", (b"r" * 32, forged))
    with pytest.raises(Refused, match="not ours"):
        sealer.seal()


def test_a_lost_or_foreign_memory_is_refused_until_somebody_takes_the_responsibility(tmp_path: Path) -> None:
    sealer = make_sealer(tmp_path)
    write_events(300)
    sealer.seal()
    size = assert_whole(sealer)
    state = (tmp_path / "state.json").read_text()
    (tmp_path / "state.json").unlink()
    with pytest.raises(Refused) as refused:
        make_sealer(tmp_path).seal()
    assert refused.value.code == "state_lost"
    assert make_sealer(tmp_path).seal(adopt=True).size == size
    assert assert_whole(make_sealer(tmp_path)) == size
    (tmp_path / "state.json").write_text(state.replace("audit-log/test", "audit-log/other"))
    with pytest.raises(Refused, match="the state is of"):
        make_sealer(tmp_path).seal()
    (tmp_path / "state.json").write_text(state[:40])
    with pytest.raises(FolderError):
        make_sealer(tmp_path).seal()


def test_tiles_that_were_changed_are_refused(tmp_path: Path) -> None:
    sealer = make_sealer(tmp_path)
    write_events(300)
    sealer.seal()
    (full,) = (tmp_path / "tiles" / "tile" / "1").rglob("1")
    full.write_bytes(b"x" * 32)
    with pytest.raises(Refused) as refused:
        make_sealer(tmp_path).seal()
    assert refused.value.code == "tiles"
