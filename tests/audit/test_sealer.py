"""Every committed event gets one place, dense and for ever, whoever commits late and however many seal."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from audit import clock, log, sealer_folder
from audit.models import AuditCheckpoint, AuditEvent, AuditLeaf, AuditPending
from audit.notes import Signer, Verifier
from audit.sealer import BATCH, LOCK, Refused
from audit.sealer_folder import AnotherSealer, FolderError, SealerFolder, SealerState, create_key, read_signer
from tests.audit.conftest import Connect
from tests.audit.sealing import assert_whole, make_sealer, write_events
from tests.audit.things import CLOCK, ThingChanged

pytestmark = pytest.mark.usefixtures("committed_db")


def test_events_get_dense_places_in_the_order_of_the_queue_and_a_signed_head(tmp_path: Path) -> None:
    sealer = make_sealer(tmp_path)
    write_events(5)
    waiting = list(AuditPending.objects.order_by("event_id").values_list("event_id", flat=True))
    done = sealer.seal()
    assert (done.sealed, done.size) == (len(waiting), len(waiting))
    assert list(AuditLeaf.objects.order_by("index").values_list("event_id", flat=True)) == waiting
    assert sealer.seal().sealed == 0
    write_events(300)
    sealer.seal()
    assert assert_whole(sealer) == len(waiting) + 300
    assert AuditCheckpoint.objects.count() == 2


def test_an_event_that_commits_late_is_sealed_late_and_not_overlooked(tmp_path: Path, connect: Connect) -> None:
    sealer = make_sealer(tmp_path)
    slow = connect("keystead_application")
    payload = bytes(_payload_of_an_event())
    with slow.transaction():
        slow.execute("INSERT INTO audit_event (payload) VALUES (%s)", (payload,))
        write_events(3)  # numbered later, committed earlier
        sealer.seal()
    _payload_of_an_event()  # a number is used up: the log has no gap all the same
    sealer.seal()
    size = assert_whole(sealer)
    assert size == AuditEvent.objects.count()
    last = AuditLeaf.objects.get(index=size - 1)
    assert last.event_id < AuditLeaf.objects.get(index=size - 2).event_id


def _payload_of_an_event() -> bytes:
    """The bytes of an event that was rolled back."""
    with transaction.atomic():
        uid = log.record(ThingChanged(target_id="late"), actor=CLOCK, at=clock.now())
        payload = AuditEvent.objects.get(uid=uid).payload
        transaction.set_rollback(True)
    return payload


def test_more_than_one_batch_takes_more_than_one_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.sealer.BATCH", 100)
    sealer = make_sealer(tmp_path)
    write_events(350)
    rounds = [sealer.seal() for _ in range(5)]
    assert [each.is_full for each in rounds[:3]] == [True] * 3
    assert rounds[-1].sealed == 0
    assert assert_whole(sealer) >= 350
    assert BATCH <= 65_536


def test_a_second_sealer_waits_for_the_database_and_for_the_folder(tmp_path: Path, connect: Connect) -> None:
    sealer = make_sealer(tmp_path)
    with connect("keystead_sealer") as other:
        with other.transaction():
            other.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            assert sealer.seal().busy
        assert not sealer.seal().busy
    with sealer.folder.only_one(), pytest.raises(AnotherSealer), SealerFolder(tmp_path).only_one():
        pass


def test_two_sealers_with_folders_of_their_own_do_no_harm(tmp_path: Path) -> None:
    one = make_sealer(tmp_path / "one")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "signing.key").write_text((tmp_path / "one" / "signing.key").read_text())
    (tmp_path / "two" / "signing.key").chmod(0o400)
    two = make_sealer(tmp_path / "two")
    write_events(3)
    one.seal()
    with pytest.raises(Refused) as refused:
        two.seal()
    assert refused.value.code == "state_lost"
    two.seal(adopt=True)
    for number in range(4):
        write_events(70)
        (one if number % 2 else two).seal()
    one.seal()
    two.seal()
    assert assert_whole(one) == assert_whole(two)


@pytest.mark.parametrize(
    "options",
    [
        ("--once", "--rotate-key"),
        ("--recover", "--once"),
        ("--retire-key", "--adopt"),
        ("--new-origin", "n", "--recover"),
        ("--at-once",),
        ("--name", "n"),
    ],
)
def test_of_two_orders_none_is_obeyed(tmp_path: Path, settings: Any, options: tuple[str, ...]) -> None:
    settings.KEYSTEAD_SEALER_FOLDER = tmp_path
    with pytest.raises(CommandError, match=r"not allowed with|goes with"):
        call_command("audit_sealer", *options)
    assert not list(tmp_path.iterdir())


def test_the_key_is_made_once_and_only_its_owner_reads_it(
    tmp_path: Path, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.KEYSTEAD_SEALER_FOLDER = tmp_path / "new"
    settings.KEYSTEAD_SEALER_KEY_FILE = tmp_path / "new" / "signing.key"
    with pytest.raises(CommandError, match="no signing key"):
        call_command("audit_sealer", "--once")
    call_command("audit_sealer", "--generate-key", "--name", "log.example/audit")
    pinned = Verifier.parse(capsys.readouterr().out.splitlines()[-1])
    assert Verifier.parse((tmp_path / "new" / "log.vkey").read_text()) == pinned
    key = tmp_path / "new" / "signing.key"
    assert key.stat().st_mode & 0o777 == 0o400
    assert read_signer(key).verifier == pinned
    with pytest.raises(CommandError, match="never replaced"):
        call_command("audit_sealer", "--generate-key")
    write_events(1)
    call_command("audit_sealer", "--once")
    assert "events sealed" in capsys.readouterr().out
    key.chmod(0o440)
    with pytest.raises(CommandError, match="read by others"):
        call_command("audit_sealer", "--once")
    key.chmod(0o600)
    key.write_text("no key")
    with pytest.raises(FolderError, match="no signing key"):
        read_signer(key)
    with pytest.raises(FolderError):
        SealerState.parse('{"origin": "a", "root": "00"}')
    assert isinstance(create_key(SealerFolder(tmp_path / "third")), Verifier)
    assert Signer.parse((tmp_path / "third" / sealer_folder.KEY_NAME).read_text()).name.startswith(
        "keystead/audit-log/"
    )


def test_the_application_cannot_seal(connect: Connect) -> None:
    with connect("keystead_application") as session:
        for statement in (
            "INSERT INTO audit_leaf VALUES (0, 1, sha256('x'))",
            "INSERT INTO audit_checkpoint VALUES (1, sha256('x'), 'note', now())",
            "DELETE FROM audit_pending",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement)
    assert connection.alias == "default"
