"""Shape the whole life of a key for one page."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys.approvals.evidence import SignatureState
from keys.models import ManagedKey
from keys.reports.lives import KeyLife
from portal.web.components import Stat, Term
from portal.web.event_pages import event_rows

SIGNATURES = {
    SignatureState.VERIFIED: (gettext_lazy("signed, and verified just now"), "success", "shield-check"),
    SignatureState.UNSIGNED: (gettext_lazy("confirmed with a code; not signed"), "neutral", "shield"),
    SignatureState.KEY_UNKNOWN: (
        gettext_lazy("signed, but the passkey's enrolment is not in the log"),
        "warning",
        "shield-alert",
    ),
    SignatureState.REFUSED: (gettext_lazy("the signature does not fit this decision"), "danger", "shield-x"),
}


def life_facts(life: KeyLife) -> dict[str, Any]:
    """Shape it (Any: what the template draws)."""
    refused = sum(event.outcome == "denied" for event in life.events)
    return {
        "key": life.key,
        "terms": _terms(life.key),
        "requests": life.requests,
        "decisions": [
            {"approval": each.approval, "words": words, "tone": tone, "icon": icon}
            for each in life.decisions
            for words, tone, icon in [SIGNATURES[each.signature]]
        ],
        "versions": life.versions,
        "transfers": life.transfers,
        "uses": life.uses,
        "rows": event_rows(life.events, life.names),
        "stats": [
            Stat(label=_("Events"), value=len(life.events)),
            Stat(label=_("Versions"), value=len(life.versions)),
            Stat(label=_("Accepted uses"), value=sum(use.accepted for use in life.uses)),
            Stat(label=_("Refused uses"), value=sum(use.refused for use in life.uses)),
            Stat(label=_("Refused acts"), value=refused, tone="warning" if refused else "neutral"),
        ],
    }


def _terms(key: ManagedKey) -> list[Term]:
    return [
        Term(name=_("Service"), value=key.service),
        Term(name=_("Owner team"), value=key.owner_team),
        Term(name=_("Recipient"), value=key.recipient),
        Term(name=_("Consumer"), value=key.consumer),
        Term(name=_("Scopes"), value=", ".join(key.scopes), mono=True),
        Term(name=_("Networks"), value=", ".join(key.networks) or _("any address"), mono=bool(key.networks)),
        Term(name=_("Cryptoperiod"), value=_("%(days)s days") % {"days": key.cryptoperiod_days}),
        Term(name=_("Policy"), value=key.policy),
    ]
