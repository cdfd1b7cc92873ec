"""Say what each operation reads from its body. Rules about values are the operations' own; here is only their shape."""

from __future__ import annotations

from rest_framework import serializers

from audit.events import Outcome
from keys.reports.exports import FORMS
from keys.states import CHOSEN_SUSPENSIONS, Overlap, RevocationReason
from portal.api.fields import Body, Identifier, Moment, Text, Texts, WholeNumber, YesNo

SUBJECT = r"[a-z][a-z-]{0,39}:[A-Za-z0-9._@-]{1,80}"
_DIGEST = r"^[0-9a-f]{64}$"


class LimitsBody(Body):
    """How much the key may be used."""

    requests_per_minute = WholeNumber(required=False, min_value=1, max_value=1_000_000)
    requests_per_day = WholeNumber(required=False, min_value=1, max_value=1_000_000_000)


class RotationBody(Body):
    """How the secrets of the key are replaced: how long the old one works on, and after how many days, if not only at its end."""

    overlap = serializers.ChoiceField(choices=[str(each) for each in Overlap], required=False)
    every_days = WholeNumber(min_value=1, max_value=3650, required=False, allow_null=True)


class DraftBody(Body):
    """A wish for a key."""

    service = Text(max_length=40)
    environment = serializers.ChoiceField(choices=["dev", "test", "prod"])
    owner_team = Text(max_length=40)
    name = Text(max_length=80)
    consumer = Text(max_length=120)
    purpose = Text(max_length=2000)
    cryptoperiod_days = WholeNumber(min_value=1, max_value=3650)
    authorised_days = WholeNumber(min_value=1, max_value=3650)
    scopes = Texts(most=100, longest=80)
    template = Text(max_length=120, required=False, default="", allow_blank=True)
    networks = Texts(most=32, longest=50, required=False, default=list)
    ticket = Text(max_length=60, required=False, default="", allow_blank=True)
    kind = serializers.ChoiceField(choices=["bearer", "hmac-sha256", "ed25519"], required=False, default="bearer")
    public_key = Text(max_length=2000, required=False, default="", allow_blank=True)
    recipient = Identifier(required=False, allow_null=True, default=None)
    self_fetch = YesNo(required=False, default=False)
    rotation = RotationBody(required=False, default=dict)
    verifies_service = Text(max_length=40, required=False, default="", allow_blank=True)
    verifies_environment = Text(max_length=4, required=False, default="", allow_blank=True)
    limits = LimitsBody(required=False, default=dict)


class ClaimBody(Body):
    """What a claim may bring: the public key of a key pair."""

    public_key = Text(max_length=2000, required=False, default="", allow_blank=True)


class CommentBody(Body):
    """Words beside an act."""

    comment = Text(max_length=2000, required=False, default="", allow_blank=True)


class ApprovalBody(CommentBody):
    """An agreement to exactly the content with this digest."""

    digest = serializers.RegexField(_DIGEST)


class NarrowingBody(ApprovalBody):
    """An agreement to less; what is not given stays as it is."""

    scopes = Texts(most=100, longest=80, required=False)
    networks = Texts(most=32, longest=50, required=False)
    cryptoperiod_days = WholeNumber(min_value=1, max_value=3650, required=False)
    authorised_days = WholeNumber(min_value=1, max_value=3650, required=False)
    self_fetch = YesNo(required=False)


class QuestionBody(Body):
    """What an approver wants to know first."""

    digest = serializers.RegexField(_DIGEST)
    question = Text(max_length=2000)


class DenialBody(Body):
    """A refusal and its reason, which the requester reads."""

    digest = serializers.RegexField(_DIGEST)
    comment = Text(max_length=2000)


class SuspensionBody(Body):
    """Why a key stops for a while."""

    reason = serializers.ChoiceField(choices=[str(each) for each in CHOSEN_SUSPENSIONS])


class RevocationBody(Body):
    """Why a key ends before its time (RFC 5280, section 5.3.1)."""

    reason = serializers.ChoiceField(choices=[str(each) for each in RevocationReason])


class RenewalBody(Body):
    """For how long, and why, a key shall stay authorised."""

    authorised_days = WholeNumber(min_value=1, max_value=3650)
    purpose = Text(max_length=2000)
    ticket = Text(max_length=60, required=False, default="", allow_blank=True)


class TransferBody(CommentBody):
    """The team that shall own a key."""

    to_team = Text(max_length=40)


class AcceptanceBody(Body):
    """The member of the receiving team who will claim the key's next secrets."""

    recipient = Identifier()


class ExportBody(Body):
    """What a file from the log shall hold: what a filter finds, or, with `upto_leaf`, every event between two places."""

    form = serializers.ChoiceField(choices=list(FORMS))
    since = Moment(required=False, allow_null=True, default=None)
    before = Moment(required=False, allow_null=True, default=None)
    actor = serializers.RegexField(f"^{SUBJECT}$", required=False, default="")
    target = serializers.RegexField(f"^{SUBJECT}$", required=False, default="")
    action = serializers.RegexField(r"^[a-z][a-z.-]{0,79}$", required=False, default="")
    environment = serializers.ChoiceField(choices=["dev", "test", "prod"], required=False, default="")
    outcome = serializers.ChoiceField(choices=[str(each) for each in Outcome], required=False, default="")
    from_leaf = WholeNumber(required=False, min_value=0, max_value=2**53 - 1, default=0)
    upto_leaf = WholeNumber(required=False, min_value=1, max_value=2**53 - 1, allow_null=True, default=None)
    with_private = YesNo(required=False, default=False)
    with_ocsf = YesNo(required=False, default=False)
