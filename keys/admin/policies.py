"""Let administrators write the next version of a policy, see what it weakens, and decide what a colleague proposed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actor import Actor
from keys.admin.acts import Act, ActForm, Shown, Terms, Words
from keys.admin.catalogue import CATALOGUE
from keys.admin.cells import badge, tags
from keys.admin.pages import OperationAdmin
from keys.catalogue.policies import current_policy, decide_proposal, rules_of, set_policy
from keys.catalogue.rule_differences import LABELS, RuleChange, compare_rules, differences_of
from keys.models import Policy, PolicyProposal, Team
from keys.policy.bounds import LONGEST_OVERLAP_HOURS, LONGEST_WINDOW_SECONDS, SHORTEST_WINDOW_SECONDS, Rules
from keys.states import KeyKind

KIND_NAMES = [
    (str(KeyKind.BEARER), gettext_lazy("Bearer: the secret is presented")),
    (str(KeyKind.HMAC_SHA256), gettext_lazy("HMAC-SHA-256: requests are signed with a shared secret")),
    (str(KeyKind.ED25519), gettext_lazy("Ed25519: requests are signed with a private key that only the client has")),
]


def _number(name: str, *, least: int, most: int) -> forms.IntegerField:
    return forms.IntegerField(label=LABELS[name], min_value=least, max_value=most)


class RulesForm(ActForm):
    """The rules of a policy."""

    approvals_required = _number("approvals_required", least=0, most=10)
    service_approvals_required = _number("service_approvals_required", least=0, most=10)
    approver_team_id = forms.ModelChoiceField(
        label=LABELS["approver_team_id"],
        queryset=Team.objects.none(),
        required=False,
        empty_label=gettext_lazy("only the service's own team"),
    )
    max_cryptoperiod_days = _number("max_cryptoperiod_days", least=1, most=3650)
    max_authorised_days = _number("max_authorised_days", least=1, most=3650)
    networks_required = forms.BooleanField(label=LABELS["networks_required"], required=False)
    ticket_pattern = forms.CharField(
        label=LABELS["ticket_pattern"],
        max_length=120,
        required=False,
        help_text=gettext_lazy("A regular expression such as [A-Z]{2,5}-[0-9]{1,6}; empty when no ticket is needed."),
    )
    kinds = forms.MultipleChoiceField(label=LABELS["kinds"], choices=KIND_NAMES, widget=forms.CheckboxSelectMultiple)
    self_fetch_allowed = forms.BooleanField(label=LABELS["self_fetch_allowed"], required=False)
    lapse_days = _number("lapse_days", least=1, most=3650)
    claim_hours = _number("claim_hours", least=1, most=3650)
    longest_overlap_hours = _number("longest_overlap_hours", least=0, most=LONGEST_OVERLAP_HOURS)
    deadline_wins = forms.BooleanField(label=LABELS["deadline_wins"], required=False)
    brownouts = forms.BooleanField(label=LABELS["brownouts"], required=False)
    unused_days = _number("unused_days", least=1, most=3650)
    signature_required = forms.BooleanField(label=LABELS["signature_required"], required=False)
    signed_scopes = forms.CharField(
        label=LABELS["signed_scopes"],
        required=False,
        help_text=gettext_lazy("Names of scopes, with commas between; a bearer token is not enough for these."),
    )
    signature_window_seconds = _number(
        "signature_window_seconds", least=SHORTEST_WINDOW_SECONDS, most=LONGEST_WINDOW_SECONDS
    )

    def fit(self) -> None:
        """Offer the living teams."""
        asked = self.fields["approver_team_id"]
        assert isinstance(asked, forms.ModelChoiceField)
        asked.queryset = Team.objects.living()

    def clean_signed_scopes(self) -> tuple[str, ...]:
        """Read the names, each once."""
        names = str(self.cleaned_data["signed_scopes"]).replace(",", " ").split()
        return tuple(sorted(set(names)))


def _rules(cleaned: Mapping[str, Any]) -> Rules:
    values = {each.name: cleaned[each.name] for each in fields(Rules)}
    team = values["approver_team_id"]
    return Rules(**{**values, "kinds": tuple(values["kinds"]), "approver_team_id": team.pk if team else None})


class NewVersion(Act[Policy]):
    """Write the next version of a policy."""

    name, label, icon = "new-version", gettext_lazy("Write the next version"), "pencil"
    purpose, form, can_look, done = "policy", RulesForm, True, gettext_lazy("The new version is in force.")

    def title(self, rows: Sequence[Policy]) -> Words:
        """Name the service and the place."""
        return _("Rules of %(service)s in %(environment)s") % {
            "service": rows[0].service,
            "environment": rows[0].environment,
        }

    def is_offered(self, row: Policy) -> bool:
        """On the version in force."""
        current = current_policy(row.service, row.environment)
        return current is not None and current.pk == row.pk

    def consequences(self, rows: Sequence[Policy]) -> list[Words]:
        """What follows."""
        found: list[Words] = [
            _("Requests that wait keep the stricter of the rules they were made under and the new ones."),
            _("Keys that live keep what they were approved for; only what must be signed holds for them at once."),
        ]
        if rows[0].environment.is_production:
            found.insert(
                0, _("Rules that weaken production are only proposed; a second administrator puts them in force.")
            )
        return found

    def initial(self, row: Policy) -> Mapping[str, Any]:
        """The rules as they are."""
        rules = {each.name: getattr(row, each.name) for each in fields(Rules)}
        return {**rules, "signed_scopes": ", ".join(row.signed_scopes)}

    def seen(self, row: Policy) -> str:
        """The version that the administrator looked at."""
        return str(row.version)

    def difference(self, row: Policy, cleaned: Mapping[str, Any] | None) -> Sequence[RuleChange]:
        """Old beside new."""
        return () if cleaned is None else compare_rules(rules_of(row), _rules(cleaned))

    def run(
        self, row: Policy | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor
    ) -> models.Model | Shown | None:
        """Call the operation."""
        assert row is not None
        return set_policy(
            row.service, environment=row.environment, rules=_rules(cleaned), base_version=int(seen), actor=actor
        )

    def answer(self, result: models.Model | Shown | None) -> Words:
        """Say whether it is in force."""
        if isinstance(result, PolicyProposal):
            return _("This weakens production, so it is proposed. A second administrator has to accept it.")
        return self.done


class AcceptProposal(Act[PolicyProposal]):
    """Put proposed rules in force, as the second administrator."""

    name, label, icon, tone = "accept", gettext_lazy("Accept"), "circle-check", "danger"
    purpose, done = "policy", gettext_lazy("Accepted: the new version is in force.")

    def is_offered(self, row: PolicyProposal) -> bool:
        """While it waits."""
        return row.decided_at is None

    def consequences(self, rows: Sequence[PolicyProposal]) -> list[Words]:
        """What follows."""
        return [
            _("The rules marked as weaker hold for new requests from now on."),
            _("Requests that wait keep the stricter rules."),
        ]

    def difference(self, row: PolicyProposal, cleaned: Mapping[str, Any] | None) -> Sequence[RuleChange]:
        """Old beside new."""
        return differences_of(row)

    def phrase(self, rows: Sequence[PolicyProposal]) -> str:
        """The service."""
        return rows[0].service.slug if rows else ""

    def run(
        self, row: PolicyProposal | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor
    ) -> models.Model | None:
        """Call the operation."""
        assert row is not None
        decide_proposal(row, accept=True, actor=actor)
        return row


class RefuseProposal(AcceptProposal):
    """Leave the rules as they are; the proposer may take a proposal back by this."""

    name, label, icon, tone = "refuse", gettext_lazy("Refuse"), "circle-x", ""
    done = gettext_lazy("Refused: the rules stay as they are.")

    def consequences(self, rows: Sequence[PolicyProposal]) -> list[Words]:
        """Nothing follows."""
        return []

    def phrase(self, rows: Sequence[PolicyProposal]) -> str:
        """A button is enough."""
        return ""

    def run(
        self, row: PolicyProposal | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor
    ) -> models.Model | None:
        """Call the operation."""
        assert row is not None
        decide_proposal(row, accept=False, actor=actor)
        return row


class InForceFilter(admin.SimpleListFilter):
    """Policies in force, or all versions."""

    title, parameter_name = gettext_lazy("version"), "versions"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """The choice beside the default."""
        return [("all", _("Every version"))]

    def choices(self, changelist: Any) -> Any:
        """Name the default for what it is."""
        for place, choice in enumerate(super().choices(changelist)):
            yield {**choice, "display": _("In force")} if place == 0 else choice

    def queryset(self, request: Any, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """The newest of each service and environment."""
        if self.value() == "all":
            return queryset
        return queryset.filter(pk__in=Policy.objects.current().values("pk"))


@admin.register(Policy)
class PolicyAdmin(OperationAdmin[Policy]):
    """The rules of services in environments."""

    group, target_type = CATALOGUE, "policy"
    many = gettext_lazy("Policies")
    acts = (NewVersion(),)
    shown = (
        "service",
        "environment",
        "version",
        "created_at",
        "approvals_required",
        "service_approvals_required",
        "approver_team",
        "max_cryptoperiod_days",
        "max_authorised_days",
        "networks_required",
        "ticket_pattern",
        "kinds",
        "self_fetch_allowed",
        "lapse_days",
        "claim_hours",
        "longest_overlap_hours",
        "deadline_wins",
        "brownouts",
        "unused_days",
        "signature_required",
        "signed_scopes",
        "signature_window_seconds",
    )
    list_display = (
        "__str__",
        "environment_shown",
        "approvals_shown",
        "approver_team",
        "max_cryptoperiod_days",
        "max_authorised_days",
        "created_at",
    )
    list_select_related = ("service", "environment", "approver_team")
    list_filter = (InForceFilter, "environment", "service")
    search_fields = ("service__name", "service__slug")

    @admin.display(description=gettext_lazy("environment"))
    def environment_shown(self, row: Policy) -> object:
        """The place, with its danger."""
        return badge("environment", row.environment)

    @admin.display(description=gettext_lazy("approvals"), ordering="approvals_required")
    def approvals_shown(self, row: Policy) -> str:
        """How many, and how many of the service's own."""
        return _("%(all)s, %(own)s of the service") % {
            "all": row.approvals_required,
            "own": row.service_approvals_required,
        }

    def facts(self, row: Policy) -> Terms:
        """The rules in the words that everybody reads."""
        return [
            (LABELS.get(name) or LABELS.get(f"{name}_id") or words, value)
            for name, (words, value) in zip(self.shown, super().facts(row), strict=True)
        ]

    def remark(self, row: Policy) -> str:
        """Say when these rules are not the ones in force, or when a proposal waits."""
        current = current_policy(row.service, row.environment)
        if current is not None and current.pk != row.pk:
            return _("An older version: version %(version)s is in force.") % {"version": current.version}
        waiting = PolicyProposal.objects.waiting().filter(service=row.service, environment=row.environment)
        return _("A proposal for these rules waits for a second administrator.") if waiting.exists() else ""


@admin.register(PolicyProposal)
class PolicyProposalAdmin(OperationAdmin[PolicyProposal]):
    """Rules that would weaken production, and what a second administrator said."""

    group, target_type = CATALOGUE, "policy-proposal"
    many = gettext_lazy("Policy proposals")
    acts = (AcceptProposal(), RefuseProposal())
    shown = (
        "service",
        "environment",
        "base_version",
        "proposed_by",
        "created_at",
        "decided_by",
        "decided_at",
        "outcome",
    )
    list_display = ("__str__", "weakened_shown", "proposed_by", "created_at", "decided_by", "outcome_shown")
    list_select_related = ("service", "environment", "proposed_by", "decided_by")
    list_filter = ("outcome", "environment", "service")
    search_fields = ("service__name", "service__slug", "proposed_by__name")
    date_hierarchy = "created_at"

    @admin.display(description=gettext_lazy("weakens"))
    def weakened_shown(self, row: PolicyProposal) -> object:
        """The rules that become weaker."""
        return tags(LABELS.get(name, name) for name in row.weakened)

    @admin.display(description=gettext_lazy("outcome"), ordering="outcome")
    def outcome_shown(self, row: PolicyProposal) -> object:
        """What was decided."""
        if not row.outcome:
            return badge("info", _("Waiting"))
        return badge("success", _("Accepted")) if row.outcome == "accepted" else badge("neutral", _("Refused"))

    def change_view(self, request: Any, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        """Show old beside new."""
        row = self._found(request, object_id)
        return super().change_view(request, object_id, form_url, {"difference": differences_of(row)})

    def remark(self, row: PolicyProposal) -> str:
        """Say who has to decide."""
        if row.decided_at is not None:
            return ""
        return _("A second administrator decides, not %(proposer)s.") % {"proposer": row.proposed_by}
