"""Show one rotation with what happens next and who still uses the old secret, and all that are under way."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from audit import clock
from audit.actor import Actor
from keys.lifecycle.facts import key_facts, rotation_facts
from keys.lifecycle.inventory import lives
from keys.models import Rotation
from keys.monitoring.traffic import WINDOW, clients_on_old, hours_of_use
from keys.people.standing import standing_of
from keys.policy.rules import may_claim, may_override_retirement, may_rotate, may_stop_rotation
from keys.policy.step_up import but_for_step_up
from keys.states import (
    BOTH_WORK_STATES,
    KNOWN_TO_OTHERS,
    OPEN_ROTATION_STATES,
    WAITING_ROTATION_STATES,
    Overlap,
    RotationState,
    VersionState,
)
from keys.verification.brownouts import brownouts
from portal.web.doors import page
from portal.web.filters import choice, environment_choice, is_filtered, service_choice, team_choice
from portal.web.finding import key_by_number, rotations_of, stopped_keys
from portal.web.listing import keyset_page
from portal.web.rotation_words import STATES, course_of, next_words
from portal.web.wording import reason_words

FRESH = timedelta(days=1)
MOST_LATE = 100
MOST_CLIENTS = 100
BEGUN = (*WAITING_ROTATION_STATES, *BOTH_WORK_STATES)


@dataclass(frozen=True, kw_only=True)
class RotationActs:
    """What this person may do with this rotation now; a missing step-up is asked for on the way."""

    start: bool
    claim: bool
    stop: bool
    take_back: bool
    undo: bool
    end_old: bool
    undo_why_not: str = ""


@page
def rotation(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Show the rotation of a key that is under way, or the latest; earlier ones below."""
    key = key_by_number(number, actor=actor)
    at = clock.now()
    found = rotations_of(key, actor=actor)
    shown = _shown(found, at=at)
    context: dict[str, object] = {"key": key, "environment": key.environment, "rotation": shown, "at": at}
    if shown is not None:
        is_stopped = bool(stopped_keys([key.pk], actor=actor))
        words, next_at = next_words(shown, is_stopped=is_stopped)
        clients = clients_on_old(shown, at=shown.ended_at or at) if shown.state in BEGUN else []
        context |= {
            "steps": course_of(shown),
            "next_words": words,
            "next_at": next_at,
            "is_stopped": is_stopped,
            "acts": _acts_on(shown, is_stopped=is_stopped, actor=actor, at=at),
            "chart": [
                (date_format(each.hour, "H:i"), each.old, each.new)
                for each in hours_of_use(shown, upto=shown.ended_at or at)
            ],
            "clients": clients[:MOST_CLIENTS],
            "laggards": sum(not each.has_moved for each in clients),
            "by_traffic": shown.overlap in (Overlap.FIRST_USE, Overlap.WHEN_IDLE),
            "window_days": WINDOW.days,
            "shows_use": shown.state in (*BEGUN, RotationState.COMPLETED, RotationState.ROLLED_BACK),
            "shows_clients": shown.state in BEGUN,
            "warnings": _warnings(shown, at=at),
            "earlier": [(each, reason_words(each.ended_reason)) for each in found if each.pk != shown.pk],
            "scheduled": next((each for each in found if each.state == RotationState.SCHEDULED), None),
        }
    return render(http, "web/rotation.html", context)


def _shown(found: list[Rotation], *, at: datetime) -> Rotation | None:
    """The one people mean: what is under way; for a day what has just ended; else what comes next."""
    scheduled = next((each for each in found if each.state == RotationState.SCHEDULED), None)
    begun = next((each for each in found if each.state != RotationState.SCHEDULED), None)
    if begun is None or scheduled is None:
        return begun or scheduled
    is_fresh = begun.ended_at is None or begun.ended_at > at - FRESH
    return begun if is_fresh and scheduled.due_at > at else scheduled


def _warnings(rotation: Rotation, *, at: datetime) -> list[tuple[datetime, timedelta]]:
    """The moments still to come in which the old version is refused, by policy, and for how long."""
    policy, old, new = rotation.managed_key.policy, rotation.old_version, rotation.new_version
    if policy is None or not policy.brownouts or rotation.state not in BOTH_WORK_STATES or old is None or new is None:
        return []
    if old.retire_at is None or new.activated_at is None:
        return []
    spans = brownouts(old.retire_at, both_since=new.activated_at)
    return [(begin, end - begin) for begin, end in spans if end > at]


def _acts_on(rotation: Rotation, *, is_stopped: bool, actor: Actor, at: datetime) -> RotationActs:
    key, old = rotation.managed_key, rotation.old_version
    who = standing_of(actor, at=at)
    facts = key_facts(key)
    rotates = but_for_step_up(may_rotate(actor, who, facts, at=at))
    both = rotation.state in BOTH_WORK_STATES
    old_lives = old is not None and old.state == VersionState.ACTIVE and lives(old, at=at)
    why_not = ""
    if both and rotates and rotation.cause in KNOWN_TO_OTHERS:
        why_not = _("It cannot be undone: the old secret is known to others.")
    elif both and rotates and not old_lives:
        why_not = _("It cannot be undone any more: the old version has ended.")
    may_begin = rotates and rotation.state not in BEGUN and not is_stopped
    may_take = rotation.state == RotationState.PREPARED and not is_stopped
    return RotationActs(
        start=may_begin and key.revoked_at is None and key.authorised_until > at,
        claim=may_take and but_for_step_up(may_claim(actor, who, facts, at=at)),
        stop=rotation.state in WAITING_ROTATION_STATES
        and but_for_step_up(may_stop_rotation(actor, who, facts, rotation_facts(rotation), at=at)),
        take_back=rotates and rotation.state == RotationState.HANDED_OVER and not is_stopped,
        undo=rotates and both and not why_not,
        end_old=both and old_lives and but_for_step_up(may_override_retirement(actor, who, at=at)),
        undo_why_not=why_not,
    )


@page
def calendar(http: HttpRequest, actor: Actor) -> HttpResponse:
    """List what is scheduled, waits for a claim, or lets an old version end; what is late stands first."""
    at = clock.now()
    under_way = [(str(state), STATES[state][0]) for state in OPEN_ROTATION_STATES]
    choices = [
        choice(http, "state", _("State"), under_way, any_label=_("Any state")),
        environment_choice(http, actor),
        service_choice(http, actor),
        team_choice(http, actor),
    ]
    chosen = {each.name: each.chosen for each in choices}
    rows = (
        Rotation.objects.visible_to(actor)
        .open()
        .select_related(
            "managed_key__service",
            "managed_key__environment",
            "managed_key__owner_team",
            "managed_key__recipient",
            "old_version",
            "new_version",
        )
    )
    if chosen["state"]:
        rows = rows.filter(state=chosen["state"])
    if chosen["environment"]:
        rows = rows.filter(managed_key__environment__tag=chosen["environment"])
    if chosen["service"]:
        rows = rows.filter(managed_key__service__slug=chosen["service"])
    if chosen["team"]:
        rows = rows.filter(managed_key__owner_team__slug=chosen["team"])
    late = rows.late(at)
    found = keyset_page(rows.exclude(pk__in=late.values("pk")), http, order="due_at")
    overdue = list(late.order_by("due_at", "pk")[:MOST_LATE])
    stopped = stopped_keys((each.managed_key_id for each in (*overdue, *found.rows)), actor=actor)
    context = {
        "late": [_line(each, stopped) for each in overdue],
        "lines": [_line(each, stopped) for each in found.rows],
        "page": found,
        "choices": choices,
        "is_filtered": is_filtered("", choices),
    }
    return render(http, "web/rotations.html", context)


def _line(rotation: Rotation, stopped: Set[UUID]) -> dict[str, object]:
    words, next_at = next_words(rotation, is_stopped=rotation.managed_key_id in stopped)
    return {"rotation": rotation, "key": rotation.managed_key, "words": words, "at": next_at}
