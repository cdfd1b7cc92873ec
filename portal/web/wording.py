"""Say short codes of the log and the tables in words: reasons, outcomes, origins, methods, standings."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, pgettext_lazy

from keys.approvals.difference import RiskCode, RiskNote
from keys.lifecycle.inventory import Standing
from keys.states import Access, KeyKind, RevocationReason, SuspensionReason, TeamRole
from keys.verification.reasons import Reason
from portal.web.components import Words

STANDINGS: Mapping[str, tuple[Promise, str, str]] = {
    Standing.WAITING: (_("To be claimed"), "hourglass", "info"),
    Standing.ACTIVE: (pgettext_lazy("key", "Active"), "circle-check", "success"),
    Standing.SUSPENDED: (pgettext_lazy("key", "Suspended"), "circle-pause", "warning"),
    Standing.UNCLAIMED: (_("No living version"), "circle-dashed", "warning"),
    Standing.EXPIRED: (pgettext_lazy("key", "Expired"), "timer-off", "neutral"),
    Standing.REVOKED: (pgettext_lazy("key", "Revoked"), "circle-off", "neutral"),
    Standing.COMPROMISED: (pgettext_lazy("key", "Compromised"), "siren", "danger"),
}

REASONS: Mapping[str, Promise] = {
    RevocationReason.KEY_COMPROMISE: _("the secret is known to others"),
    RevocationReason.AFFILIATION_CHANGED: _("whoever used it moved elsewhere"),
    RevocationReason.SUPERSEDED: _("replaced by a newer one"),
    RevocationReason.CESSATION_OF_OPERATION: _("no longer needed"),
    RevocationReason.PRIVILEGE_WITHDRAWN: _("the right to it was withdrawn"),
    SuspensionReason.INVESTIGATION: _("something is being looked into"),
    SuspensionReason.SUSPECTED_LEAK: _("it may have leaked"),
    SuspensionReason.UNUSED: _("nobody uses it"),
    SuspensionReason.OWNER_LEFT: _("whoever knew it left"),
    SuspensionReason.LEAK_REPORTED: _("a leak was reported"),
    SuspensionReason.SECOND_CLAIM: _("somebody tried to claim it a second time"),
    "claim-lapsed": _("it was not claimed in time"),
    "expired": _("its time was over"),
    "retired": _("it was retired after a rotation"),
    "rolled-back": _("the rotation was undone"),
    "handed-over-again": _("the client lost it and fetched another"),
    "second-token": _("it was asked for with two tokens: somebody else may hold the old secret"),
    "undone": _("somebody undid it"),
    "stopped": _("somebody stopped it"),
    "replaced": _("a newer rotation took its place"),
    "completed": _("the old version had ended"),
    "key-revoked": _("the key was revoked"),
    "key-suspended": _("the key was suspended"),
    "authorisation-over": _("the authorisation of the key was over"),
    "authorisation-ends-first": _("the key needs a renewal: no new version could live longer"),
    "version-waits-for-claim": _("a new version waited to be claimed already"),
}

REVOCATION_CHOICES: Mapping[str, tuple[Promise, Promise]] = {
    RevocationReason.KEY_COMPROMISE: (_("Key compromise"), _("The secret is, or may be, known to others.")),
    RevocationReason.SUPERSEDED: (_("Superseded"), _("Another key has taken its place.")),
    RevocationReason.CESSATION_OF_OPERATION: (_("Cessation of operation"), _("What used it is switched off.")),
    RevocationReason.AFFILIATION_CHANGED: (
        _("Affiliation changed"),
        _("The team or person behind it moved elsewhere."),
    ),
    RevocationReason.PRIVILEGE_WITHDRAWN: (_("Privilege withdrawn"), _("They should no longer be able to do this.")),
}

# What became of a key in an emergency: keys.lifecycle.emergency.
PASSED_OVER: Mapping[str, Promise] = {
    "stopped": _("Stopped for good"),
    "rotating": _("The next secret waits for its owner; the present one ends when that is claimed"),
    "already-ended": _("Had ended before"),
    "appeared-meanwhile": _("Not touched: fits the choice only since the list was shown"),
    "already-rotating": _("Left as it was: its next secret waits already, for a compromise"),
    "authorisation-over": _("Not replaced: its authorisation has ended, nothing of it works"),
    "key-suspended": _("Not replaced: suspended on purpose, nothing of it works"),
    "nothing-works": _("Not replaced: no secret of it works now"),
}

SUSPENSION_CHOICES: Mapping[str, tuple[Promise, Promise]] = {
    SuspensionReason.INVESTIGATION: (_("Investigation"), _("Something about its use has to be looked into first.")),
    SuspensionReason.SUSPECTED_LEAK: (_("Suspected leak"), _("The secret may be known to others.")),
    SuspensionReason.UNUSED: (_("Unused"), _("Nobody seems to use it; stopping it will show whether that is so.")),
    SuspensionReason.OWNER_LEFT: (_("Owner left"), _("Whoever was responsible for it is gone.")),
}

OUTCOMES: Mapping[str, Promise] = {
    "valid": _("Accepted"),
    Reason.UNKNOWN: _("Refused: unknown"),
    Reason.WRONG_ENVIRONMENT: _("Refused: another environment"),
    Reason.WRONG_SERVICE: _("Refused: another service"),
    Reason.NOT_YET_ACTIVE: _("Refused: not claimed yet"),
    Reason.EXPIRED: _("Refused: expired"),
    Reason.RETIRED: _("Refused: retired after a rotation"),
    Reason.SUSPENDED: _("Refused: suspended"),
    Reason.REVOKED: _("Refused: revoked"),
    Reason.COMPROMISED: _("Refused: compromised"),
    Reason.ROTATE_NOW: _("Refused for a moment: the old version ends soon"),
    Reason.NETWORK: _("Refused: from a network that is not allowed"),
    Reason.SCOPE: _("Refused: scope not granted"),
    Reason.RATE_LIMIT: _("Refused: too many in a minute"),
    Reason.QUOTA: _("Refused: too many in a day"),
    Reason.REPLAY: _("Refused: presented twice"),
    Reason.SIGNATURE_REQUIRED: _("Refused: the request has to be signed"),
    Reason.SIGNATURE_EXPIRED: _("Refused: signed too long ago"),
    Reason.INTEGRITY_FAILURE: _("Refused: its row was tampered with"),
}

KINDS: Mapping[str, Promise] = {
    KeyKind.BEARER: _("It presents a secret with each request (bearer key)"),
    KeyKind.HMAC_SHA256: _("It signs each request with a secret that never travels (HMAC-SHA-256)"),
    KeyKind.ED25519: _("It signs each request with a private key that only it has (Ed25519)"),
}

METHODS: Mapping[str, Promise] = {
    "passkey": _("signed with a passkey"),
    "presence": _("confirmed with a passkey, not signed"),
    "totp": _("confirmed with a code from an app, not signed"),
}

ACCESS_HEADINGS: Mapping[str, Promise] = {
    Access.READ: pgettext_lazy("access", "Read"),
    Access.WRITE: pgettext_lazy("access", "Write"),
    Access.ADMIN: pgettext_lazy("access", "Administer"),
}

TEAM_ROLES: Mapping[str, Promise] = {
    TeamRole.DEVELOPER: _("Developer"),
    TeamRole.APPROVER: _("Approver"),
    TeamRole.LEAD: _("Lead"),
}

RISK_NOTES: Mapping[str, tuple[Promise, str]] = {
    RiskCode.CRITICAL_SCOPE: (_("Critical scope: %(scopes)s."), "danger"),
    RiskCode.PRODUCTION_WRITE: (_("It can change things in production: %(scopes)s."), "danger"),
    RiskCode.ADMIN_ACCESS: (_("It can administer the service: %(scopes)s."), "danger"),
    RiskCode.FIRST_TIME: (_("The team has no key for this service in this environment yet."), "warning"),
    RiskCode.LONG_AUTHORISED: (_("Authorised for %(days)s days, which is more than 90."), "warning"),
    RiskCode.LONG_CRYPTOPERIOD: (_("One secret would live %(days)s days, which is more than 90."), "warning"),
    RiskCode.ANY_NETWORK: (_("It may be used from any address in production."), "warning"),
    RiskCode.BEYOND_TEMPLATE: (_("More than its template offers: %(scopes)s."), "warning"),
    RiskCode.SELF_FETCH: (_("It may fetch its own next version."), "warning"),
}


def reason_words(code: str) -> Words:
    """Say why something ended or stopped; a reason that people typed is its own words."""
    return REASONS.get(code, code)


def outcome_words(outcome: str) -> Words:
    """Say how a verification ended."""
    return OUTCOMES.get(outcome) or _("Refused: %(code)s") % {"code": outcome.replace("_", " ")}


def risk_words(note: RiskNote) -> tuple[str, str]:
    """Say what to look at twice, and in which tone."""
    words, tone = RISK_NOTES[note.code]
    return str(words) % note.params if note.params else str(words), tone


def service_in(service: object, environment: object) -> str:
    """Name a service in one of its environments, as every page does."""
    return str(_("%(service)s in %(environment)s")) % {"service": service, "environment": environment}


def days_in_words(count: int) -> str:
    """Say a number of days."""
    return ngettext("%(count)d day", "%(count)d days", count) % {"count": count}
