"""Taking a lost end up again, or beginning a new log, is run once more when it was killed, whenever that was."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from audit import recovery
from audit.inspection import inspect_log
from audit.interruptions import open_interruption
from audit.models import AuditEvent, AuditLeaf, AuditPending
from audit.notes import Signer, Verifier
from audit.pins import Pins
from audit.recovery import begin_origin, recover_tail
from audit.sealer import Refused, Sealer
from audit.sealer_folder import SealerFolder, create_key, read_signer
from audit.signing_keys import SigningKeys
from tests.audit.sealing import assert_whole, cut_off, fail_at, make_sealer, write_events

NAME = "keystead/audit-log/second"
pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def behind(tmp_path: Path, superuser: "psycopg.Connection[Any]") -> Sealer:
    """A sealer of 320 and more leaves, whose database has lost all but the first 40 and then gained three events."""
    sealer = make_sealer(tmp_path / "sealer")
    sealer.seal()
    write_events(40 - AuditLeaf.objects.count())
    sealer.seal()
    write_events(280, "lost")
    sealer.seal()
    cut_off(superuser, 40)
    write_events(3, "after")
    return make_sealer(tmp_path / "sealer")


def findings(sealer: Sealer, *verifiers: Verifier) -> list[str]:
    """What does not hold beside the interruption, which only the floor above ends."""
    pins = Pins(verifiers=verifiers or [sealer.signer.verifier])
    found = inspect_log(pins).findings
    assert found.pop().code == "interrupted"
    return [str(each) for each in found]


@pytest.mark.parametrize(
    "step", ["_common_beginning", "write_leaves", "begin_interruption", "mark_recovered", "_record", None]
)
def test_a_recovery_that_is_killed_changed_nothing_and_is_run_again(
    behind: Sealer, monkeypatch: pytest.MonkeyPatch, step: str | None
) -> None:
    if step is not None:

        def killed(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(recovery, step, killed)
            with pytest.raises(KeyboardInterrupt):
                recover_tail(behind)
        assert AuditLeaf.objects.count() == 40
        assert open_interruption() is None
    done = recover_tail(behind)
    assert done is not None
    assert (done.from_leaf, done.upto_leaf, done.lost_private_parts) == (40, 320, 280)
    assert AuditPending.objects.count() == 4  # the three, and what was recovered on record
    assert recover_tail(behind) is None
    behind.seal()
    assert assert_whole(make_sealer(behind.folder.path)) == 324 == AuditEvent.objects.count()
    assert findings(behind) == []


def test_tiles_that_are_not_those_that_were_published_are_not_taken_up(
    behind: Sealer, superuser: "psycopg.Connection[Any]"
) -> None:
    entries = behind.folder.path / "tiles" / "tile" / "entries" / "001.p" / "64"
    entries.write_bytes(entries.read_bytes().replace(b"lost-270", b"lost-999"))
    with pytest.raises(Refused, match="do not have the root"):
        recover_tail(behind)
    assert AuditLeaf.objects.count() == 40
    superuser.execute("ALTER TABLE audit_checkpoint DISABLE TRIGGER audit_append_only")
    superuser.execute("UPDATE audit_checkpoint SET root = sha256('x') WHERE size = 40")
    with pytest.raises(Refused) as refused:
        recover_tail(behind)
    assert refused.value.code == "rewrite"


def test_without_its_own_memory_or_beside_another_sealer_nothing_is_recovered(
    behind: Sealer, tmp_path: Path, superuser: "psycopg.Connection[Any]"
) -> None:
    with superuser.transaction():
        superuser.execute("SELECT pg_advisory_xact_lock(%s)", (recovery.LOCK,))
        with pytest.raises(Refused, match="another sealer"):
            recover_tail(behind)
    with pytest.raises(Refused) as refused:
        recover_tail(make_sealer(tmp_path / "other"))
    assert refused.value.code == "state_lost"
    foreign = Sealer(behind.folder, Signer.generate(behind.signer.name))
    with pytest.raises(Refused) as refused:
        recover_tail(foreign)
    assert refused.value.code == "key"


# Killed at every third step, and at all of them where there is time.
@pytest.mark.parametrize(
    "step", [0, *(pytest.param(step, marks=() if step % 3 == 1 else pytest.mark.long) for step in range(1, 21))]
)
def test_a_new_origin_that_is_killed_is_begun_again(behind: Sealer, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    folder = SealerFolder(behind.folder.path)
    old = behind.signer.verifier

    def signer() -> Signer:
        if not SigningKeys.of(folder.path).exist():
            create_key(folder, name=NAME)
        return read_signer(folder.key_file)

    fail_at(step, monkeypatch)
    try:
        frozen = begin_origin(folder, signer)
    except OSError:
        frozen = begin_origin(folder, signer)
    assert (frozen.origin, frozen.size) == (old.name, 40)
    sealer = Sealer(folder, read_signer(folder.key_file))
    sealer.seal()
    assert findings(sealer) == []
    assert findings(sealer, old, sealer.signer.verifier) == []
    assert AuditEvent.objects.with_action("log.restored").count() == 1
    assert AuditLeaf.objects.count() == 44 == AuditEvent.objects.count()
    assert (folder.path / "frozen").is_dir()
    found = open_interruption()
    assert found is not None
    assert found.cause == "new-origin"


def test_a_new_origin_needs_a_new_name(behind: Sealer) -> None:
    with pytest.raises(Refused, match="a new name"):
        begin_origin(behind.folder, lambda: behind.signer)
