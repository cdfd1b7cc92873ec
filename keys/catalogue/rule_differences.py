"""Lay the rules of two policies side by side, in words, and mark what the second one weakens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final
from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys.catalogue.policies import rules_from_json, rules_of
from keys.models import Policy, PolicyProposal, Team
from keys.policy.bounds import Rules, weakened

LABELS: Final = {
    "approvals_required": gettext_lazy("Approvals needed"),
    "service_approvals_required": gettext_lazy("Of these from the service's own team"),
    "approver_team_id": gettext_lazy("Group whose approvers may also approve"),
    "max_cryptoperiod_days": gettext_lazy("Longest cryptoperiod in days"),
    "max_authorised_days": gettext_lazy("Longest authorisation in days"),
    "networks_required": gettext_lazy("Networks must be named"),
    "ticket_pattern": gettext_lazy("Pattern of the ticket"),
    "kinds": gettext_lazy("Kinds of key"),
    "self_fetch_allowed": gettext_lazy("Keys may fetch their own next version"),
    "lapse_days": gettext_lazy("Days until a request lapses"),
    "claim_hours": gettext_lazy("Hours to claim a secret"),
    "longest_overlap_hours": gettext_lazy("Longest overlap of two versions in hours"),
    "deadline_wins": gettext_lazy("The old version ends though nobody took the new one"),
    "brownouts": gettext_lazy("Short refusals before the old version ends"),
    "unused_days": gettext_lazy("Days without use until revocation is proposed"),
    "signature_required": gettext_lazy("Every request must be signed"),
    "signed_scopes": gettext_lazy("Scopes for which requests must be signed"),
    "signature_window_seconds": gettext_lazy("How old a signature may be, in seconds"),
}


@dataclass(frozen=True, kw_only=True)
class RuleChange:
    """One rule, as it is and as it would be."""

    name: str
    label: Promise
    before: str
    after: str
    is_weaker: bool

    @property
    def is_changed(self) -> bool:
        return self.before != self.after


def compare_rules(old: Rules, new: Rules) -> list[RuleChange]:
    """Every rule, old beside new, in the order people think of them."""
    weaker = set(weakened(old, new))
    teams = _team_names(old, new)
    return [
        RuleChange(
            name=each.name,
            label=LABELS[each.name],
            before=rule_words(getattr(old, each.name), teams=teams),
            after=rule_words(getattr(new, each.name), teams=teams),
            is_weaker=each.name in weaker,
        )
        for each in fields(Rules)
    ]


def differences_of(proposal: PolicyProposal) -> list[RuleChange]:
    """What a proposal changes, against the version it was made from."""
    base = Policy.objects.filter(
        service=proposal.service, environment=proposal.environment, version=proposal.base_version
    ).first()
    proposed = rules_from_json(proposal.rules)
    return compare_rules(rules_of(base), proposed) if base else compare_rules(proposed, proposed)


def rule_words(value: object, *, teams: Mapping[UUID, str]) -> str:
    """Say the value of a rule."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, UUID):
        return teams.get(value) or _("a team that is gone")
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return _("none") if value in (None, "") else str(value)


def _team_names(*rules: Rules) -> dict[UUID, str]:
    wanted = [each.approver_team_id for each in rules if each.approver_team_id]
    return {team.pk: team.name for team in Team.objects.filter(pk__in=wanted)}
