"""People choose per family how they are told; nobody sleeps through a compromise, their own sign-in, or an end."""

from datetime import timedelta

import pytest

from audit.models import AuditEvent
from keys.dispatch.cursor import read_all
from keys.errors import Denied, Invalid
from keys.lifecycle.revocation import report_leak, revoke_key
from keys.models import Notice, QuietChoice
from keys.notifications.choices import choose_quiet, choose_team_mail
from keys.notifications.digests import release_reminders
from keys.notifications.families import family_of
from keys.notifications.reactions import READER, WHO, notice_everyone
from keys.notifications.reminders import remind
from keys.states import MessageFamily, RevocationReason
from tests.people import World, acting, issued, submitted
from tests.sealers import SealingThread

LOUD = {"needs": "now", "reminders": "now", "changes": "now", "news": "digest"}
DEAF = dict.fromkeys(("needs", "reminders", "changes", "news"), "quiet")


def choose(person: object, choice: dict[str, str]) -> QuietChoice:
    return choose_quiet(person, actor=acting(person), choice=choice)  # type: ignore[arg-type]


def deliveries(person: object) -> dict[str, str]:
    return dict(Notice.objects.filter(person=person).values_list("kind", "delivery"))  # type: ignore[misc]


def react(sealing: SealingThread) -> None:
    sealing.settle()
    read_all(READER, (notice_everyone,))


def test_a_choice_holds_for_its_family_and_for_nobody_else(sealing: SealingThread, world: World) -> None:
    choose(world.bob, {**LOUD, "needs": "quiet"})
    choose(world.ben, {**LOUD, "needs": "digest"})
    submitted(world)
    react(sealing)
    assert deliveries(world.bob) == {"request.submitted": "silent"}
    assert deliveries(world.ben) == {"request.submitted": "digest"}
    assert deliveries(world.carol) == {"request.submitted": "now"}


def test_nobody_is_quiet_about_what_may_be_an_attack(sealing: SealingThread, world: World) -> None:
    for person in (world.alice, world.anna, world.bob, world.responder):
        choose(person, DEAF)
    leaked, _, _ = issued(world)
    over, _, _ = issued(world, name="No longer needed")
    report_leak(leaked, actor=acting(world.anna))
    revoke_key(over, actor=acting(world.anna, "revoke"), reason=RevocationReason.CESSATION_OF_OPERATION)
    react(sealing)
    told = Notice.objects.filter(person=world.alice)
    assert {notice.delivery for notice in told.filter(kind__in=("key.leak-reported", "version.suspended"))} == {"now"}
    assert {notice.delivery for notice in told.filter(kind="key.revoked")} == {"silent"}
    revoke_key(leaked, actor=acting(world.anna, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
    react(sealing)
    assert set(told.filter(kind="key.revoked").values_list("subject_id", "delivery")) == {
        (str(over.pk), "silent"),
        (str(leaked.pk), "now"),
    }


@pytest.mark.parametrize("kind", ["password.changed", "second-factor.locked", "invitation.created", "never.heard-of"])
def test_what_is_about_the_account_or_unknown_is_in_no_family(kind: str) -> None:
    assert family_of(kind) is None


def test_every_family_has_messages_and_most_kinds_have_one() -> None:
    assert {family_of(kind) for kind in WHO} == {
        None, MessageFamily.NEEDS, MessageFamily.CHANGES, MessageFamily.NEWS,
    }  # fmt: skip
    assert family_of("reminder.key-ending") == MessageFamily.REMINDERS


@pytest.mark.parametrize(
    ("telling", "days", "delivery"),
    [
        ("now", 14, "held"), ("digest", 14, "digest"), ("quiet", 14, "silent"),
        ("digest", 1, "held"), ("quiet", 1, "silent"),
        ("digest", 0, "held"), ("quiet", 0, "held"),
    ],
)  # fmt: skip
def test_reminders_are_chosen_too_but_not_past_the_end(world: World, telling: str, days: int, delivery: str) -> None:
    key, _, _ = issued(world)
    choose(world.alice, {**LOUD, "reminders": telling})
    at = key.authorised_until - timedelta(days=days) + timedelta(minutes=1)
    assert remind(at=at) >= 1
    told = Notice.objects.get(person=world.alice, subject_id=str(key.pk), kind__startswith="reminder.key-")
    assert told.delivery == delivery
    release_reminders(at=at)
    told.refresh_from_db()
    assert told.delivery == ("now" if delivery == "held" else delivery)


def test_people_choose_for_themselves_only_and_it_is_on_record(world: World) -> None:
    choose(world.alice, DEAF)
    choose(world.alice, DEAF)
    event = AuditEvent.objects.get(action="quiet-choice.made")
    assert event.envelope()["change"]["needs"] == [None, "quiet"]
    choose(world.alice, LOUD)
    assert AuditEvent.objects.filter(action="quiet-choice.made").count() == 2
    for stranger in (world.mallory, world.admin):
        with pytest.raises(Denied, match="not_your_own"):
            choose_quiet(world.alice, actor=acting(stranger), choice=DEAF)
    with pytest.raises(Invalid):
        choose(world.bob, {**LOUD, "news": "shouted"})
    with pytest.raises(Invalid):
        choose(world.bob, {"needs": "now"})


def test_a_team_chooses_who_is_mailed_beside_the_recipient(sealing: SealingThread, world: World) -> None:
    key, _, _ = issued(world)
    for refused in (world.anna, world.mallory):
        with pytest.raises(Denied, match="not_a_lead"):
            choose_team_mail(world.reporting, actor=acting(refused), mail_to="members")
    with pytest.raises(Invalid):
        choose_team_mail(world.reporting, actor=acting(world.alice), mail_to="everybody")
    remind(at=key.authorised_until - timedelta(days=29))
    assert set(Notice.objects.values_list("person__name", flat=True)) == {"Alice"}
    choose_team_mail(world.reporting, actor=acting(world.alice), mail_to="members")
    remind(at=key.authorised_until - timedelta(days=13))
    assert set(Notice.objects.filter(params__days=14).values_list("person__name", flat=True)) == {"Alice", "Anna"}
    assert AuditEvent.objects.get(action="team.mail-chosen").envelope()["change"] == {"mail_to": ["leads", "members"]}
    choose_team_mail(world.reporting, actor=acting(world.admin), mail_to="leads")
