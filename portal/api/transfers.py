"""Pass keys from one team to another: one side offers, the other accepts."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from keys.errors import Invalid
from keys.lifecycle.handover import accept_transfer, decline_transfer, offer_transfer, withdraw_transfer
from keys.models import KeyTransfer, Person, Team
from portal.api.doors import Door, found, offered
from portal.api.fields import Nothing
from portal.api.inputs import AcceptanceBody, TransferBody
from portal.api.managed_keys import KeyDoor
from portal.api.outputs import TransferOut, page_of
from portal.api.parameters import PAGING, choice, identifier

READ = ("keys:read",)
TRANSFERS = (
    *PAGING,
    identifier("key", "managed_key_id", "Only of this key."),
    choice("outcome", "outcome", ("accepted", "declined", "withdrawn", "lapsed"), "Only with this outcome."),
)
TransferPage = page_of(TransferOut)
SEEN_BY = "developer approver administrator responder auditor"


class TransferDoor(Door):
    """Find a transfer among those that the actor may see."""

    def row(self, text: str) -> Any:  # Any: see `found`
        """Return the transfer."""
        return found(self.rows(), text)

    def rows(self) -> Any:  # Any: a queryset of transfers
        """All that may be seen."""
        return KeyTransfer.objects.visible_to(self.actor).select_related(
            "from_team", "to_team", "offered_by", "managed_key__environment"
        )

    def shown(self, row: KeyTransfer) -> Response:
        """Answer with the transfer as it is now."""
        return self.show(TransferOut, row)


class Transfers(TransferDoor):
    """All transfers."""

    @offered(
        "transfers_list", gives=TransferPage, scopes=READ, yes=f"{SEEN_BY} program stranger", reads=TRANSFERS,
        tag="transfers",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """List the transfers from and to your teams."""
        return self.page(TransferOut, self.rows(), TRANSFERS)


class Offer(KeyDoor):
    """Offer."""

    @offered(
        "keys_offer_transfer", takes=TransferBody, gives=TransferOut, status=201, yes="developer administrator",
        hidden="stranger", tag="transfers",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Offer a key to another team, for seven days. People only, with a step-up for `handover`."""
        row, body = self.row(id), self.read(TransferBody)
        team = Team.objects.visible_to(self.actor).living().filter(slug=body["to_team"]).first()
        if team is None:
            raise Invalid.field("to_team", "unknown_team")
        offer = offer_transfer(row, to_team=team, actor=self.actor, comment=body["comment"])
        return self.show(TransferOut, offer, status=201)


class Acceptance(TransferDoor):
    """Accept."""

    @offered(
        "transfers_accept", takes=AcceptanceBody, gives=TransferOut, yes="approver", hidden="stranger",
        tag="transfers",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Take a key over for the team you lead, and name who claims its next secrets. People only, with a step-up."""
        row, body = self.row(id), self.read(AcceptanceBody)
        recipient = Person.objects.visible_to(self.actor).active().filter(pk=body["recipient"]).first()
        if recipient is None:
            raise Invalid.field("recipient", "not_in_owner_team")
        return self.shown(accept_transfer(row, recipient=recipient, actor=self.actor))


class Refusal(TransferDoor):
    """Decline."""

    @offered(
        "transfers_decline", takes=Nothing, gives=TransferOut, yes="approver", hidden="stranger",
        tag="transfers",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Say no to an offered key. People only, with a step-up for `handover`."""
        row = self.row(id)
        self.read(Nothing)
        return self.shown(decline_transfer(row, actor=self.actor))


class Retraction(TransferDoor):
    """Take back."""

    @offered(
        "transfers_withdraw", takes=Nothing, gives=TransferOut, yes="developer administrator",
        hidden="stranger", tag="transfers",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Take an offer back. People only, with a step-up for `handover`."""
        row = self.row(id)
        self.read(Nothing)
        return self.shown(withdraw_transfer(row, actor=self.actor))
