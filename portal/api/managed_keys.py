"""Show keys and what they are used for; stop, end, renew and replace them; hand a secret over once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models.functions import Now
from rest_framework.request import Request
from rest_framework.response import Response

from audit import clock
from keys.approvals.submission import request_renewal
from keys.errors import Gone
from keys.lifecycle.claiming import ClaimOutcome, claim_secret
from keys.lifecycle.revocation import reinstate_key, report_leak, revoke_key, suspend_key
from keys.lifecycle.rotation import issue_new_version
from keys.models import KeyVersion, ManagedKey
from keys.monitoring.usage import counts_of, sightings_of
from keys.states import RevocationReason, SuspensionReason
from keys.verification.watching.overview import receipts_of
from keys.verification.watching.receipts import stop_with_receipt
from portal.api.catalogue import TAGS
from portal.api.doors import Door, found, offered
from portal.api.fields import Nothing
from portal.api.inputs import ClaimBody, CommentBody, RenewalBody, RevocationBody, SuspensionBody
from portal.api.key_outputs import (
    ClaimOut,
    KeyDetailOut,
    KeyOut,
    KeyUseOut,
    SightingOut,
    StopReceiptsOut,
    UsageOut,
    VersionOut,
    version_shown,
)
from portal.api.outputs import RequestDetailOut, page_of
from portal.api.parameters import PAGING, choice, moment, public_name, slug
from portal.api.requests import shown as shown_request

READ = ("keys:read", "keys:revoke")
STOP = ("keys:revoke",)
KEYS = (
    *PAGING,
    slug("service", "service__slug", "Only for this service."),
    choice("environment", "environment__tag", TAGS, "Only for this environment."),
    slug("owner_team", "owner_team__slug", "Only of this team."),
    public_name("number", "number", "Only the key with this number.", pattern="KEY-([1-9][0-9]{0,11})"),
    public_name("kid", "versions__kid", "Only the key of this version.", pattern="([0-9A-Za-z]{12,16})"),
    moment("authorised_before", "authorised_until__lt", "Only whose authorisation ends before this time."),
    moment("created_from", "created_at__gte", "From this time on."),
    moment("created_before", "created_at__lt", "Before this time."),
)
KeyPage = page_of(KeyOut)
SEEN_BY = "developer approver administrator responder auditor program"
USAGE_PERIOD = timedelta(days=31)
MOST_ROWS = 1000


class KeyDoor(Door):
    """Find a key among those that the actor may see."""

    def rows(self) -> Any:  # Any: a queryset of keys
        """All that may be seen, with everything that an answer tells."""
        return ManagedKey.objects.visible_to(self.actor).select_related(
            "owner_team", "recipient", "service", "environment", "verifies_service", "verifies_environment"
        )

    def as_they_stand(self) -> Any:  # Any: as above
        """The same to be shown, with their versions and the moment of this answer."""
        return self.rows().annotate(read_at=Now()).prefetch_related("versions")

    def row(self, text: str) -> Any:  # Any: see `found`
        """Return the key."""
        return found(self.rows().select_related("policy"), text)

    def shown(self, row: ManagedKey) -> Response:
        """Answer with the key as it is now."""
        return self.show(KeyDetailOut, self.as_they_stand().get(pk=row.pk))


class Keys(KeyDoor):
    """All keys."""

    @offered("keys_list", gives=KeyPage, scopes=READ, yes=f"{SEEN_BY} stranger", reads=KEYS, tag="keys")
    def get(self, request: Request) -> Response:
        """List the keys that you may see."""
        return self.page(KeyOut, self.as_they_stand(), KEYS)


class OneKey(KeyDoor):
    """One key."""

    @offered("keys_retrieve", gives=KeyDetailOut, scopes=READ, yes=SEEN_BY, hidden="stranger", tag="keys")
    def get(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Show a key with its versions."""
        return self.shown(self.row(id))


class KeyUse(KeyDoor):
    """What a key is used for."""

    @offered("keys_usage", gives=KeyUseOut, scopes=READ, yes=SEEN_BY, hidden="stranger", tag="keys")
    def get(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Show counts by version, outcome and hour of the last 31 days, and who presented each version."""
        row = self.row(id)
        usage = counts_of(row, since=clock.now() - USAGE_PERIOD, most=MOST_ROWS)
        sightings = sightings_of(row, most=MOST_ROWS)
        return Response({"usage": UsageOut(usage, many=True).data, "sightings": SightingOut(sightings, many=True).data})


class StopReceipts(KeyDoor):
    """What its stops were answered with."""

    @offered("keys_receipts", gives=StopReceiptsOut, scopes=READ, yes=SEEN_BY, hidden="stranger", tag="keys")
    def get(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Show the receipts of every revocation and suspension: when it was committed, and what each verifier said."""
        return Response(StopReceiptsOut({"receipts": receipts_of(self.row(id))}).data)


class Suspension(KeyDoor):
    """Stop."""

    @offered(
        "keys_suspend", takes=SuspensionBody, gives=KeyDetailOut, scopes=STOP, hidden="stranger",
        yes="developer administrator responder program", tag="keys",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Make every version stop verifying until someone reinstates the key. People: with a step-up for `suspend`."""
        row, body = self.row(id), self.read(SuspensionBody)
        suspend_key(row, actor=self.actor, reason=SuspensionReason(body["reason"]))
        stop_with_receipt(row, action="suspended")
        return self.shown(row)


class Reinstatement(KeyDoor):
    """Start again."""

    @offered(
        "keys_reinstate", takes=Nothing, gives=KeyDetailOut, hidden="stranger", yes="administrator responder",
        tag="keys",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Let a suspended key verify again; in production not by whoever suspended it. People only, with a step-up."""
        row = self.row(id)
        self.read(Nothing)
        reinstate_key(row, actor=self.actor)
        return self.shown(row)


class Revocation(KeyDoor):
    """End."""

    @offered(
        "keys_revoke", takes=RevocationBody, gives=KeyDetailOut, scopes=STOP, hidden="stranger",
        yes="developer administrator responder program", tag="keys",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """End the key for ever. No verification that starts after this answer succeeds. People: with a step-up."""
        row, body = self.row(id), self.read(RevocationBody)
        revoke_key(row, actor=self.actor, reason=RevocationReason(body["reason"]))
        stop_with_receipt(row, action="revoked")
        return self.shown(row)


class LeakReport(KeyDoor):
    """Say that it leaked."""

    @offered(
        "keys_report_leak", takes=CommentBody, gives=KeyDetailOut, scopes=STOP, hidden="stranger",
        yes="developer administrator responder program", tag="keys",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Say that a key leaked: it stops at once, without blame."""
        row, body = self.row(id), self.read(CommentBody)
        report_leak(row, actor=self.actor, comment=body["comment"])
        stop_with_receipt(row, action="leak-reported")
        return self.shown(row)


class Renewal(KeyDoor):
    """Ask for more time."""

    @offered(
        "keys_renew", takes=RenewalBody, gives=RequestDetailOut, status=201, scopes=("requests:write",),
        yes="developer program", hidden="stranger", tag="keys",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Ask that a key stay authorised for longer: a request like any other, with the same approvals."""
        row, body = self.row(id), self.read(RenewalBody)
        return shown_request(self, request_renewal(row, **body, actor=self.actor), status=201)


class NewVersion(KeyDoor):
    """Replace a secret."""

    @offered(
        "keys_issue_version", takes=Nothing, gives=VersionOut, status=201, yes="developer", hidden="stranger",
        tag="keys",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Add a version to claim, because the secret was lost. People only, with a step-up for `claim`."""
        row = self.row(id)
        self.read(Nothing)
        return self.show(VersionOut, issue_new_version(row, actor=self.actor), status=201)


class SecretClaim(Door):
    """Hand a secret over."""

    @offered(
        "versions_claim", takes=ClaimBody, gives=ClaimOut, yes="developer", hidden="stranger", replays=False,
        tag="keys",
    )  # fmt: skip
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Take the secret of a version, once. People only, with a step-up for `claim`.

        For a key pair: bring its `public_key` (PEM, JWK or OpenSSH), unless the request did; then there is no secret.

        It takes no Idempotency-Key: an answer with a secret is never kept. A lost answer means a new version.
        """
        rows = KeyVersion.objects.visible_to(self.actor).select_related("managed_key__environment")
        row = found(rows, id)
        body = self.read(ClaimBody)
        claim = claim_secret(row, public_key=body["public_key"], actor=self.actor)
        if claim.outcome != ClaimOutcome.ISSUED:
            raise Gone("claimed_already" if claim.outcome == ClaimOutcome.REPEATED else "claim_misused")
        answer = Response(
            {"version": version_shown(claim.version), "secret": claim.secret.reveal() if claim.secret else None}
        )
        answer["Cache-Control"] = "no-store"
        return answer
