"""Say where events are sent, and see what became of them. Programs do not look: an address is often a secret."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from keys.errors import Invalid
from keys.models import Team, WebhookDelivery, WebhookEndpoint
from keys.states import DeliveryState
from keys.webhooks.again import redeliver, send_test_event
from keys.webhooks.chats import add_chat
from keys.webhooks.endpoints import (
    Fresh,
    add_endpoint,
    change_endpoint,
    disable_endpoint,
    enable_endpoint,
    remove_endpoint,
    rotate_endpoint_secret,
)
from portal.api.doors import Door, found, offered
from portal.api.fields import Nothing
from portal.api.outputs import page_of
from portal.api.parameters import PAGING, choice, identifier
from portal.api.webhook_bodies import (
    DeliveryOut,
    FreshWebhookOut,
    NewChatBody,
    NewWebhookBody,
    WebhookBody,
    WebhookOut,
)

SEES = "developer administrator responder auditor"
ACTS = "developer administrator"
HIDDEN = "approver stranger"


WEBHOOKS = PAGING
DELIVERIES = (
    *PAGING,
    choice("state", "state", [str(each) for each in DeliveryState], "Only in this state."),
    identifier("event", "event_uid", "Only of this event."),
)
WebhookPage = page_of(WebhookOut)
DeliveryPage = page_of(DeliveryOut)


class WebhookDoor(Door):
    """Find an endpoint among those that the actor may see."""

    def row(self, text: str) -> Any:  # Any: see `found`
        """Return the endpoint."""
        return found(self.rows(), text)

    def rows(self) -> Any:  # Any: a queryset of endpoints
        """All that may be seen."""
        return WebhookEndpoint.objects.visible_to(self.actor).living().select_related("owner_team")

    def shown(self, row: WebhookEndpoint) -> Response:
        """Answer with the endpoint as it is now."""
        return self.show(WebhookOut, self.rows().get(pk=row.pk))

    def shown_once(self, fresh: Fresh, *, status: int) -> Response:
        """Answer with a new secret; no answer with one is ever kept."""
        webhook = WebhookOut(fresh.endpoint, context={"actor": self.actor}).data
        answer = Response({"webhook": webhook, "secret": fresh.secret.reveal()}, status=status)
        answer["Cache-Control"] = "no-store"
        return answer


class Webhooks(WebhookDoor):
    """All endpoints."""

    @offered("webhooks_list", gives=WebhookPage, yes=f"{SEES} {HIDDEN}", reads=WEBHOOKS, tag="webhooks")
    def get(self, request: Request) -> Response:
        """List the endpoints of your teams."""
        return self.page(WebhookOut, self.rows(), WEBHOOKS)

    @offered(
        "webhooks_create", takes=NewWebhookBody, gives=FreshWebhookOut, status=201, yes=ACTS, replays=False,
        tag="webhooks",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Add an endpoint and take its secret, once. Leads and administrators, with a step-up for `webhooks`.

        It takes no Idempotency-Key: an answer with a secret is never kept.
        """
        body = self.read(NewWebhookBody)
        slug = body.pop("team")
        team = Team.objects.visible_to(self.actor).living().filter(slug=slug).first() if slug is not None else None
        if slug is not None and team is None:
            raise Invalid.field("team", "unknown_team")
        return self.shown_once(add_endpoint(team, actor=self.actor, **body), status=201)


class Chats(WebhookDoor):
    """Chats: endpoints that are told in words."""

    @offered("chats_create", takes=NewChatBody, gives=WebhookOut, status=201, yes=ACTS, tag="webhooks")
    def post(self, request: Request) -> Response:
        """Have a chat told what concerns a team: an incoming webhook in the form of Slack's. With a step-up for `webhooks`.

        It is one of the webhooks from then on: changed, tested, stopped and removed as they are.
        """
        body = self.read(NewChatBody)
        team = Team.objects.visible_to(self.actor).living().filter(slug=body.pop("team")).first()
        if team is None:
            raise Invalid.field("team", "unknown_team")
        return self.show(WebhookOut, add_chat(team, actor=self.actor, **body), status=201)


class OneWebhook(WebhookDoor):
    """One endpoint."""

    @offered("webhooks_retrieve", gives=WebhookOut, yes=SEES, hidden=HIDDEN, tag="webhooks")
    def get(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Show an endpoint."""
        return self.shown(self.row(id))


class WebhookChange(WebhookDoor):
    """Change."""

    @offered("webhooks_change", takes=WebhookBody, gives=WebhookOut, yes=ACTS, hidden=HIDDEN, tag="webhooks")
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Change where an endpoint is, its description and its events. With a step-up for `webhooks`."""
        row = self.row(id)
        return self.shown(change_endpoint(row, actor=self.actor, **self.read(WebhookBody)))


class WebhookRotation(WebhookDoor):
    """Replace the secret."""

    @offered(
        "webhooks_rotate", takes=Nothing, gives=FreshWebhookOut, yes=ACTS, hidden=HIDDEN, replays=False,
        tag="webhooks",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Take a new secret, once; for a day both sign. With a step-up for `webhooks`."""
        row = self.row(id)
        self.read(Nothing)
        return self.shown_once(rotate_endpoint_secret(row, actor=self.actor), status=200)


class WebhookEnabling(WebhookDoor):
    """Enable."""

    @offered("webhooks_enable", takes=Nothing, gives=WebhookOut, yes=ACTS, hidden=HIDDEN, tag="webhooks")
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Send to it again, beginning with what it did not accept. With a step-up for `webhooks`."""
        row = self.row(id)
        self.read(Nothing)
        return self.shown(enable_endpoint(row, actor=self.actor))


class WebhookDisabling(WebhookDoor):
    """Disable."""

    @offered(
        "webhooks_disable", takes=Nothing, gives=WebhookOut, yes=ACTS, hidden=HIDDEN, by_devices=False, tag="webhooks"
    )
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Send nothing more."""
        row = self.row(id)
        self.read(Nothing)
        return self.shown(disable_endpoint(row, actor=self.actor))


class WebhookRemoval(WebhookDoor):
    """Remove."""

    @offered("webhooks_remove", takes=Nothing, gives=WebhookOut, yes=ACTS, hidden=HIDDEN, tag="webhooks")
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """End an endpoint and delete its secrets. With a step-up for `webhooks`."""
        row = self.row(id)
        self.read(Nothing)
        remove_endpoint(row, actor=self.actor)
        return self.show(WebhookOut, row)


class WebhookTest(WebhookDoor):
    """Test."""

    @offered(
        "webhooks_test", takes=Nothing, gives=DeliveryOut, yes=ACTS, hidden=HIDDEN, by_devices=False, tag="webhooks"
    )
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Have a test event sent."""
        row = self.row(id)
        self.read(Nothing)
        return self.show(DeliveryOut, send_test_event(row, actor=self.actor))


class Deliveries(WebhookDoor):
    """The log of an endpoint."""

    @offered("webhooks_deliveries", gives=DeliveryPage, yes=SEES, hidden=HIDDEN, reads=DELIVERIES, tag="webhooks")
    def get(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """List what was sent to an endpoint in the last 30 days."""
        rows = WebhookDelivery.objects.visible_to(self.actor).filter(endpoint=self.row(id))
        return self.page(DeliveryOut, rows, DELIVERIES)


class Redelivery(Door):
    """Send again."""

    @offered(
        "deliveries_redeliver",
        takes=Nothing,
        gives=DeliveryOut,
        yes=ACTS,
        hidden=HIDDEN,
        by_devices=False,
        tag="webhooks",
    )
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Send an event once more, under the same webhook-id."""
        row = found(WebhookDelivery.objects.visible_to(self.actor).select_related("endpoint"), id)
        self.read(Nothing)
        return self.show(DeliveryOut, redeliver(row, actor=self.actor))
