"""Ask for what a request says, with the bounds of the policy beside each field."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict
from uuid import UUID

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys.approvals.content import Content
from keys.approvals.drafting import Draft
from keys.catalogue.own_service import OWN_SERVICE, VERIFY_SCOPE
from keys.lifecycle.minting import shown_key
from keys.models import Environment, KeyTemplate, Person, Scope, Service, Team
from keys.policy.bounds import Rules
from keys.policy.rotation_plan import USUAL_OVERLAP, plan_in
from keys.states import KeyKind
from portal.web.periods import Days, DaysField, day_choices
from portal.web.plan_form import PlanForm, overlap_within
from portal.web.wording import KINDS

USUAL_CRYPTOPERIOD, USUAL_AUTHORISATION = 90, 180
NOBODY = UUID(int=0)  # where None is whoever asks
_BETWEEN_NETWORKS = re.compile(r"[\s,;]+")


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What can be asked for in one service and environment, and by which of the asker's teams."""

    service: Service
    environment: Environment
    rules: Rules
    scopes: Sequence[Scope]
    templates: Sequence[KeyTemplate]
    members: Mapping[Team, Sequence[Person]]
    own_services: Sequence[Service] = ()

    @property
    def asks_for_verifying(self) -> bool:
        return self.service.slug == OWN_SERVICE and any(scope.name == VERIFY_SCOPE for scope in self.scopes)


class PeriodWish(TypedDict):
    """What a renewal asks for, as the operation takes it."""

    authorised_days: int
    purpose: str
    ticket: str


class PeriodForm(forms.Form):
    """How long a key may be used, why, and the ticket: what a renewal asks for."""

    authorised_days = DaysField(label=gettext_lazy("Authorised for"))
    purpose = forms.CharField(
        label=gettext_lazy("What it is for"),
        max_length=2000,
        help_text=gettext_lazy("Approvers decide by this. Say what the program does and why it needs this."),
        widget=forms.Textarea(attrs={"rows": 4}),
    )
    ticket = forms.CharField(label=gettext_lazy("Ticket"), required=False, max_length=60)

    def __init__(self, *arguments: Any, rules: Rules, **named: Any) -> None:  # Any: passed on to Django
        super().__init__(*arguments, **named)
        self.rules = rules
        ticket = self.fields["ticket"]
        ticket.required = bool(rules.ticket_pattern)
        if rules.ticket_pattern:
            ticket.help_text = _("The policy asks for a ticket that looks like %(pattern)s.") % {
                "pattern": rules.ticket_pattern
            }
        else:
            ticket.help_text = _("Where the work is described, if there is such a place.")

    def _chosen(self, name: str) -> str:
        return str(self[name].value() or "")

    def wish(self) -> PeriodWish:
        """Return what was typed; of what cannot be read, and is said to be so, something else that makes nothing else wrong."""
        typed = self.cleaned_data
        return {
            "authorised_days": typed.get("authorised_days", self.rules.max_authorised_days),
            "purpose": typed.get("purpose", ""),
            "ticket": typed.get("ticket", ""),
        }

    def authorised_choices(self) -> list[Days]:
        """The periods one can choose; forbidden ones stay visible with the reason."""
        return day_choices(self.rules.max_authorised_days, chosen=self._chosen("authorised_days"))


class WishForm(PlanForm, PeriodForm):
    """Everything a request for a new key says."""

    name = forms.CharField(
        label=gettext_lazy("Name of the key"),
        max_length=80,
        help_text=gettext_lazy("Such as “Nightly settlement report”."),
    )
    consumer = forms.CharField(
        label=gettext_lazy("Consumer"),
        max_length=120,
        help_text=gettext_lazy("The program that will use it, as your team calls it."),
    )
    owner_team = forms.ChoiceField(
        label=gettext_lazy("Owner team"), help_text=gettext_lazy("It answers for the key and may stop it at any time.")
    )
    recipient = forms.ChoiceField(
        label=gettext_lazy("Who claims the secret"),
        help_text=gettext_lazy("One person of the owner team. Nobody else can see the secret."),
    )
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("Scopes"), error_messages={"required": gettext_lazy("Choose at least one.")}
    )
    template = forms.CharField(required=False, max_length=120, widget=forms.HiddenInput)
    cryptoperiod_days = DaysField(label=gettext_lazy("Each secret lives for"))
    networks = forms.CharField(
        label=gettext_lazy("Networks"),
        required=False,
        max_length=2000,
        help_text=gettext_lazy("One a line, such as 10.20.0.0/16. Left empty, any address may use the key."),
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "class": "mono"}),
    )
    self_fetch = forms.BooleanField(
        label=gettext_lazy("The client fetches its next secrets itself"),
        required=False,
        help_text=gettext_lazy(
            "With the old secret, while that works, and only from the networks above. Otherwise a person claims each one."
        ),
    )
    kind = forms.ChoiceField(label=gettext_lazy("How the program proves itself"), widget=forms.RadioSelect)
    public_key = forms.CharField(
        label=gettext_lazy("Public key of the program"),
        required=False,
        max_length=2000,
        help_text=gettext_lazy(
            "For a key pair: PEM, JWK or OpenSSH, Ed25519. It can also be given at the claim. The private key stays where it is."
        ),
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "class": "mono", "data-never-kept": ""}),
    )
    verifies_service = forms.ChoiceField(
        label=gettext_lazy("Verifies keys of"),
        required=False,
        help_text=gettext_lazy("A key with the scope keys:verify may ask about keys of one service of your team."),
    )

    # As the page has them: what is missing is told in the order in which it is met.
    field_order = (
        "scopes",
        "verifies_service",
        "cryptoperiod_days",
        "authorised_days",
        "kind",
        "public_key",
        "name",
        "consumer",
        "owner_team",
        "recipient",
        "networks",
        "every_days",
        "overlap",
        "self_fetch",
        "purpose",
        "ticket",
    )

    def __init__(self, *arguments: Any, offer: Offer, asker: str, **named: Any) -> None:  # Any: passed on to Django
        super().__init__(*arguments, rules=offer.rules, **named)
        self.offer = offer
        self._choose("owner_team", [(team.slug, team.name) for team in offer.members])
        self._choose("recipient", _recipients(offer.members, asker=asker))
        self._choose("scopes", [(scope.name, scope.name) for scope in offer.scopes])
        if offer.rules.networks_required:
            self.fields["networks"].required = True
            self.fields["networks"].help_text = _("One a line, such as 10.20.0.0/16. The policy asks for at least one.")
        self.offer_plans(offer.rules)
        if not offer.rules.self_fetch_allowed:
            del self.fields["self_fetch"]
        if offer.rules.kinds == (KeyKind.BEARER,):
            del self.fields["kind"], self.fields["public_key"]
        else:
            self._choose("kind", [(kind, KINDS[kind]) for kind in offer.rules.kinds])
            if KeyKind.ED25519 not in offer.rules.kinds:
                del self.fields["public_key"]
        if offer.asks_for_verifying:
            services = [(service.slug, service.name) for service in offer.own_services]
            self._choose("verifies_service", [("", _("Nothing; not a verifying key")), *services])
        else:
            del self.fields["verifies_service"]

    def _choose(self, name: str, choices: Any) -> None:  # Any: Django's nested choices
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    def cryptoperiod_choices(self) -> list[Days]:
        """The periods one can choose; forbidden ones stay visible with the reason."""
        return day_choices(self.rules.max_cryptoperiod_days, chosen=self._chosen("cryptoperiod_days"))

    def clean_networks(self) -> tuple[str, ...]:
        """Split what was typed; whether each is a network is the operation's question."""
        return networks_in(self.cleaned_data["networks"])

    def forget_public_key(self) -> None:
        """Do not show what was typed there again: it was refused, and may be a private key."""
        assert isinstance(self.data, QueryDict)
        self.data = self.data.copy()
        self.data["public_key"] = ""

    def draft(self) -> Draft:
        """Return the wish as the operation takes it; of what cannot be read, and is said to be so, as `wish` does."""
        typed = self.cleaned_data
        verifies = typed.get("verifies_service", "")
        return Draft(
            service=self.offer.service.slug,
            environment=self.offer.environment.tag,
            owner_team=typed.get("owner_team", ""),
            name=typed.get("name", ""),
            consumer=typed.get("consumer", ""),
            cryptoperiod_days=typed.get("cryptoperiod_days", self.rules.max_cryptoperiod_days),
            scopes=tuple(typed.get("scopes", ())),
            template=typed.get("template", ""),
            networks=typed.get("networks", networks_in(str(self["networks"].value() or ""))),
            self_fetch=typed.get("self_fetch", False),
            overlap=typed.get("overlap", ""),
            every_days=typed.get("every_days"),
            kind=typed.get("kind", KeyKind.BEARER),
            public_key=typed.get("public_key", ""),
            recipient=UUID(typed["recipient"]) if "recipient" in typed else NOBODY,
            verifies_service=verifies,
            verifies_environment=self.offer.environment.tag if verifies else "",
            **self.wish(),
        )


def networks_in(text: str) -> tuple[str, ...]:
    """Split networks as people separate them: lines, blanks, commas."""
    return tuple(part for part in _BETWEEN_NETWORKS.split(text) if part)


def first_values(offer: Offer, *, template: KeyTemplate | None, asker: str) -> dict[str, object]:
    """Begin with the template's scopes, the asker's own team and modest periods."""
    rules = offer.rules
    authorised = min(USUAL_AUTHORISATION, rules.max_authorised_days)
    mine = [team for team, people in offer.members.items() if any(str(person.pk) == asker for person in people)]
    return {
        "owner_team": mine[0].slug if mine else "",
        "recipient": asker,
        "template": template.name if template else "",
        "scopes": list(template.scopes) if template else [],
        "kind": rules.kinds[0],
        "overlap": overlap_within(USUAL_OVERLAP, rules),
        "authorised_days": authorised,
        "cryptoperiod_days": min(USUAL_CRYPTOPERIOD, rules.max_cryptoperiod_days, authorised),
    }


def values_of(content: Content, *, rules: Rules, purpose: str) -> dict[str, object]:
    """Begin with what a request says already."""
    plan = plan_in(content.rotation)
    return {
        "name": content.name,
        "consumer": content.consumer,
        "owner_team": content.owner_team,
        "recipient": content.recipient,
        "scopes": list(content.scopes),
        "template": content.template,
        "networks": "\n".join(content.networks),
        "self_fetch": content.self_fetch,
        "overlap": overlap_within(plan.overlap, rules),
        "every_days": plan.every_days,
        "kind": content.kind,
        "public_key": shown.pem if (shown := shown_key(content.public_key or "")) else "",
        "cryptoperiod_days": content.cryptoperiod_days,
        "authorised_days": content.authorised_days,
        "purpose": purpose,
        "ticket": content.ticket,
        "verifies_service": (content.verifies or {}).get("service", ""),
    }


def _recipients(members: Mapping[Team, Sequence[Person]], *, asker: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Group people by team; whoever asks is marked."""
    you = _("%(name)s (you)")
    return [
        (
            team.name,
            [(str(each.pk), you % {"name": each.name} if str(each.pk) == asker else each.name) for each in people],
        )
        for team, people in members.items()
    ]
