"""Name the addresses of /api/v1/."""

from __future__ import annotations

from django.urls import path, re_path
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from keys.errors import NotFound
from portal.api import (
    calendars,
    catalogue,
    emergencies,
    events,
    exports,
    holds,
    jobs,
    managed_keys,
    me,
    requests,
    rotations,
    teams,
    transfers,
    verifiers,
    webhooks,
)
from portal.api.openapi import Document


class NoSuchAddress(APIView):
    """Answer wrong addresses in the language of programs."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    schema = None

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        """Say for every method that there is nothing."""
        self.format_kwarg = None
        raise NotFound

    def get(self, request: Request, **kwargs: object) -> Response:
        """Never reached: `initial` answers."""
        raise NotFound


urlpatterns = [
    path("openapi.json", Document.as_view(), name="api_openapi"),
    path("me", catalogue.Me.as_view()),
    path("me/needs", me.MyNeeds.as_view()),
    path("me/notifications", me.MyNotifications.as_view()),
    path("me/notifications/choose", me.MyChoice.as_view()),
    path("me/calendars", calendars.MyCalendars.as_view()),
    path("me/calendars/<str:id>/remove", calendars.CalendarRemoval.as_view()),
    path("teams/<str:slug>", teams.OneTeam.as_view()),
    path("teams/<str:slug>/mail", teams.MailChoice.as_view()),
    path("services", catalogue.Services.as_view()),
    path("services/<str:slug>", catalogue.OneService.as_view()),
    path("environments", catalogue.Environments.as_view()),
    path("policies", catalogue.Policies.as_view()),
    path("requests", requests.Requests.as_view()),
    path("requests/<str:id>", requests.OneRequest.as_view()),
    path("requests/<str:id>/withdraw", requests.Withdrawal.as_view()),
    path("requests/<str:id>/nudge", requests.Nudge.as_view()),
    path("requests/<str:id>/approve", requests.Approval.as_view()),
    path("requests/<str:id>/narrow", requests.Narrowed.as_view()),
    path("requests/<str:id>/return", requests.Return.as_view()),
    path("requests/<str:id>/deny", requests.Denial.as_view()),
    path("keys", managed_keys.Keys.as_view()),
    path("keys/<str:id>", managed_keys.OneKey.as_view()),
    path("keys/<str:id>/receipts", managed_keys.StopReceipts.as_view()),
    path("keys/<str:id>/usage", managed_keys.KeyUse.as_view()),
    path("keys/<str:id>/suspend", managed_keys.Suspension.as_view()),
    path("keys/<str:id>/reinstate", managed_keys.Reinstatement.as_view()),
    path("keys/<str:id>/revoke", managed_keys.Revocation.as_view()),
    path("keys/<str:id>/report-leak", managed_keys.LeakReport.as_view()),
    path("keys/<str:id>/renew", managed_keys.Renewal.as_view()),
    path("keys/<str:id>/versions", managed_keys.NewVersion.as_view()),
    path("keys/<str:id>/transfers", transfers.Offer.as_view()),
    path("keys/<str:id>/rotate", rotations.Start.as_view()),
    path("keys/<str:id>/recipient", rotations.Recipient.as_view()),
    path("rotations", rotations.Rotations.as_view()),
    path("rotations/<str:id>", rotations.OneRotation.as_view()),
    path("rotations/<str:id>/undo", rotations.Undo.as_view()),
    path("rotations/<str:id>/abort", rotations.Stop.as_view()),
    path("rotations/<str:id>/take-back", rotations.TakingBack.as_view()),
    path("rotations/<str:id>/retire", rotations.Retirement.as_view()),
    path("emergencies", emergencies.Emergencies.as_view()),
    path("emergencies/preview", emergencies.EmergencyPreview.as_view()),
    path("emergencies/<str:id>", emergencies.OneEmergency.as_view()),
    path("versions/<str:id>/claim", managed_keys.SecretClaim.as_view()),
    path("transfers", transfers.Transfers.as_view()),
    path("transfers/<str:id>/accept", transfers.Acceptance.as_view()),
    path("transfers/<str:id>/decline", transfers.Refusal.as_view()),
    path("transfers/<str:id>/withdraw", transfers.Retraction.as_view()),
    path("audit/events", events.Events.as_view()),
    path("audit/events/<str:uid>", events.OneEvent.as_view()),
    path("audit/exports", exports.Exports.as_view()),
    path("audit/exports/<str:id>", exports.OneExport.as_view()),
    path("audit/exports/<str:id>/cancel", exports.Cancellation.as_view()),
    path("audit/exports/<str:id>/download", exports.Download.as_view()),
    path("audit/holds", holds.Holds.as_view()),
    path("audit/holds/<str:id>", holds.OneHold.as_view()),
    path("audit/holds/<str:id>/lift", holds.Lifting.as_view()),
    path("verifiers", verifiers.Verifiers.as_view()),
    path("jobs", jobs.Jobs.as_view()),
    path("jobs/<str:id>/reschedule", jobs.JobSchedules.as_view()),
    path("chats", webhooks.Chats.as_view()),
    path("webhooks", webhooks.Webhooks.as_view()),
    path("webhooks/<str:id>", webhooks.OneWebhook.as_view()),
    path("webhooks/<str:id>/change", webhooks.WebhookChange.as_view()),
    path("webhooks/<str:id>/rotate", webhooks.WebhookRotation.as_view()),
    path("webhooks/<str:id>/enable", webhooks.WebhookEnabling.as_view()),
    path("webhooks/<str:id>/disable", webhooks.WebhookDisabling.as_view()),
    path("webhooks/<str:id>/remove", webhooks.WebhookRemoval.as_view()),
    path("webhooks/<str:id>/test", webhooks.WebhookTest.as_view()),
    path("webhooks/<str:id>/deliveries", webhooks.Deliveries.as_view()),
    path("webhook-deliveries/<str:id>/redeliver", webhooks.Redelivery.as_view()),
    re_path(r"^", NoSuchAddress.as_view()),
]
