"""List what can happen to services, scopes, environments, templates and policies."""

from __future__ import annotations

from audit.events import Event, Severity

SERVICE = frozenset("id created_at slug name description owner_team_id retires_at retired_at".split())
SCOPE = frozenset("id created_at service_id name description access risk retires_at retired_at".split())
ENVIRONMENT = frozenset("id created_at tag name environment_class max_staleness_ms".split())
TEMPLATE = frozenset("id created_at service_id name description scopes retired_at".split())
POLICY = frozenset(
    "id created_at service_id environment_id version approvals_required service_approvals_required "
    "approver_team_id max_cryptoperiod_days max_authorised_days networks_required ticket_pattern kinds "
    "self_fetch_allowed lapse_days claim_hours longest_overlap_hours deadline_wins brownouts unused_days "
    "signature_required signed_scopes signature_window_seconds".split()
)
PROPOSAL = frozenset(
    "id created_at service_id environment_id base_version rules weakened proposed_by_id decided_by_id "
    "decided_at outcome".split()
)


class ServiceCreated(Event):
    """A service joined the catalogue."""

    action = "service.created"
    target_type = "service"
    change_fields = SERVICE


class ServiceChanged(Event):
    """A service's name, description or owner team changed."""

    action = "service.changed"
    target_type = "service"
    change_fields = SERVICE


class ServiceRetirementPlanned(Event):
    """A service will be retired on a date; its keys end then."""

    action = "service.retirement-planned"
    target_type = "service"
    severity = Severity.LOW
    change_fields = SERVICE


class ServiceRetired(Event):
    """A service was retired; none of its keys verifies."""

    action = "service.retired"
    target_type = "service"
    severity = Severity.LOW
    change_fields = SERVICE


class ScopeCreated(Event):
    """A scope joined a service's catalogue."""

    action = "scope.created"
    target_type = "scope"
    change_fields = SCOPE


class ScopeChanged(Event):
    """A scope's description or risk changed."""

    action = "scope.changed"
    target_type = "scope"
    change_fields = SCOPE


class ScopeRetirementPlanned(Event):
    """A scope will be retired on a date; keys that hold it end then."""

    action = "scope.retirement-planned"
    target_type = "scope"
    severity = Severity.LOW
    change_fields = SCOPE


class ScopeRetired(Event):
    """A scope was retired."""

    action = "scope.retired"
    target_type = "scope"
    severity = Severity.LOW
    change_fields = SCOPE


class EnvironmentCreated(Event):
    """An environment was set up."""

    action = "environment.created"
    target_type = "environment"
    change_fields = ENVIRONMENT


class EnvironmentChanged(Event):
    """An environment's name or staleness limit changed."""

    action = "environment.changed"
    target_type = "environment"
    change_fields = ENVIRONMENT


class TemplateCreated(Event):
    """A template was offered."""

    action = "template.created"
    target_type = "template"
    change_fields = TEMPLATE


class TemplateChanged(Event):
    """A template's words or scopes changed."""

    action = "template.changed"
    target_type = "template"
    change_fields = TEMPLATE


class TemplateRetired(Event):
    """A template is no longer offered."""

    action = "template.retired"
    target_type = "template"
    change_fields = TEMPLATE


class PolicyVersioned(Event):
    """A new version of the rules came into force."""

    action = "policy.versioned"
    target_type = "policy"
    severity = Severity.LOW
    change_fields = POLICY


class PolicyProposed(Event):
    """Weaker production rules were proposed; a second administrator decides."""

    action = "policy-proposal.made"
    target_type = "policy-proposal"
    severity = Severity.LOW
    change_fields = PROPOSAL


class PolicyProposalDecided(Event):
    """A second administrator accepted or refused weaker rules."""

    action = "policy-proposal.decided"
    target_type = "policy-proposal"
    severity = Severity.LOW
    change_fields = PROPOSAL
