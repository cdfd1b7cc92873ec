"""Stop a key: suspend, reinstate, revoke, and say that it leaked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit import clock
from audit.actor import Actor
from keys.lifecycle.inventory import line_of
from keys.lifecycle.revocation import reinstate_key, report_leak, revoke_key, suspend_key
from keys.models import KeyVersion, ManagedKey
from keys.monitoring.usage import usage_of
from keys.policy.rules import may_reinstate, may_revoke, may_suspend
from keys.states import RevocationReason, SuspensionReason
from keys.verification.watching.receipts import stop_with_receipt
from portal.templatetags.times import relative
from portal.web.attempts import confirmed
from portal.web.components import Term, Words
from portal.web.confirmation import Confirmation, TypedConfirmation
from portal.web.doors import act, form_page, page
from portal.web.finding import key_by_number
from portal.web.key_acts import acts_on, enforce_but_for_step_up
from portal.web.wording import REVOCATION_CHOICES, SUSPENSION_CHOICES, service_in


def choices_of(reasons: Mapping[str, tuple[Promise, Promise]]) -> list[tuple[str, Promise]]:
    """Offer each reason with what it means."""
    return [(str(value), format_lazy("{}: {}", label, words)) for value, (label, words) in reasons.items()]


class SuspendForm(TypedConfirmation):
    """Why a key is stopped for a while."""

    reason = forms.ChoiceField(
        label=gettext_lazy("Reason"), choices=choices_of(SUSPENSION_CHOICES), widget=forms.RadioSelect
    )


class RevokeForm(TypedConfirmation):
    """Why a key ends before its time, in the words of RFC 5280."""

    reason = forms.ChoiceField(
        label=gettext_lazy("Reason"), choices=choices_of(REVOCATION_CHOICES), widget=forms.RadioSelect
    )
    field_order = ("reason", "phrase")


@form_page
def suspend(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Stop a key until somebody reinstates it."""
    key = key_by_number(number, actor=actor)
    enforce_but_for_step_up(may_suspend, key, before=suspend_key, actor=actor)
    form = SuspendForm(http.POST if http.method == "POST" else None)

    def suspended(who: Actor) -> None:
        suspend_key(key, actor=who, reason=SuspensionReason(form.cleaned_data["reason"]))
        stop_with_receipt(key, action="suspended")

    return confirmed(
        http,
        key,
        form,
        purpose="suspend",
        asked=_asked(
            key,
            actor=actor,
            title=_("Suspend %(name)s?") % {"name": key.name},
            action=_("Suspend the key"),
            consequences=[
                _("From the next verification on, nothing that presents it is let in."),
                _("It can be reinstated. In production somebody else has to do that."),
                _("The owner team and the service's team are told."),
            ],
        ),
        act_on=suspended,
        said=_("Suspended. No verifier accepts it any more; the receipt is below."),
    )


@form_page
def reinstate(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Let a suspended key work again."""
    key = key_by_number(number, actor=actor)
    enforce_but_for_step_up(may_reinstate, key, before=reinstate_key, actor=actor)
    return confirmed(
        http,
        key,
        TypedConfirmation(http.POST if http.method == "POST" else None),
        purpose="reinstate",
        asked=_asked(
            key,
            actor=actor,
            title=_("Reinstate %(name)s?") % {"name": key.name},
            action=_("Reinstate the key"),
            consequences=[
                _("From the next verification on, whoever presents it is let in again."),
                _("Be sure that the reason for the suspension is settled: a leaked secret stays leaked."),
            ],
            tone="warning",
        ),
        act_on=lambda who: reinstate_key(key, actor=who),
        said=_("Reinstated. It verifies again."),
    )


@form_page
def revoke(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """End a key for good."""
    key = key_by_number(number, actor=actor)
    enforce_but_for_step_up(may_revoke, key, before=revoke_key, actor=actor)
    form = RevokeForm(http.POST if http.method == "POST" else None, phrase=str(key))

    def revoked(who: Actor) -> None:
        revoke_key(key, actor=who, reason=RevocationReason(form.cleaned_data["reason"]))
        stop_with_receipt(key, action="revoked")

    return confirmed(
        http,
        key,
        form,
        purpose="revoke",
        asked=_asked(
            key,
            actor=actor,
            title=_("Revoke %(name)s?") % {"name": key.name},
            action=_("Revoke the key for good"),
            consequences=[
                _("From the next verification on, nothing that presents it is let in. This cannot be undone."),
                _("Every version ends. Whoever needs access again asks for a new key."),
                _("The owner team and the service's team are told."),
            ],
        ),
        act_on=revoked,
        said=_("Revoked for good. No verifier accepts it any more; the receipt is below."),
    )


@act
def leak(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Stop a key that leaked, at once and without a question."""
    key = key_by_number(number, actor=actor)
    report_leak(key, actor=actor)
    stop_with_receipt(key, action="leak-reported")
    return HttpResponseRedirect(reverse("leaked", args=[number]))


@page
def leaked(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Say what has happened after a report, and offer what comes next."""
    key = key_by_number(number, actor=actor)
    versions = list(KeyVersion.objects.visible_to(actor).filter(managed_key=key))
    if not any(version.suspended_reason == SuspensionReason.LEAK_REPORTED for version in versions):
        return HttpResponseRedirect(reverse("key", args=[number]))
    context = {
        "key": key,
        "environment": key.environment,
        "is_recipient": str(key.recipient_id) == actor.id,
        "acts": acts_on(key, versions, actor=actor, at=clock.now()),
    }
    return render(http, "web/leaked.html", context)


def _asked(
    key: ManagedKey,
    *,
    actor: Actor,
    title: Words,
    action: Words,
    consequences: Sequence[Words],
    tone: str = "danger",
) -> Confirmation:
    """Preview what the act hits: how many versions live, how busy the key is."""
    at = clock.now()
    versions = list(KeyVersion.objects.visible_to(actor).filter(managed_key=key).order_by("-sequence"))
    usage = usage_of(key, at=at)
    line = line_of(key, versions, at=at, last_used_at=usage.last_used_at)
    living = KeyVersion.objects.visible_to(actor).living(at).filter(managed_key=key).count()
    used = relative(usage.last_used_at, at=at) if usage.last_used_at else _("never")
    return Confirmation(
        title=title,
        action=action,
        cancel_url=reverse("key", args=[key.number]),
        consequences=consequences,
        preview=[
            Term(name=_("Key"), value=f"{key.name} ({key})"),
            Term(name=_("Owner team"), value=key.owner_team),
            Term(name=_("Consumer"), value=key.consumer),
            Term(name=_("Opens"), value=service_in(key.service, key.environment)),
            Term(name=_("Scopes"), value=", ".join(key.scopes)),
            Term(name=_("Living versions"), value=living),
            Term(name=_("Last used"), value=used),
            Term(name=_("Accepted in the last 30 days"), value=usage.accepted),
        ],
        tone=tone if line.version else "danger",
        environment_class=key.environment.environment_class,
    )
