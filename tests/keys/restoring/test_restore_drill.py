"""The drill of docs/operations.md, with real dumps: what was stopped since the backup is stopped again before anything verifies."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import Client

from audit import clock, log
from audit.actor import Actor
from audit.events import LogRestored
from audit.governed import governed_tables
from audit.inspection import inspect_log
from audit.interruptions import open_interruption
from audit.models import AuditEvent, AuditLeaf, AuditPending
from audit.notes import Signer
from audit.pins import read_pins
from audit.statements import RECOVERED, Statement
from audit.watch import Watch
from keys.errors import Conflict, Denied, Unavailable
from keys.events import FOLLOWED
from keys.invariants import breaches
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.revocation import revoke_key, suspend_key
from keys.models import Environment, KeyVersion, ManagedKey, Person, Service, Session, Team
from keys.people.roles import deactivate_person
from keys.restoring.following import answer_by_hand, follow_log
from keys.retention.erasure import erase_person
from keys.states import RevocationReason, SuspensionReason
from keys.verification.reasons import Reason
from keys.verification.verification import verify_key
from keys.verification.verifier import Binding, Question
from tests.backups import back_up, restore
from tests.people import World, acting, approved, issued
from tests.sealers import SealingThread

SHELL = Actor.operator("root")
pytestmark = [pytest.mark.usefixtures("committed_db"), pytest.mark.timeout(240)]


def ask(secret: Any) -> Reason | None:
    binding = Binding(
        service_id=Service.objects.get(slug="orders").pk, environment_id=Environment.objects.get(tag="prod").pk
    )
    return verify_key(secret.reveal(), binding=binding, question=Question()).reason


def command(name: str, *arguments: str) -> str:
    out = StringIO()
    try:
        call_command(name, *arguments, stdout=out, no_color=True)
    except SystemExit as ended:
        raise AssertionError(out.getvalue()) from ended
    return out.getvalue()


@pytest.fixture
def drill(sealing: SealingThread, settings: Any) -> SealingThread:
    folder = sealing.sealer.folder
    settings.KEYSTEAD_SEALER_FOLDER, settings.KEYSTEAD_SEALER_KEY_FILE = folder.path, folder.key_file
    return sealing


def go_back(drill: SealingThread, dump: Path) -> None:
    """Stop the sealer, restore, and let the sealer see what it is given."""
    drill.settle()
    drill.stop()
    restore(dump)
    assert Watch(drill.sealer).once() == 5.0


def assert_sound(drill: SealingThread) -> None:
    """Rows, log, row MACs and invariants agree, with the tiles and under the pinned key."""
    while drill.sealer.seal().is_full:
        pass
    assert "The tables are the sum of their events." in command("replay_audit_log")
    found = inspect_log(read_pins())
    assert [str(each) for each in found.findings] == []
    assert list(breaches()) == []


def test_what_was_stopped_since_the_backup_is_stopped_again_before_anything_verifies(
    drill: SealingThread, world: World, tmp_path: Path
) -> None:
    revoked, _, one = issued(world)
    suspended, _, two = issued(world, name="Second")
    _, _, living = issued(world, name="Third")
    waiting = approved(world, name="Fourth")
    drill.settle()
    dump = back_up(tmp_path / "keystead.dump")

    revoke_key(revoked, actor=acting(world.alice, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
    suspend_key(suspended, actor=acting(world.responder, "suspend"), reason=SuspensionReason.INVESTIGATION)
    claimed = claim_secret(waiting.versions.get(), actor=acting(world.alice, "claim"))
    new, _, unknown = issued(world, name="Fifth")
    deactivate_person(world.mallory, actor=acting(world.admin2, "people"))
    erase_person(world.mallory, actor=acting(world.admin, "people"), reason="objection")
    go_back(drill, dump)

    # The rows would let everything pass: the sealer has told the database that it is behind.
    assert KeyVersion.objects.get(managed_key=revoked).state == "active"
    for secret in (one, two, living, claimed.secret, unknown):
        with pytest.raises(Unavailable, match="log_interrupted"):
            ask(secret)
    assert Client().get("/readyz").status_code == 503
    with pytest.raises(Conflict, match="log_not_recovered"):
        follow_log(actor=SHELL)

    assert "private parts are lost" in command("audit_sealer", "--recover")
    with pytest.raises(Unavailable, match="log_interrupted"):
        ask(living)
    assert "Keys verify again" in command("follow_audit_log")

    assert (ask(one), ask(two), ask(living)) == (Reason.COMPROMISED, Reason.SUSPENDED, None)
    # Secrets handed over since the backup are in no event: those versions are ended, and their owners are told.
    assert (ask(claimed.secret), ask(unknown)) == (Reason.UNKNOWN, Reason.UNKNOWN)
    ends = {each.ended_reason for each in KeyVersion.objects.filter(managed_key__in=[waiting.pk, new.pk])}
    assert ends == {"secret-lost"}
    assert ManagedKey.objects.get(pk=new.pk).name == "Fifth"
    gone = Person.objects.get(pk=world.mallory.pk)
    assert (gone.is_active, gone.name != "Mallory", "mallory" in gone.email) == (False, True, False)
    assert not Session.objects.exists()
    assert Client().get("/readyz").status_code == 200
    assert_sound(drill)
    told = AuditEvent.objects.get(action="log.followed").envelope()["details"]
    assert told["ended"] == 2  # type: ignore[index,call-overload]
    assert "lost nothing" in command("audit_sealer", "--recover")
    drill.start()
    # New numbers do not meet those of the lost end.
    assert issued(world, name="Sixth")[0].number > new.number


def test_who_acted_after_the_restore_is_kept_and_the_stricter_holds(
    drill: SealingThread, world: World, tmp_path: Path
) -> None:
    key, _, secret = issued(world)
    other, _, spare = issued(world, name="Second")
    drill.settle()
    dump = back_up(tmp_path / "keystead.dump")
    revoke_key(key, actor=acting(world.alice, "revoke"), reason=RevocationReason.CESSATION_OF_OPERATION)
    suspend_key(other, actor=acting(world.alice, "suspend"), reason=SuspensionReason.INVESTIGATION)
    go_back(drill, dump)
    # Somebody works on the restored database although nobody should.
    suspend_key(ManagedKey.objects.get(pk=key.pk), actor=acting(world.alice, "suspend"), reason=SuspensionReason.UNUSED)
    revoke_key(
        ManagedKey.objects.get(pk=other.pk), actor=acting(world.alice, "revoke"), reason=RevocationReason.KEY_COMPROMISE
    )
    waiting = AuditPending.objects.count()
    assert waiting
    command("audit_sealer", "--recover")
    assert AuditPending.objects.count() == waiting + 1
    command("follow_audit_log")
    assert (ask(secret), ask(spare)) == (Reason.REVOKED, Reason.COMPROMISED)
    assert_sound(drill)


def test_an_event_that_was_dumped_before_it_was_sealed_keeps_its_private_part(
    drill: SealingThread, world: World, tmp_path: Path
) -> None:
    drill.settle()
    drill.stop()
    team = Team.objects.get(slug="reporting")
    issued_before = AuditEvent.objects.count()
    deactivate_person(world.mallory, actor=acting(world.admin2, "people"))
    dump = back_up(tmp_path / "keystead.dump")
    drill.start()
    drill.settle()
    go_back(drill, dump)
    command("audit_sealer", "--recover")
    recovered = AuditEvent.objects.get(action="log.restored").envelope()["details"]
    assert recovered["lost_private_parts"] == 0  # type: ignore[index,call-overload]
    assert AuditLeaf.objects.count() >= issued_before
    command("follow_audit_log")
    assert not Person.objects.get(pk=world.mallory.pk).is_active
    assert team.slug == "reporting"
    assert_sound(drill)


def test_a_new_origin_freezes_the_old_log_and_asks_for_a_person_who_answers(
    drill: SealingThread, world: World, tmp_path: Path, settings: Any
) -> None:
    key, _, secret = issued(world)
    drill.settle()
    dump = back_up(tmp_path / "keystead.dump")
    size = AuditLeaf.objects.count()
    old = drill.sealer.signer.verifier
    revoke_key(key, actor=acting(world.alice, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
    go_back(drill, dump)
    for each in (drill.sealer.folder.path / "tiles").rglob("*"):
        each.unlink() if each.is_file() else None  # the tiles are lost as well
    with pytest.raises(CommandError, match="TILES"):
        command("audit_sealer", "--recover")
    said = command("audit_sealer", "--new-origin", "keystead/audit-log/second")
    assert f"{old.name} is frozen at {size} leaves" in said
    command("audit_sealer", "--once")
    with pytest.raises(Unavailable):
        ask(secret)
    with pytest.raises(CommandError, match="nobody knows what was lost"):
        command("follow_audit_log")
    with pytest.raises(CommandError, match="At least 10 characters"):
        command("follow_audit_log", "--by-hand", "no")
    with pytest.raises(Denied):
        answer_by_hand(actor=acting(world.admin, "*"), comment="I would rather not say")
    command("follow_audit_log", "--by-hand", "KEY-1001 was revoked on Tuesday; revoked again from the ticket.")
    assert ask(secret) is None  # what nobody applied by hand is undone: the words are on record
    command("audit_sealer", "--once")
    pins = read_pins()
    assert [each.name for each in pins.verifiers] == ["keystead/audit-log/second"]
    assert [str(each) for each in inspect_log(pins).findings] == []
    told = AuditEvent.objects.get(action="log.restored").envelope()
    assert told["reason"] == "origin-begun"


def test_only_the_shell_ends_an_interruption_and_only_one_that_is(world: World, sealing: SealingThread) -> None:
    for act in (follow_log, lambda actor: answer_by_hand(actor=actor, comment="for no reason at all")):
        with pytest.raises(Denied):
            act(actor=acting(world.admin, "*"))
        with pytest.raises(Conflict, match="log_not_interrupted"):
            act(actor=SHELL)
    assert open_interruption() is None


def test_every_kind_of_governed_row_has_its_event() -> None:
    assert FOLLOWED.keys() == governed_tables().keys()
    for kind, event in FOLLOWED.items():
        assert event.change_fields == set(governed_tables()[kind].columns), kind


def test_whoever_writes_the_words_of_a_recovery_excuses_nothing(
    drill: SealingThread, world: World, superuser: Any
) -> None:
    """An event is written by whoever may write events; only the sealer's statement in it makes lost parts lost on record."""
    drill.settle()
    with transaction.atomic():
        thief = Signer.generate(drill.sealer.signer.name)
        words = Statement(kind=RECOVERED, origin=thief.name, facts=("0", "1000")).signed([thief])
        forged = LogRestored(target_id="log", reason="x", statement=words, from_leaf=0, upto_leaf=1000)
        log.record(forged, actor=Actor.system("sealer"), at=clock.now())
    drill.settle()
    superuser.execute("ALTER TABLE audit_private DISABLE TRIGGER audit_append_only")
    superuser.execute("DELETE FROM audit_private WHERE event_id = (SELECT event_id FROM audit_leaf WHERE index = 5)")
    found = inspect_log(read_pins())
    assert [(each.code, each.index) for each in found.findings] == [("private", 5)]
