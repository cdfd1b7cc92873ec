"""Let administrators find every key and version, and stop them, one or many, with a look before and a receipt after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from audit import clock
from audit.actor import Actor
from keys.admin.acts import Act, ActForm, Terms, Words
from keys.admin.cells import Table, badge, drawn, link, moment, mono
from keys.admin.pages import OperationAdmin
from keys.lifecycle.inventory import Standing, line_of, standing_as
from keys.lifecycle.revocation import reinstate_key, revoke_key, suspend_key
from keys.models import KeyVersion, ManagedKey
from keys.states import RevocationReason, SuspensionReason, VersionState
from keys.verification.watching.receipts import stop_with_receipt

KEYS = gettext_lazy("Keys")
TONES = {
    Standing.ACTIVE: "success",
    Standing.WAITING: "info",
    Standing.SUSPENDED: "warning",
    Standing.UNCLAIMED: "warning",
    Standing.COMPROMISED: "danger",
}
SUSPENSIONS = (
    (SuspensionReason.INVESTIGATION, gettext_lazy("Investigation: something about it has to be understood first")),
    (SuspensionReason.SUSPECTED_LEAK, gettext_lazy("Suspected leak: the secret may be known to others")),
    (SuspensionReason.UNUSED, gettext_lazy("Unused: nobody seems to need it")),
    (SuspensionReason.OWNER_LEFT, gettext_lazy("Owner left: nobody answers for it")),
)
REASONS = (
    (RevocationReason.KEY_COMPROMISE, gettext_lazy("Key compromise: the secret is, or may be, known to others")),
    (RevocationReason.SUPERSEDED, gettext_lazy("Superseded: another key has taken its place")),
    (RevocationReason.CESSATION_OF_OPERATION, gettext_lazy("Cessation of operation: what used it is switched off")),
    (RevocationReason.AFFILIATION_CHANGED, gettext_lazy("Affiliation changed: the team or person moved elsewhere")),
    (RevocationReason.PRIVILEGE_WITHDRAWN, gettext_lazy("Privilege withdrawn: they should no longer be able to")),
)


class SuspendForm(ActForm):
    """Why a key stops for now."""

    reason = forms.ChoiceField(
        label=gettext_lazy("Why"),
        choices=[("", gettext_lazy("Choose")), *((str(value), words) for value, words in SUSPENSIONS)],
    )


class RevokeForm(ActForm):
    """Why a key ends, in the words of RFC 5280."""

    reason = forms.ChoiceField(
        label=gettext_lazy("Why"),
        choices=[("", gettext_lazy("Choose")), *((str(value), words) for value, words in REASONS)],
    )


class OnKeys(Act[ManagedKey]):
    """What acts on one or several keys have in common."""

    in_bulk = as_table = True
    verb: Words

    def title(self, rows: Sequence[ManagedKey]) -> Words:
        """What would be done, and to how many where."""
        if len(rows) == 1:
            return f"{self.label}: {rows[0]} · {rows[0].name}"
        places = Counter(str(row.environment) for row in rows)
        counted = ", ".join(f"{count} {place}" for place, count in sorted(places.items()))
        return f"{self.label}: {counted}"

    def preview(self, row: ManagedKey, *, actor: Actor, at: datetime) -> Terms:
        """What the key is, where it works and when it was last used."""
        line = line_of(row, list(row.versions.order_by("-sequence")), at=at)
        used = row.versions.aggregate(at=models.Max("usage__last_at"))["at"]
        return [
            (_("Name"), row.name),
            (_("Service"), row.service),
            (_("Environment"), badge("environment", row.environment)),
            (_("Owner team"), row.owner_team),
            (_("Consumer"), row.consumer),
            (_("State"), badge(TONES.get(line.standing, "neutral"), line.standing)),
            (_("Last used"), moment(used)),
        ]

    def phrase(self, rows: Sequence[ManagedKey]) -> str:
        """What is typed before something stops: the key, or the count."""
        if len(rows) == 1:
            return str(rows[0])
        words = ngettext("%(verb)s %(count)s key", "%(verb)s %(count)s keys", len(rows))
        return words % {"verb": self.verb, "count": len(rows)}


class Suspend(OnKeys):
    """Stop keys until somebody reinstates them."""

    name, label, icon, tone = "suspend", gettext_lazy("Suspend"), "circle-pause", "danger"
    purpose, form, done, verb = "suspend", SuspendForm, gettext_lazy("Suspended."), gettext_lazy("suspend")

    def is_offered(self, row: ManagedKey) -> bool:
        """While something of it could verify."""
        return row.revoked_at is None

    def consequences(self, rows: Sequence[ManagedKey]) -> list[Words]:
        """What follows."""
        return [
            _("Every verification that starts after the answer is refused, for all versions."),
            _("It can be reinstated; in production by somebody else than you."),
        ]

    def run(self, row: ManagedKey | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        suspend_key(row, reason=SuspensionReason(cleaned["reason"]), actor=actor)
        stop_with_receipt(row, action="suspended")
        return row


class Revoke(OnKeys):
    """End keys before their time."""

    name, label, icon, tone = "revoke", gettext_lazy("Revoke"), "octagon-x", "danger"
    purpose, form, done, verb = "revoke", RevokeForm, gettext_lazy("Revoked, for good."), gettext_lazy("revoke")
    is_offered = Suspend.is_offered

    def consequences(self, rows: Sequence[ManagedKey]) -> list[Words]:
        """What follows."""
        return [
            _("Every version ends now and for ever; no verification that starts after the answer succeeds."),
            _("It cannot be undone. Whoever needs access asks for a new key."),
            _("The owners are told."),
        ]

    def run(self, row: ManagedKey | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        revoke_key(row, reason=RevocationReason(cleaned["reason"]), actor=actor)
        stop_with_receipt(row, action="revoked")
        return row


class Reinstate(OnKeys):
    """Let a suspended key verify again."""

    name, label, icon, in_bulk = "reinstate", gettext_lazy("Reinstate"), "circle-play", False
    purpose, done, verb = "reinstate", gettext_lazy("It verifies again."), gettext_lazy("reinstate")

    def is_offered(self, row: ManagedKey) -> bool:
        """While a version of it is suspended."""
        return row.revoked_at is None and row.versions.filter(state=VersionState.SUSPENDED).exists()

    def run(self, row: ManagedKey | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        reinstate_key(row, actor=actor)
        return row


class StandingFilter(admin.SimpleListFilter):
    """Keys by how they stand now, by the clock."""

    title, parameter_name = gettext_lazy("state"), "standing"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """The standings."""
        return [(str(each), str(each)) for each in Standing]

    def queryset(self, request: Any, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """Those that stand so."""
        if self.value() not in set(Standing):
            return queryset
        return standing_as(queryset, Standing(str(self.value())), at=clock.now())


@admin.register(ManagedKey)
class ManagedKeyAdmin(OperationAdmin[ManagedKey]):
    """Every key, living or not."""

    group, target_type = KEYS, "key"
    many = gettext_lazy("Keys")
    acts = (Suspend(), Reinstate(), Revoke())
    shown = (
        "name",
        "owner_team",
        "recipient",
        "consumer",
        "service",
        "request",
        "policy",
        "kind",
        "scopes",
        "networks",
        "cryptoperiod_days",
        "authorised_until",
        "verifies_service",
        "verifies_environment",
        "created_at",
        "revoked_at",
        "revoked_reason",
    )
    list_display = (
        "number_shown",
        "standing_shown",
        "service",
        "environment_shown",
        "owner_team",
        "consumer",
        "until_shown",
    )
    list_select_related = ("service", "environment", "owner_team", "recipient", "request", "policy")
    list_filter = (StandingFilter, "environment", "service", "owner_team", "origin")
    search_fields = (
        "=number",
        "name",
        "consumer",
        "versions__kid",
        "recipient__name",
        "service__name",
        "owner_team__name",
    )
    search_help_text = gettext_lazy("Number, name, consumer, kid, recipient, service, team")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)

    def get_queryset(self, request: Any) -> models.QuerySet[ManagedKey]:
        """With the versions and the time, for the state in the list."""
        newest_first = models.Prefetch("versions", KeyVersion.objects.order_by("-sequence"))
        return super().get_queryset(request).annotate(read_at=Now()).prefetch_related(newest_first)

    @admin.display(description=gettext_lazy("key"), ordering="number")
    def number_shown(self, row: ManagedKey) -> str:
        """The number and the name."""
        return f"{row} · {row.name}"

    @admin.display(description=gettext_lazy("state"))
    def standing_shown(self, row: Any) -> object:
        """How it stands by the clock of the list."""
        standing = line_of(row, list(row.versions.all()), at=row.read_at).standing
        return badge(TONES.get(standing, "neutral"), standing)

    @admin.display(description=gettext_lazy("environment"), ordering="environment")
    def environment_shown(self, row: ManagedKey) -> object:
        """The place, with its danger."""
        return badge("environment", row.environment)

    @admin.display(description=gettext_lazy("authorised until"), ordering="authorised_until")
    def until_shown(self, row: ManagedKey) -> object:
        """When it ends."""
        return moment(row.authorised_until)

    def title(self, row: ManagedKey) -> str:
        """The number and the name."""
        return f"{row} · {row.name}"

    def facts(self, row: ManagedKey) -> Terms:
        """The columns, and how it stands."""
        return [
            (_("State"), self.standing_shown(row)),
            (_("Environment"), badge("environment", row.environment)),
            (_("Origin"), badge("origin", row.origin)),
            *super().facts(row),
        ]

    def tables(self, row: ManagedKey) -> list[Table]:
        """Versions and offers."""
        return [
            Table(
                title=_("Versions"),
                heads=(
                    _("Version"),
                    _("Kid"),
                    _("State"),
                    _("Claimed"),
                    _("Expires"),
                    _("Retires"),
                    _("Ended because"),
                ),
                rows=[
                    (
                        link(each, f"v{each.sequence}"),
                        mono(each.kid),
                        badge("state", each.state),
                        drawn(each.claimed_at),
                        drawn(each.expires_at),
                        drawn(each.retire_at),
                        each.ended_reason or "—",
                    )
                    for each in row.versions.all()
                ],
            ),
            Table(
                title=_("Offers to other teams"),
                heads=(_("From"), _("To"), _("Offered by"), _("When"), _("Outcome")),
                rows=[
                    (
                        link(each, each.from_team),
                        each.to_team,
                        each.offered_by,
                        moment(each.created_at),
                        each.outcome or "—",
                    )
                    for each in row.transfers.select_related("from_team", "to_team", "offered_by", "managed_key")
                ],
                empty=_("Never offered."),
            ),
        ]


@admin.register(KeyVersion)
class KeyVersionAdmin(OperationAdmin[KeyVersion]):
    """Every secret that ever was, without it."""

    group, target_type = KEYS, "version"
    many = gettext_lazy("Versions")
    shown = (
        "managed_key",
        "sequence",
        "created_at",
        "claim_until",
        "claimed_at",
        "claimed_by",
        "activated_at",
        "expires_at",
        "retire_at",
        "suspended_at",
        "suspended_reason",
        "ended_at",
        "ended_reason",
        "digest_algorithm",
    )
    list_display = ("__str__", "kid_shown", "state_shown", "claimed_by", "expires_at", "ended_reason")
    list_select_related = ("managed_key", "claimed_by")
    list_filter = ("state", "managed_key__environment", "managed_key__service")
    search_fields = ("kid", "=managed_key__number", "managed_key__name", "claimed_by__name")
    search_help_text = gettext_lazy("Kid, number or name of the key, who claimed it")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)

    @admin.display(description="kid", ordering="kid")
    def kid_shown(self, row: KeyVersion) -> object:
        """The public identifier."""
        return mono(row.kid)

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_shown(self, row: KeyVersion) -> object:
        """The state of NIST SP 800-57."""
        return badge("state", row.state)

    def facts(self, row: KeyVersion) -> Terms:
        """The columns; the digest and the row MAC are nobody's reading."""
        used = row.usage.aggregate(first=models.Min("hour"), last=models.Max("last_at"))
        return [
            (_("Kid"), mono(row.kid)),
            (_("State"), badge("state", row.state)),
            *super().facts(row),
            (_("First used"), drawn(used["first"])),
            (_("Last used"), drawn(used["last"])),
        ]
