"""Let administrators find every request and decision, and approve as the approvers that they are, one or many alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit import clock
from audit.actor import Actor
from keys.admin.acts import Act, ActForm, Terms, Words
from keys.admin.cells import Table, badge, drawn, link, moment, mono, prose, tags
from keys.admin.pages import OperationAdmin
from keys.approvals.decisions import approve_request
from keys.approvals.evidence import signature_state
from keys.approvals.facts import request_facts
from keys.approvals.quorum import progress_of, rules_for
from keys.models import Approval, KeyRequest
from keys.people.methods import method_words
from keys.people.standing import standing_of
from keys.policy.decisions import ALLOW, Deny
from keys.policy.rules import may_decide, seats_for
from keys.states import RequestState
from keys.words import sentence_for

REQUESTS = gettext_lazy("Requests")


class ApprovalForm(ActForm):
    """Words that go with an approval."""

    comment = forms.CharField(
        label=gettext_lazy("Comment"), max_length=2000, required=False, widget=forms.Textarea(attrs={"rows": 2})
    )


class Approve(Act[KeyRequest]):
    """Agree to exactly what the page shows."""

    name, label, icon = "approve", gettext_lazy("Approve"), "circle-check"
    purpose, form, in_bulk = "approve", ApprovalForm, True
    done = gettext_lazy("Approved.")

    def is_offered(self, row: KeyRequest) -> bool:
        """While it waits."""
        return row.state == RequestState.PENDING and row.lapses_at > clock.now()

    def consequences(self, rows: Sequence[KeyRequest]) -> list[Words]:
        """What follows."""
        return [
            _("You agree to exactly the content shown here. If it is changed meanwhile, nothing is approved."),
            _("The approval that completes the quorum creates the key."),
            _("Here a step-up stands behind it; on the page of the request your passkey can sign it."),
        ]

    def preview(self, row: KeyRequest, *, actor: Actor, at: datetime) -> Terms:
        """The content, how far it is, and why this person may not decide."""
        who = standing_of(actor, at=at)
        rules = rules_for(row)
        facts = request_facts(row, rules=rules, at=at)
        progress = progress_of(row, rules, at=at)
        decision = ALLOW if seats_for(who, facts) else may_decide(who, facts, seat=who.person_id)
        found: Terms = [
            (_("Approvals"), _("%(given)s of %(required)s") % {"given": progress.given, "required": progress.required})
        ]
        if isinstance(decision, Deny):
            found.append((_("You cannot approve this"), sentence_for(decision.code) or decision.code))
        return [*content_terms(row), *found]

    def selection_problem(self, rows: Sequence[KeyRequest]) -> Words:
        """Several are approved at once only when they are alike: nobody reads twenty different wishes well."""
        alike = {(row.service_id, row.environment_id, row.content.get("template", "")) for row in rows}
        if len(rows) > 1 and (len(alike) > 1 or not rows[0].content.get("template")):
            return _(
                "Choose requests made from the same template for the same environment; read all others one by one."
            )
        return ""

    def seen(self, row: KeyRequest) -> str:
        """The digest of the content that the page showed."""
        return row.digest

    def run(self, row: KeyRequest | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        return approve_request(row, digest=seen, comment=cleaned["comment"], actor=actor)


def content_terms(row: KeyRequest) -> Terms:
    """The canonical content in words."""
    content = row.content
    return [
        (_("Name"), content.get("name")),
        (_("Service"), row.service),
        (_("Environment"), badge("environment", row.environment)),
        (_("Owner team"), row.owner_team),
        (_("Asked by"), row.requester or row.requested_by_key),
        (_("Receives the secret"), row.recipient),
        (_("Consumer"), content.get("consumer")),
        (_("Template"), content.get("template") or "—"),
        (_("Scopes"), tags(content.get("scopes", ()))),
        (_("Networks"), tags(content.get("networks", ())) if content.get("networks") else _("any address")),
        (_("Cryptoperiod"), _("%(days)s days") % {"days": content.get("cryptoperiod_days")}),
        (_("Authorised for"), _("%(days)s days") % {"days": content.get("authorised_days")}),
        (_("Ticket"), content.get("ticket") or "—"),
        (_("Purpose"), prose(row.purpose)),
    ]


class WaitingFilter(admin.SimpleListFilter):
    """Requests by where they stand."""

    title, parameter_name = gettext_lazy("state"), "state"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """The states, and what waits by the clock."""
        return [("waiting", _("waits for approval now")), *((str(state), str(state)) for state in RequestState)]

    def queryset(self, request: Any, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """Those in the state."""
        if self.value() == "waiting":
            return queryset.filter(state=RequestState.PENDING, lapses_at__gt=clock.now())
        return queryset.filter(state=self.value()) if self.value() in set(RequestState) else queryset


@admin.register(KeyRequest)
class KeyRequestAdmin(OperationAdmin[KeyRequest]):
    """Every request, whatever became of it."""

    group, target_type = REQUESTS, "request"
    many = gettext_lazy("Requests")
    acts = (Approve(),)
    list_display = (
        "number_shown",
        "state_shown",
        "service",
        "environment_shown",
        "owner_team",
        "requester_shown",
        "created_shown",
        "lapses_shown",
    )
    list_select_related = (
        "service",
        "environment",
        "owner_team",
        "requester",
        "requested_by_key",
        "recipient",
        "renews",
    )
    list_filter = (WaitingFilter, "environment", "service", "owner_team")
    search_fields = (
        "=number",
        "content__name",
        "content__consumer",
        "content__ticket",
        "requester__name",
        "service__name",
    )
    search_help_text = gettext_lazy("Number, name of the key, consumer, ticket, requester, service")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)

    @admin.display(description=gettext_lazy("request"), ordering="number")
    def number_shown(self, row: KeyRequest) -> str:
        """The number, and the name of the wished key."""
        return f"{row} · {row.content.get('name', '')}"

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_shown(self, row: KeyRequest) -> object:
        """Where it stands."""
        return badge("request", row.state)

    @admin.display(description=gettext_lazy("environment"), ordering="environment")
    def environment_shown(self, row: KeyRequest) -> object:
        """The place, with its danger."""
        return badge("environment", row.environment)

    @admin.display(description=gettext_lazy("asked by"))
    def requester_shown(self, row: KeyRequest) -> str:
        """The person or program."""
        return str(row.requester or row.requested_by_key)

    @admin.display(description=gettext_lazy("asked"), ordering="created_at")
    def created_shown(self, row: KeyRequest) -> object:
        """When."""
        return moment(row.created_at)

    @admin.display(description=gettext_lazy("lapses"), ordering="lapses_at")
    def lapses_shown(self, row: KeyRequest) -> object:
        """When it ends undecided."""
        return moment(row.lapses_at) if row.decided_at is None else "—"

    def title(self, row: KeyRequest) -> str:
        """The number and the name of the wished key."""
        return self.number_shown(row)

    def facts(self, row: KeyRequest) -> Terms:
        """The content and the course."""
        return [
            (_("State"), badge("request", row.state)),
            *content_terms(row),
            (_("Renews"), link(row.renews)),
            (_("Revision"), row.revision),
            (_("Digest of the content"), mono(row.digest)),
            (_("Question"), prose(row.question)),
            (_("Asked at"), moment(row.created_at)),
            (_("Lapses"), drawn(row.lapses_at)),
            (_("Decided"), drawn(row.decided_at)),
        ]

    def tables(self, row: KeyRequest) -> list[Table]:
        """Decisions, and the key that came of it."""
        return [
            Table(
                title=_("Decisions"),
                heads=(
                    _("Person"),
                    _("In whose place"),
                    _("Decision"),
                    _("Method"),
                    _("Signature"),
                    _("When"),
                    _("Counts"),
                ),
                rows=[
                    (
                        link(each, each.person),
                        each.seat if each.seat_id != each.person_id else _("own"),
                        each.decision,
                        method_words(each.method),
                        signature_state(each).replace("-", " "),
                        moment(each.created_at),
                        _("no, void since %(day)s") % {"day": f"{each.voided_at:%Y-%m-%d}"}
                        if each.voided_at
                        else _("yes"),
                    )
                    for each in row.approvals.select_related("person", "seat", "request")
                ],
                empty=_("Nobody has decided yet."),
            ),
            Table(
                title=_("Key"),
                heads=(_("Key"), _("Name"), _("Created")),
                rows=[(link(each), each.name, moment(each.created_at)) for each in row.keys.all()],
                empty=_("No key came of it yet."),
            ),
        ]


class MethodFilter(admin.AllValuesFieldListFilter):
    """The ways in which decisions were confirmed, in words."""

    def choices(self, changelist: Any) -> Any:  # Any: as django-stubs has it
        """Name each way as the list does."""
        return (each | {"display": method_words(str(each["display"]))} for each in super().choices(changelist))


@admin.register(Approval)
class ApprovalAdmin(OperationAdmin[Approval]):
    """Every decision about a request."""

    group, target_type = REQUESTS, "approval"
    many = gettext_lazy("Approvals")
    list_display = (
        "__str__",
        "request_shown",
        "decision",
        "method_shown",
        "on_service_side",
        "created_shown",
        "counts_shown",
    )
    list_select_related = ("request", "person", "seat")
    list_filter = ("decision", ("method", MethodFilter), "on_service_side", ("voided_at", admin.EmptyFieldListFilter))
    search_fields = ("=request__number", "person__name", "person__email")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)

    @admin.display(description=gettext_lazy("request"), ordering="request__number")
    def request_shown(self, row: Approval) -> object:
        """What it is about."""
        return link(row.request)

    @admin.display(description=gettext_lazy("method"), ordering="method")
    def method_shown(self, row: Approval) -> object:
        """How it was confirmed."""
        return method_words(row.method)

    @admin.display(description=gettext_lazy("when"), ordering="created_at")
    def created_shown(self, row: Approval) -> object:
        """When."""
        return moment(row.created_at)

    @admin.display(description=gettext_lazy("counts"))
    def counts_shown(self, row: Approval) -> object:
        """Whether it stands."""
        return badge("neutral", _("Void")) if row.voided_at else badge("success", _("Stands"))

    def facts(self, row: Approval) -> Terms:
        """The decision, and what proves it."""
        assertion = row.assertion or {}
        return [
            (_("Request"), link(row.request)),
            (_("Person"), link(row.person)),
            (_("In the place of"), link(row.seat) if row.seat_id != row.person_id else _("themselves")),
            (_("Decision"), row.decision),
            (_("For the service's side"), drawn(row.on_service_side)),
            (_("Method"), method_words(row.method)),
            (_("Signature"), signature_state(row).replace("-", " ")),
            (_("Digest of the content"), mono(row.digest)),
            (_("Signed statement"), mono(row.statement)),
            (_("Passkey"), mono(assertion.get("id", ""))),
            (_("Comment"), prose(row.comment)),
            (_("When"), moment(row.created_at)),
            (_("Void since"), drawn(row.voided_at)),
        ]
