"""Say the rules of a policy in sentences."""

from __future__ import annotations

from datetime import timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from keys.policy.bounds import Rules
from portal.templatetags.times import duration


def policy_sentences(rules: Rules, *, approver_team: str = "") -> list[str]:
    """List what a policy asks for and forbids, the approvals first."""
    found = [_approvals(rules)]
    if rules.approver_team_id and approver_team:
        found.append(_("Besides the service's own team, approvers of %(team)s decide.") % {"team": approver_team})
    found += [
        _("A secret lives for at most %(days)s days.") % {"days": rules.max_cryptoperiod_days},
        _("A key is authorised for at most %(days)s days; after that it needs a renewal.")
        % {"days": rules.max_authorised_days},
        _("Networks have to be named.") if rules.networks_required else _("Networks may be named."),
    ]
    if rules.ticket_pattern:
        found.append(_("A ticket is needed that looks like %(pattern)s.") % {"pattern": rules.ticket_pattern})
    found += [
        ngettext(
            "A request lapses after %(days)s day without a decision.",
            "A request lapses after %(days)s days without a decision.",
            rules.lapse_days,
        )
        % {"days": rules.lapse_days},
        ngettext(
            "A secret has to be claimed within %(hours)s hour.",
            "A secret has to be claimed within %(hours)s hours.",
            rules.claim_hours,
        )
        % {"hours": rules.claim_hours},
        _("Old and new secret work side by side for at most %(most)s.")
        % {"most": duration(timedelta(hours=rules.longest_overlap_hours))},
    ]
    if rules.self_fetch_allowed:
        found.append(
            _("A client may fetch its next secret itself, from the networks of the key, where that was approved.")
        )
    if rules.deadline_wins:
        found.append(_("When a rotation is due, the old secret ends even if nobody took the new one."))
    if rules.brownouts:
        found.append(_("Before it ends, the old secret is refused for some seconds now and then, as a warning."))
    if rules.signature_required:
        found.append(_("Every request made with a key must be signed: a bearer key is not enough here."))
    elif rules.signed_scopes:
        found.append(
            _("Requests must be signed, a bearer key is not enough, for: %(scopes)s.")
            % {"scopes": ", ".join(rules.signed_scopes)}
        )
    return found


def _approvals(rules: Rules) -> str:
    if not rules.approvals_required:
        return _("No approval is needed.")
    words = ngettext(
        "%(count)s person has to approve.", "%(count)s people have to approve.", rules.approvals_required
    ) % {"count": rules.approvals_required}
    if not rules.service_approvals_required:
        return words
    side = ngettext(
        "At least %(count)s of them from the service's own team.",
        "At least %(count)s of them from the service's own team.",
        rules.service_approvals_required,
    ) % {"count": rules.service_approvals_required}
    return f"{words} {side}"
