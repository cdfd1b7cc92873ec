"""Show administrators which verifiers there are, how far behind each may be, and the receipts of stops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit.actor import Actor
from keys.verification.watching.overview import ToldReceipt, VerifierState, read_receipts, read_verifiers
from keys.verification.watching.receipts import How
from portal.web.doors import page

HOW: Final[Mapping[str, Promise]] = {
    How.ACKNOWLEDGED: _("acknowledged"),
    How.LEASE_ENDED: _("its lease ran out"),
    How.STOPPED: _("had stopped"),
}
ACTIONS: Final[Mapping[str, Promise]] = {
    "revoked": _("revoked"),
    "suspended": _("suspended"),
    "leak-reported": _("suspended: it leaked"),
    "emergency": _("stopped in an emergency"),
}


@dataclass(frozen=True)
class ReceiptLine:
    """One receipt on a page."""

    told: ToldReceipt

    @property
    def action(self) -> Promise | str:
        return ACTIONS.get(self.told.receipt.action, self.told.receipt.action)

    @property
    def milliseconds(self) -> int:
        return round(self.told.took.total_seconds() * 1000)

    @property
    def words(self) -> list[tuple[str, Promise | str]]:
        return [(word["name"], HOW.get(word["how"], word["how"])) for word in self.told.words]


@dataclass(frozen=True)
class VerifierLine:
    """One verifier on the page."""

    state: VerifierState

    @property
    def seconds(self) -> str:
        return f"{self.state.lag.total_seconds():.1f}"


@page
def verifiers(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Show leases, lag and receipts."""
    lines = [VerifierLine(each) for each in read_verifiers(actor=actor)]
    receipts = [ReceiptLine(each) for each in read_receipts(actor=actor)]
    return render(http, "web/verifiers.html", {"lines": lines, "receipts": receipts})
