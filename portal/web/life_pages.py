"""Shape the whole life of a key for one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Model
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from keys.approvals.evidence import SignatureState
from keys.models import ManagedKey
from keys.reports.lives import KeyLife
from portal.web.components import Stat, Term
from portal.web.event_pages import EventRow, event_rows

SIGNATURES = {
    SignatureState.VERIFIED: (gettext_lazy("signed, and verified just now"), "success", "shield-check"),
    SignatureState.UNSIGNED: (gettext_lazy("confirmed, not signed"), "neutral", "shield"),
    SignatureState.KEY_UNKNOWN: (
        gettext_lazy("signed, but the passkey's enrolment is not in the log"),
        "warning",
        "shield-alert",
    ),
    SignatureState.REFUSED: (gettext_lazy("the signature does not fit this decision"), "danger", "shield-x"),
}

_DECIDED = ("request.approved", "request.denied", "request.withdrawn", "request.lapsed")
_ENDED = ("version.compromised", "version.deactivated", "version.destroyed")


class Moments:
    """The events of a life by what they are about, so that each line of the page opens the event that proves it."""

    def __init__(self, life: KeyLife, rows: Sequence[EventRow]) -> None:
        self._found = {(event.target_id, event.action): row for event, row in zip(life.events, rows, strict=True)}

    def of(self, row: Model, *actions: str) -> EventRow | None:
        """The last event of these actions about `row`."""
        found = [self._found.get((str(row.pk), action)) for action in actions]
        return next((each for each in found if each is not None), None)


def life_facts(life: KeyLife) -> dict[str, Any]:
    """Shape it (Any: what the template draws)."""
    refused = sum(event.outcome == "denied" for event in life.events)
    rows = event_rows(life.events, life.names, life.seals)
    moments = Moments(life, rows)
    return {
        "key": life.key,
        "terms": _terms(life.key),
        "created": moments.of(life.key, "key.created"),
        "revoked": moments.of(life.key, "key.revoked"),
        "requests": [
            {"request": each, "asked": moments.of(each, "request.submitted"), "decided": moments.of(each, *_DECIDED)}
            for each in life.requests
        ],
        "decisions": [
            {
                "approval": each.approval,
                "words": words,
                "tone": tone,
                "icon": icon,
                "moment": moments.of(each.approval, "approval.given"),
            }
            for each in life.decisions
            for words, tone, icon in [SIGNATURES[each.signature]]
        ],
        "versions": [
            {
                "version": each,
                "claimed": moments.of(each, "version.issued"),
                "suspended": moments.of(each, "version.suspended"),
                "ended": moments.of(each, *_ENDED),
            }
            for each in life.versions
        ],
        "transfers": [
            {"transfer": each, "moment": moments.of(each, "transfer.decided", "transfer.offered")}
            for each in life.transfers
        ],
        "uses": life.uses,
        "rows": rows,
        "has_older": life.has_older,
        "stats": [
            Stat(label=_("Events"), value=len(life.events)),
            Stat(label=_("Of them sealed"), value=len(life.seals)),
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
