"""Replace the secret of a key on the pages: start, undo, stop, and move the end of the old version."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit import clock
from audit.actor import Actor
from keys.errors import Conflict
from keys.lifecycle.facts import rotation_facts
from keys.lifecycle.rotation import (
    abort_rotation,
    override_retirement,
    start_rotation,
    take_back_rotation,
    undo_rotation,
)
from keys.lifecycle.rotation_course import longest_overlap
from keys.lifecycle.rotation_steps import plan_of
from keys.models import ManagedKey, Rotation
from keys.people.standing import standing_of
from keys.policy.rules import may_override_retirement, may_rotate, may_stop_rotation
from keys.policy.step_up import but_for_step_up
from keys.states import BOTH_WORK_STATES, OVERLAP_PERIODS, WAITING_ROTATION_STATES, Overlap, RotationState
from portal.templatetags.times import duration
from portal.web.attempts import attempt, confirmed
from portal.web.components import Term, Words
from portal.web.confirmation import Confirmation, TypedConfirmation
from portal.web.doors import form_page
from portal.web.finding import key_by_number, open_rotation_of
from portal.web.key_acts import enforce_but_for_step_up
from portal.web.refusals import enforce_before
from portal.web.rotation_words import OVERLAPS, cause_words, overlap_words
from portal.web.wording import service_in


@dataclass(frozen=True, kw_only=True)
class OverlapChoice:
    """One way to let the old version end; `why_not` says why the policy forbids it."""

    value: str
    label: Words
    note: Words
    why_not: str = ""
    is_chosen: bool = False


class RotateForm(forms.Form):
    """How long the old version works beside the new one."""

    overlap = forms.ChoiceField(
        label=gettext_lazy("How long the present secret works on after the new one is claimed"),
        choices=[(str(each), OVERLAPS[each][0]) for each in Overlap],
    )

    def __init__(self, data: Any, *, key: ManagedKey) -> None:  # Any: passed on to Django
        super().__init__(data, initial={"overlap": str(plan_of(key)[0])})
        self.longest = longest_overlap(key)

    def _why_not(self, overlap: Overlap) -> str:
        if OVERLAP_PERIODS.get(overlap, timedelta()) <= self.longest:
            return ""
        return _("The policy allows at most %(most)s.") % {"most": duration(self.longest)}

    def clean_overlap(self) -> Overlap:
        """Refuse what the page shows as disabled."""
        overlap = Overlap(self.cleaned_data["overlap"])
        if why_not := self._why_not(overlap):
            raise ValidationError(why_not, code="over_policy_limit")
        return overlap

    def choices(self) -> Sequence[OverlapChoice]:
        """Every way; forbidden ones stay visible with the reason."""
        chosen = str(self["overlap"].value() or "")
        return [
            OverlapChoice(
                value=str(each), label=label, note=note, why_not=self._why_not(Overlap(each)), is_chosen=each == chosen
            )
            for each, (label, note) in OVERLAPS.items()
        ]


class EndForm(TypedConfirmation):
    """When the old version ends, counted from now."""

    ends_in = forms.ChoiceField(
        label=gettext_lazy("The old version ends"),
        choices=[
            ("0", gettext_lazy("now")),
            ("15m", gettext_lazy("in 15 minutes")),
            ("1h", gettext_lazy("in 1 hour")),
            ("6h", gettext_lazy("in 6 hours")),
            ("24h", gettext_lazy("in 24 hours")),
            ("7d", gettext_lazy("in 7 days")),
        ],
        widget=forms.RadioSelect,
    )

    def wait(self) -> timedelta:
        """How long from now on."""
        chosen = self.cleaned_data["ends_in"]
        return timedelta() if chosen == "0" else OVERLAP_PERIODS[Overlap(chosen)]


@form_page
def rotate(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Ask how the old version ends; on POST let the next one wait for its claim."""
    key = key_by_number(number, actor=actor)
    enforce_but_for_step_up(may_rotate, key, before=start_rotation, actor=actor)
    under_way = open_rotation_of(key, actor=actor)
    if http.method != "POST" and under_way is not None and under_way.state != RotationState.SCHEDULED:
        return HttpResponseRedirect(reverse("rotation", args=[number]))
    form = RotateForm(http.POST if http.method == "POST" else None, key=key)

    def started(who: Actor) -> HttpResponse:
        start_rotation(key, overlap=form.cleaned_data["overlap"], actor=who)
        if key.self_fetch:  # its client is to have it: nobody is led to a page that takes it out of the client's hand
            messages.success(http, _("The next version waits for its client, or for a person who claims it."))
        else:
            messages.success(http, _("The next version waits to be claimed."))
        claims = str(key.recipient_id) == actor.id and not key.self_fetch
        return HttpResponseRedirect(reverse("claim" if claims else "rotation", args=[number]))

    tried = attempt(http, form, purpose="claim", act_on=started)
    if isinstance(tried, HttpResponse):
        return tried
    context = {
        "key": key,
        "environment": key.environment,
        "form": form,
        "choices": form.choices(),
        "longest": form.longest,
        "step_up": tried.step_up,
    }
    return render(http, "web/rotate.html", context, status=tried.status)


@form_page
def undo(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Let the old version live on and end the new one."""
    key = key_by_number(number, actor=actor)
    enforce_but_for_step_up(may_rotate, key, before=undo_rotation, actor=actor)
    rotation = _rotation_in(BOTH_WORK_STATES, key, otherwise="nothing_to_undo", actor=actor)
    asked = _asked(
        rotation,
        title=_("Undo the rotation of %(name)s?") % {"name": key.name},
        action=_("Undo the rotation"),
        consequences=[
            _("The old version works on, until it expires."),
            _("The new version ends at once: whoever uses it already is refused."),
            _("The key is rotated again later; the first try is tomorrow at the earliest."),
        ],
    )
    return confirmed(
        http,
        key,
        TypedConfirmation(http.POST if http.method == "POST" else None),
        purpose="claim",
        asked=asked,
        act_on=lambda who: undo_rotation(rotation, actor=who),
        said=_("Undone. The old version works on."),
    )


@form_page
def stop(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """End the version that waits; the present one goes on."""
    key = key_by_number(number, actor=actor)
    enforce_but_for_step_up(may_rotate, key, before=abort_rotation, actor=actor)
    rotation = _rotation_in(WAITING_ROTATION_STATES, key, otherwise="nothing_to_stop", actor=actor)
    facts = rotation_facts(rotation)
    enforce_but_for_step_up(
        lambda actor, who, key, *, at: may_stop_rotation(actor, who, key, facts, at=at),
        key,
        before=abort_rotation,
        actor=actor,
    )
    asked = _asked(
        rotation,
        title=_("Stop the rotation of %(name)s?") % {"name": key.name},
        action=_("Stop the rotation"),
        consequences=[
            _("The version that waits ends; nobody can claim it any more."),
            _("The present version works on as before."),
            _("The key is rotated again later; the first try is tomorrow at the earliest."),
        ],
    )
    return confirmed(
        http,
        key,
        TypedConfirmation(http.POST if http.method == "POST" else None),
        purpose="claim",
        asked=asked,
        act_on=lambda who: abort_rotation(rotation, actor=who),
        said=_("Stopped. The present version works on."),
    )


@form_page
def take_back(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """End the secret that the client fetched and has not shown yet; another waits to be claimed."""
    key = key_by_number(number, actor=actor)
    enforce_but_for_step_up(may_rotate, key, before=take_back_rotation, actor=actor)
    rotation = _rotation_in((RotationState.HANDED_OVER,), key, otherwise="nothing_to_take_back", actor=actor)
    asked = _asked(
        rotation,
        title=_("Take the next secret of %(name)s back from its client?") % {"name": key.name},
        action=_("Take it back"),
        consequences=[
            _("The secret that the client fetched ends: it never works."),
            _("Another one waits to be claimed, or to be fetched again."),
            _("The present version works on as before."),
        ],
    )
    return confirmed(
        http,
        key,
        TypedConfirmation(http.POST if http.method == "POST" else None),
        purpose="claim",
        asked=asked,
        act_on=lambda who: take_back_rotation(rotation, actor=who),
        said=_("Taken back. Another secret waits."),
    )


@form_page
def end_old(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Let an administrator move the end of the old version, sooner or later."""
    key = key_by_number(number, actor=actor)
    at = clock.now()
    decision = may_override_retirement(actor, standing_of(actor, at=at), at=at)
    if not but_for_step_up(decision):
        enforce_before(override_retirement, key, decision, actor=actor)
    rotation = _rotation_in(BOTH_WORK_STATES, key, otherwise="nothing_to_retire", actor=actor)
    asked = _asked(
        rotation,
        title=_("Move the end of the old version of %(name)s?") % {"name": key.name},
        action=_("Move the end"),
        consequences=[
            _("Sooner: whoever still uses the old secret then is refused."),
            _("Later: two secrets of this key work for longer, at most until the old one expires."),
            _("That you moved it is on record."),
        ],
    )
    form = EndForm(http.POST if http.method == "POST" else None)
    return confirmed(
        http,
        key,
        form,
        purpose="revoke",
        asked=asked,
        act_on=lambda who: override_retirement(rotation, retire_at=clock.now() + form.wait(), actor=who),
        said=_("The end of the old version was moved."),
    )


def _rotation_in(states: Collection[str], key: ManagedKey, *, otherwise: str, actor: Actor) -> Rotation:
    """The open rotation of a key that is this far; else there is nothing to act on."""
    rotation = open_rotation_of(key, actor=actor)
    if rotation is None or rotation.state not in states:
        raise Conflict(otherwise)
    return rotation


def _asked(rotation: Rotation, *, title: Words, action: Words, consequences: Sequence[Words]) -> Confirmation:
    key, old, new = rotation.managed_key, rotation.old_version, rotation.new_version
    return Confirmation(
        title=title,
        action=action,
        cancel_url=reverse("rotation", args=[key.number]),
        consequences=consequences,
        preview=[
            Term(name=_("Key"), value=f"{key.name} ({key})"),
            Term(name=_("Opens"), value=service_in(key.service, key.environment)),
            Term(name=_("Old version"), value=old.sequence if old else "—"),
            Term(name=_("New version"), value=new.sequence if new else "—"),
            Term(name=_("Begun because"), value=cause_words(rotation.cause)),
            Term(name=_("The old one works on"), value=overlap_words(rotation.overlap)),
        ],
        environment_class=key.environment.environment_class,
    )
