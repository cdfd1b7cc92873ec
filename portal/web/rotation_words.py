"""Say how far the replacement of a secret is, what happens next, how long the old one lives, and why it was replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys.models import Rotation
from keys.policy.rotation_plan import RotationPlan
from keys.states import BOTH_WORK_STATES, Overlap, RotationCause, RotationState
from portal.templatetags.times import duration
from portal.web.components import Step, Words, steps
from portal.web.wording import days_in_words, reason_words

OVERLAPS: Mapping[str, tuple[Promise, Promise]] = {
    Overlap.NOW: (gettext_lazy("Not at all"), gettext_lazy("It ends the moment the new secret is claimed.")),
    Overlap.QUARTER: (gettext_lazy("15 minutes"), gettext_lazy("For one program that you restart yourself.")),
    Overlap.HOUR: (gettext_lazy("1 hour"), gettext_lazy("For a deployment that you watch.")),
    Overlap.SIX_HOURS: (gettext_lazy("6 hours"), gettext_lazy("For a deployment during the day.")),
    Overlap.DAY: (gettext_lazy("24 hours"), gettext_lazy("Also jobs that run once a day move.")),
    Overlap.WEEK: (gettext_lazy("7 days"), gettext_lazy("Also jobs that run once a week move.")),
    Overlap.FIRST_USE: (
        gettext_lazy("Until the new one is used"),
        gettext_lazy("It ends at the first use of the new secret. For a single program."),
    ),
    Overlap.WHEN_IDLE: (
        gettext_lazy("Until everybody has moved"),
        gettext_lazy("It ends when every client seen on it uses the new one."),
    ),
}

CAUSES: Mapping[str, Promise] = {
    RotationCause.SCHEDULE: gettext_lazy("its plan says so"),
    RotationCause.DEMAND: gettext_lazy("somebody asked for it"),
    RotationCause.LOST: gettext_lazy("the secret was lost"),
    RotationCause.LEAVER: gettext_lazy("somebody who knew the secret left"),
    RotationCause.COMPROMISE: gettext_lazy("the secret is known to others"),
    RotationCause.POLICY: gettext_lazy("the policy changed"),
}

STATES: Mapping[str, tuple[Promise, str, str]] = {
    RotationState.SCHEDULED: (gettext_lazy("Scheduled"), "calendar-clock", "neutral"),
    RotationState.PREPARED: (gettext_lazy("New secret waits"), "hourglass", "info"),
    RotationState.HANDED_OVER: (gettext_lazy("Fetched, not in use"), "package-check", "info"),
    RotationState.ACTIVATED: (gettext_lazy("Both work"), "copy-check", "success"),
    RotationState.DRAINING: (gettext_lazy("Old one is ending"), "timer", "success"),
    RotationState.COMPLETED: (gettext_lazy("Completed"), "circle-check", "neutral"),
    RotationState.ABORTED: (gettext_lazy("Stopped"), "circle-off", "neutral"),
    RotationState.ROLLED_BACK: (gettext_lazy("Undone"), "undo-2", "warning"),
}

OVER: Mapping[str, Promise] = {
    RotationState.COMPLETED: gettext_lazy("The old version has ended. Only the new one works."),
    RotationState.ROLLED_BACK: gettext_lazy("It was undone: the old version works on, and the new one has ended."),
    RotationState.ABORTED: gettext_lazy("It was stopped before its end, because %(reason)s."),
}
BOTH_WORK: Mapping[str, Promise] = {
    Overlap.FIRST_USE: gettext_lazy(
        "The old version ends as soon as the new one is used, and at this time at the latest."
    ),
    Overlap.WHEN_IDLE: gettext_lazy(
        "The old version ends as soon as every client has moved, and at this time at the latest."
    ),
}
BY_THE_CLOCK = gettext_lazy("The old version ends by the clock of the database, even if nothing else runs.")

_COURSE = (
    gettext_lazy("Scheduled"),
    gettext_lazy("New secret waits"),
    gettext_lazy("Both work"),
    gettext_lazy("Only the new one works"),
)
_PLACE: Mapping[str, int] = {
    RotationState.SCHEDULED: 0,
    RotationState.PREPARED: 1,
    RotationState.HANDED_OVER: 1,
    RotationState.ACTIVATED: 2,
    RotationState.DRAINING: 2,
    RotationState.COMPLETED: len(_COURSE),
}


@dataclass(frozen=True, kw_only=True)
class PlanWords:
    """When each secret is replaced, and how long the old one then works on."""

    interval: str
    overlap: Words


def overlap_words(overlap: str) -> Words:
    """Say how long the old version works beside the new one."""
    return OVERLAPS[overlap][0] if overlap in OVERLAPS else overlap


def plan_words(plan: RotationPlan, *, longest: timedelta) -> PlanWords:
    """Say how the secrets of a key are replaced; an overlap as far as its policy lets it be."""
    if plan.every_days is None:
        interval = _("before it ends")
    else:
        interval = _("every %(days)s, and before it ends") % {"days": days_in_words(plan.every_days)}
    overlap = overlap_words(plan.overlap) if plan.period <= longest else duration(longest)
    return PlanWords(interval=interval, overlap=overlap)


def cause_words(cause: str) -> Words:
    """Say why a secret is replaced."""
    return CAUSES.get(cause, cause)


def course_of(rotation: Rotation) -> list[Step]:
    """Number the steps of a rotation; one that was stopped or undone has none."""
    place = _PLACE.get(rotation.state)
    return steps(_COURSE, current=place) if place is not None else []


def next_words(rotation: Rotation, *, is_stopped: bool) -> tuple[Words, datetime | None]:
    """Say what happens next, and when at the latest (None: it is over, or nobody knows); of a key that is stopped, that nothing does."""
    if rotation.state in OVER:
        words = OVER[rotation.state]
        return str(words) % {"reason": reason_words(rotation.ended_reason)}, None
    if rotation.state in BOTH_WORK_STATES:
        by_traffic = rotation.state == RotationState.ACTIVATED
        words = BOTH_WORK.get(rotation.overlap, BY_THE_CLOCK) if by_traffic else BY_THE_CLOCK
        return words, rotation.old_version.retire_at if rotation.old_version else None
    if rotation.state == RotationState.SCHEDULED:
        return _before_the_start(rotation, is_stopped=is_stopped)
    if is_stopped:
        return _("The key is suspended: its next secret goes to nobody before it is reinstated."), None
    return _before_the_claim(rotation)


def _before_the_start(rotation: Rotation, *, is_stopped: bool) -> tuple[Words, datetime | None]:
    if rotation.managed_key.authorised_until <= rotation.due_at:
        return _("Nothing is replaced: the authorisation of the key is over by then."), None
    if is_stopped:
        return _(
            "The key is suspended: nothing is replaced, unless it is reinstated before this time."
        ), rotation.due_at
    words = _("A new version is made ready, and %(name)s is asked to claim its secret. Until then nothing changes.")
    return words % {"name": _recipient(rotation)}, rotation.due_at


def _before_the_claim(rotation: Rotation) -> tuple[Words, datetime | None]:
    name = _recipient(rotation)
    claim_until = rotation.new_version.claim_until if rotation.new_version else None
    if rotation.state == RotationState.HANDED_OVER:
        words = _(
            "The client that fetched the new secret shows that it has it; then both work. Otherwise another one waits then."
        )
        return words, claim_until
    if rotation.old_version is not None and rotation.old_version.retire_at is not None:
        words = _("%(name)s claims the new secret. By policy the old one ends at this time, claimed or not.")
        return words % {"name": name}, rotation.old_version.retire_at
    words = _("%(name)s claims the new secret, at this time at the latest. Until it is claimed the old one works on.")
    return words % {"name": name}, claim_until


def _recipient(rotation: Rotation) -> str:
    return str(rotation.managed_key.recipient or _("the recipient"))
