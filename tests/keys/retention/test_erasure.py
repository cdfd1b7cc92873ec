"""After an erasure no table holds a byte of who it was, the log still proves everything, and a restored backup is erased again."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from audit import clock, log
from audit.actor import Actor, ActorKind, RequestFacts
from audit.events import LogRead
from audit.inspection import inspect_log
from audit.models import AuditEvent, AuditPrivate
from audit.pins import Pins
from audit.replay import differences, read_events, replay_into
from audit.sealer import Sealer
from keys.approvals.submission import submit_request, withdraw_request
from keys.errors import Conflict, Denied, Invalid
from keys.models import Person, Session
from keys.people.roles import deactivate_person, reactivate_person, rename_person
from keys.retention.erasure import ERASED_NAME, erase_person
from keys.retention.holds import HeldSpan, lift_hold, place_hold
from keys.retention.reapplying import reapply_erasures
from tests.audit.sealing import make_sealer
from tests.journeys.test_no_secret_anywhere import dump_of_database, found_in
from tests.people import World, acting, draft, submitted
from tests.portal.doorway import hidden, signed_in

IP, BROWSER = "203.0.113.77", "Anna's-own-browser/7"
REASON = "no-longer-needed"


@pytest.fixture
def sealer(committed_db: None, tmp_path: Path) -> Sealer:
    return make_sealer(tmp_path / "sealer")


@pytest.fixture
def left(sealer: Sealer, world: World) -> World:
    """Anna worked here under two names, with an address, and has left."""
    rename_person(world.anna, name="Annabella Quellwasser", actor=acting(world.admin, "people"))
    anna = Person.objects.get(pk=world.anna.pk)
    rename_person(anna, name="Annabella Quellwasser-Stein", actor=acting(anna, "people"))
    with transaction.atomic():
        http = RequestFacts(id="r", ip=IP, user_agent=BROWSER)
        me = Actor(kind=ActorKind.PERSON, id=str(anna.pk), name="Annabella Quellwasser-Stein", http=http)
        log.record(LogRead(target_id="log"), actor=me, at=clock.now())
    signed_in(anna).get("/", REMOTE_ADDR=IP, HTTP_USER_AGENT=BROWSER)
    signed_in(anna).post("/sign-in/", {"email": anna.email, "password": "wrong wrong wrong"}, REMOTE_ADDR=IP)
    purpose = f"Ask {anna.email} for the report that Annabella Quellwasser-Stein wants."
    request = submit_request(draft(world, purpose=purpose), actor=acting(anna))
    submitted(world, purpose=purpose)  # Alice names her too
    withdraw_request(request, actor=acting(anna))
    deactivate_person(anna, actor=acting(world.admin2, "people"))
    sealer.seal()
    world.anna.refresh_from_db()
    return world


def _traces(world: World) -> dict[str, bytes]:
    return {
        "address": world.anna.email.encode(),
        "name": b"Annabella Quellwasser",
        "newer name": b"Quellwasser-Stein",
        "ip": IP.encode(),
        "browser": BROWSER.encode(),
    }


def test_no_table_keeps_a_byte_of_an_erased_person_and_the_log_still_holds(left: World, sealer: Sealer) -> None:
    traces = _traces(left)
    assert found_in(dump_of_database(), traces) == set(traces)
    before = AuditPrivate.objects.count()
    erasure = erase_person(left.anna, actor=acting(left.admin, "people"), reason=REASON)
    assert found_in(dump_of_database(), traces) == set()
    assert erasure.parts > 8
    assert erasure.texts >= 1
    assert AuditPrivate.objects.count() > before - erasure.parts
    anna = Person.objects.get(pk=left.anna.pk)
    assert (anna.name, anna.erased_at is not None, anna.has_usable_password()) == (ERASED_NAME, True, False)
    assert not Session.objects.filter(person=anna).exists()
    told = AuditEvent.objects.get(uid=erasure.receipts[0])
    assert (told.action, told.target_id, told.envelope()["reason"]) == ("pii.erased", str(anna.pk), REASON)
    sealer.seal()
    found = inspect_log(Pins(verifiers=[sealer.signer.verifier]))
    assert (found.findings, found.erased) == ([], erasure.parts)


def test_the_tables_are_still_the_sum_of_their_events(left: World) -> None:
    erase_person(left.anna, actor=acting(left.admin, "people"), reason=REASON)
    assert read_events("auditor").findings == []
    with transaction.atomic(using="auditor"):
        replay = replay_into("pg_temp", using="auditor")
        assert list(differences("pg_temp", using="auditor")) == []
        # What the erasure wrote is known again, and compared.
        assert replay.rows["person"][str(left.anna.pk)]["name"] == ERASED_NAME
        transaction.set_rollback(True, using="auditor")


def test_others_keep_what_is_theirs(left: World) -> None:
    bob = AuditPrivate.objects.filter(event__target_id=str(left.bob.pk)).count()
    erase_person(left.anna, actor=acting(left.admin, "people"), reason=REASON)
    assert AuditPrivate.objects.filter(event__target_id=str(left.bob.pk)).count() == bob
    assert Person.objects.get(pk=left.bob.pk).name == left.bob.name


def test_whoever_has_a_place_is_not_erased(sealer: Sealer, world: World) -> None:
    with pytest.raises(Conflict) as conflict:
        erase_person(world.alice, actor=acting(world.admin, "people"), reason=REASON)
    assert conflict.value.code == "person_still_active"


@pytest.mark.parametrize(
    ("who", "purposes", "code"),
    [
        ("alice", ("people",), "not_an_administrator"),
        ("auditor", ("people",), "not_an_administrator"),
        ("responder", ("people",), "not_an_administrator"),
        ("admin", (), "step_up_required"),
        ("admin", ("retention",), "step_up_required"),
    ],
)
def test_only_administrators_erase_and_with_presence(
    left: World, who: str, purposes: tuple[str, ...], code: str
) -> None:
    with pytest.raises(Denied) as denied:
        erase_person(left.anna, actor=acting(getattr(left, who), *purposes), reason=REASON)
    assert denied.value.code == code
    assert Person.objects.get(pk=left.anna.pk).erased_at is None
    assert AuditEvent.objects.with_action("access.denied").filter(target_id=str(left.anna.pk)).exists()


def test_no_administrator_deactivates_and_erases_somebody_alone(left: World) -> None:
    """The day a colleague was deactivated counts, not an earlier one; and neither side of the door is another way in."""
    first, second = acting(left.admin, "people"), acting(left.admin2, "people")  # who deactivated Anna is the second
    for actor in (second, acting(left.alice, "people"), acting(left.bob, "people"), acting(left.mallory, "people")):
        with pytest.raises(Denied) as denied:
            erase_person(left.anna, actor=actor, reason=REASON)
        assert denied.value.code == ("erasure_needs_another" if actor is second else "not_an_administrator")
    page = f"/admin/keys/person/{left.anna.pk}/acts/erase/"
    browser = signed_in(left.admin2, "people")
    typed = {"reason": REASON, "phrase": left.anna.email, "seen": hidden(browser.get(page), "seen")}
    answer = browser.post(page, typed)
    assert answer.status_code == 403
    assert "another administrator has to erase them" in answer.content.decode()
    deactivate_person(reactivate_person(left.anna, actor=second), actor=first)
    with pytest.raises(Denied, match="erasure_needs_another"):
        erase_person(left.anna, actor=first, reason=REASON)
    assert Person.objects.get(pk=left.anna.pk).erased_at is None
    assert erase_person(left.anna, actor=second, reason=REASON).receipts


def test_an_erasure_is_final(left: World) -> None:
    admin = acting(left.admin, "people")
    with pytest.raises(Invalid):
        erase_person(left.anna, actor=admin, reason="because")
    erase_person(left.anna, actor=admin, reason=REASON)
    with pytest.raises(Conflict) as conflict:
        erase_person(left.anna, actor=admin, reason=REASON)
    assert conflict.value.code == "person_erased"
    with pytest.raises(Conflict) as conflict:
        reactivate_person(left.anna, actor=admin)
    assert conflict.value.code == "person_erased"
    with pytest.raises(Conflict) as conflict:
        rename_person(left.anna, name="Annabella again", actor=admin)
    assert conflict.value.code == "person_erased"


def test_what_is_held_is_not_erased_by_halves(left: World) -> None:
    hold = place_hold(HeldSpan(), actor=acting(left.auditor, "retention"), reason="Letter of the court")
    traces, before = _traces(left), AuditPrivate.objects.count()
    with pytest.raises(Conflict) as conflict:
        erase_person(left.anna, actor=acting(left.admin, "people"), reason=REASON)
    assert (conflict.value.code, conflict.value.params) == ("erasure_held", {"holds": str(hold)})
    assert AuditPrivate.objects.count() == before
    assert found_in(dump_of_database(), traces) == set(traces)
    lift_hold(hold, actor=acting(left.admin, "retention"))
    erase_person(left.anna, actor=acting(left.admin, "people"), reason=REASON)


def _restore(superuser: "psycopg.Connection[Any]", person: tuple[Any, ...], parts: list[tuple[Any, ...]]) -> None:
    """Put back what an older backup had, as a superuser does."""
    superuser.execute("ALTER TABLE keys_person DISABLE TRIGGER ALL")
    superuser.execute(
        "UPDATE keys_person SET email = %s, name = %s, is_active = true, deactivated_at = NULL, erased_at = NULL WHERE id = %s",
        person,
    )
    superuser.execute("ALTER TABLE keys_person ENABLE TRIGGER ALL")
    superuser.execute("ALTER TABLE audit_private DISABLE TRIGGER audit_private_belongs")
    with superuser.cursor() as cursor:
        cursor.executemany("INSERT INTO audit_private VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", parts)


def test_after_a_restored_backup_the_erasures_of_the_log_are_done_again(
    left: World, sealer: Sealer, superuser: "psycopg.Connection[Any]"
) -> None:
    traces, anna = _traces(left), left.anna
    parts = superuser.execute("SELECT event_id, salt, body FROM audit_private").fetchall()
    erase_person(anna, actor=acting(left.admin, "people"), reason=REASON)
    _restore(superuser, (anna.email, anna.name, anna.pk), parts)
    assert "address" in found_in(dump_of_database(), traces)
    sealer.seal()
    codes = {each.code for each in inspect_log(Pins(verifiers=[sealer.signer.verifier])).findings}
    assert codes == {"erasure"}
    done = reapply_erasures(actor=Actor.operator("root"))
    assert (done.people, done.parts > 8) == (1, True)
    assert found_in(dump_of_database(), traces) == set()
    sealer.seal()
    assert inspect_log(Pins(verifiers=[sealer.signer.verifier])).findings == []
    again = reapply_erasures(actor=Actor.operator("root"))
    assert (again.people, again.parts, again.leaves) == (0, 0, 0)


def test_erasures_are_found_in_tiles_when_the_restored_log_has_lost_them(
    left: World, sealer: Sealer, superuser: "psycopg.Connection[Any]"
) -> None:
    traces, anna = _traces(left), left.anna
    parts = superuser.execute("SELECT event_id, salt, body FROM audit_private").fetchall()
    erase_person(anna, actor=acting(left.admin, "people"), reason=REASON)
    size = sealer.seal().size
    _restore(superuser, (anna.email, anna.name, anna.pk), parts)
    done = reapply_erasures(actor=Actor.operator("root"), payloads=sealer.folder.tiles.entries(size))
    assert done.people == 1
    assert found_in(dump_of_database(), traces) == set()


def test_people_do_not_reapply_erasures(left: World) -> None:
    with pytest.raises(Denied) as denied:
        reapply_erasures(actor=acting(left.admin, "people"))
    assert denied.value.code == "shell_only"


def test_the_command_erases_and_names_its_receipts(left: World, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError, match="no such person"):
        call_command("erase_person", "nobody@example.org", "--reason", REASON)
    with pytest.raises(CommandError, match="has a place"):
        call_command("erase_person", left.alice.email, "--reason", REASON)
    call_command("erase_person", left.anna.email, "--reason", REASON)
    said = capsys.readouterr().out
    receipt = AuditEvent.objects.with_action("pii.erased").latest("id")
    assert str(receipt.uid) in said
    assert receipt.actor_type == "operator"
    call_command("reapply_erasures")
    assert "0 people" in capsys.readouterr().out
