"""Turn events into notices: one row a person and event, however often an event is read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from audit import clock
from audit.models import AuditEvent
from keys.dispatch.cursor import Told
from keys.models import (
    Delegation,
    KeyRequest,
    KeyTransfer,
    KeyVersion,
    ManagedKey,
    Membership,
    Notice,
    Person,
    PolicyProposal,
    Rotation,
    Scope,
    Service,
    WebhookEndpoint,
)
from keys.notifications import audience
from keys.notifications.audience import People
from keys.notifications.families import choices_of, delivery_of
from keys.notifications.sayings import STOPPED
from keys.states import OVERLAP_PERIODS, Overlap, Role, TeamRole

READER = "notices"
Finder = Callable[[Told], People]


def _request(told: Told) -> KeyRequest:
    return KeyRequest.objects.get(pk=told.target_id)


def _key(told: Told) -> ManagedKey:
    return ManagedKey.objects.select_related("service").get(pk=told.target_id)


def _recipients(told: Told) -> People:
    """The owners, and who received the secrets before: nobody is passed over unseen."""
    before = (told.payload.get("change") or {}).get("recipient_id", [None])[0]
    return audience.owners(_key(told)) | ({UUID(before)} if before else set())


def _version_key(told: Told) -> ManagedKey:
    return KeyVersion.objects.select_related("managed_key__service").get(pk=told.target_id).managed_key


def _suspended(told: Told) -> People:
    key = _version_key(told)
    alarming = told.reason in ("second-claim", "leak-reported")
    return audience.everyone_concerned(key) if alarming else audience.owners(key)


def _to_claim(told: Told) -> People:
    if Rotation.objects.filter(new_version_id=UUID(told.target_id)).exists():
        return set()  # rotation.prepared says it, and says what happens to the old secret
    recipient = _version_key(told).recipient_id
    return {recipient} if recipient else set()


def _rotation(told: Told) -> Rotation:
    return Rotation.objects.select_related("managed_key__service").get(pk=told.target_id)


def _rotating(told: Told) -> People:
    return audience.owners(_rotation(told).managed_key)


def _two_secrets(told: Told) -> People:
    """Only when the old secret has no time: otherwise `rotation.drained` follows at once and says it."""
    rotation = _rotation(told)
    if rotation.old_version_id is None or rotation.overlap in OVERLAP_PERIODS:
        return set()
    return audience.owners(rotation.managed_key)


def _draining(told: Told) -> People:
    """Nobody when the old secret ended at once: there is nothing left to do before a time."""
    rotation = _rotation(told)
    return set() if rotation.overlap == Overlap.NOW else audience.owners(rotation.managed_key)


def _stopped(told: Told) -> People:
    """Who has to do something about it; whoever stopped or revoked knows, and everybody hears of that by another notice."""
    return audience.owners(_rotation(told).managed_key) if told.reason in STOPPED else set()


def _transfer(told: Told) -> KeyTransfer:
    return KeyTransfer.objects.get(pk=told.target_id)


def _transfer_decided(told: Told) -> People:
    transfer = _transfer(told)
    return {transfer.offered_by_id} | audience.people_in(transfer.from_team_id)


def _approver_of(told: Told) -> People:
    change = told.payload.get("change") or {}
    request_id = (change.get("request_id") or [None, None])[1]
    request = KeyRequest.objects.filter(pk=request_id).first() if request_id else None
    return audience.requesters(request) if request else set()


def _proposer(told: Told) -> People:
    return {PolicyProposal.objects.get(pk=told.target_id).proposed_by_id}


def _service_owners(told: Told) -> People:
    return _owners_of(ManagedKey.objects.filter(service_id=Service.objects.get(pk=told.target_id).pk, revoked_at=None))


def _scope_owners(told: Told) -> People:
    scope = Scope.objects.get(pk=told.target_id)
    return _owners_of(ManagedKey.objects.filter(service=scope.service, scopes__contains=[scope.name], revoked_at=None))


def _owners_of(keys: object) -> People:
    return {person for key in keys for person in audience.owners(key)}  # type: ignore[attr-defined]


def _person(told: Told) -> People:
    return {UUID(told.target_id)}


def _holder(told: Told) -> People:
    """The person an event is about: named in its details, or its target."""
    found = str(told.details.get("person") or (told.target_id if told.target_type == "person" else ""))
    return {UUID(found)} if found else set()


def _added_factor(told: Told) -> People:
    """Whose factor was added to others: it decides a day later, and until then its owner can say that it is not theirs."""
    decides_from = datetime.fromisoformat(told.payload["change"]["approves_from"][1])
    return _holder(told) if decides_from > told.occurred_at + timedelta(minutes=1) else set()


def _removed_factor(told: Told) -> People:
    """Whose factor was taken away in their own name; what two administrators take away is told as that."""
    own = told.reason != "never-confirmed" and told.actor_id == told.details.get("person")
    return _holder(told) if own else set()


def _replaced_codes(told: Told) -> People:
    """Whose codes before are void; the first ones come with the invitation."""
    before = AuditEvent.objects.of_target(told.target_type, told.target_id).with_action(told.action)
    return _person(told) if before.filter(occurred_at__lt=told.occurred_at).exists() else set()


def _both_sides(told: Told) -> People:
    delegation = Delegation.objects.get(pk=told.target_id)
    return {delegation.person_id, delegation.delegate_id}


def _ended_by_reuse(told: Told) -> People:
    """Whose session ended for it, once: whoever holds the code can present it again and again."""
    return _holder(told) if told.details.get("session") else set()


def _webhook_owners(told: Told) -> People:
    """Who answers for an endpoint that stopped by itself; what people stop, they know."""
    if told.actor_type == "person":
        return set()
    team_id = WebhookEndpoint.objects.get(pk=told.target_id).owner_team_id
    return audience.people_in(team_id, TeamRole.LEAD) if team_id else audience.people_with(Role.ADMINISTRATOR)


def _team_leads(told: Told) -> People:
    """Who has to take over what somebody left behind."""
    teams = Membership.objects.filter(person_id=told.target_id).values_list("team_id", flat=True)
    return {lead for team in set(teams) for lead in audience.people_in(team, TeamRole.LEAD)}


def _invited(told: Told) -> People:
    # An invitation made at the shell is printed there; a mail would make a second link and end the printed one.
    return {UUID(str(told.details["person"]))} if told.actor_type == "person" else set()


WHO: dict[str, Finder] = {
    "request.submitted": lambda told: audience.approvers(_request(told)),
    "request.edited": lambda told: audience.approvers(_request(told)),
    "request.narrowed": lambda told: audience.approvers(_request(told)) | audience.requesters(_request(told)),
    "request.nudged": lambda told: audience.approvers(_request(told)),
    "request.returned": lambda told: audience.requesters(_request(told)),
    "request.approved": lambda told: audience.requesters(_request(told)),
    "request.denied": lambda told: audience.requesters(_request(told)),
    "request.lapsed": lambda told: audience.requesters(_request(told)),
    "approval.given": _approver_of,
    "version.created": _to_claim,
    "version.suspended": _suspended,
    "version.reinstated": lambda told: audience.owners(_version_key(told)),
    "version.claim-repeated": lambda told: audience.owners(_version_key(told)),
    "version.integrity-failed": lambda told: audience.everyone_concerned(_version_key(told)),
    "key.leak-reported": lambda told: audience.everyone_concerned(_key(told)),
    "key.revoked": lambda told: audience.everyone_concerned(_key(told)),
    "key.shortened": lambda told: audience.owners(_key(told)),
    "key.recipient-changed": _recipients,
    "key.renewed": lambda told: audience.owners(_key(told)),
    "rotation.prepared": _rotating,
    "rotation.activated": _two_secrets,
    "rotation.drained": _draining,
    "rotation.completed": _rotating,
    "rotation.aborted": _stopped,
    "rotation.contested": lambda told: audience.everyone_concerned(_rotation(told).managed_key),
    "rotation.rolled-back": _rotating,
    "transfer.offered": lambda told: audience.receiving_leads(_transfer(told)),
    "transfer.decided": _transfer_decided,
    "policy-proposal.made": lambda told: audience.people_with(Role.ADMINISTRATOR),
    "policy-proposal.decided": _proposer,
    "service.retirement-planned": _service_owners,
    "scope.retirement-planned": _scope_owners,
    "password.reset-requested": _person,
    "password.changed": _person,
    "person.roles-changed": _person,
    "factor-reset.proposed": lambda told: audience.people_with(Role.ADMINISTRATOR),
    "factor-reset.confirmed": lambda told: {UUID(str(told.details.get("person") or told.target_id))},
    "invitation.created": _invited,
    "person.deactivated": _team_leads,
    "passkey.clone-suspected": lambda told: _holder(told) | audience.people_with(Role.RESPONDER, Role.ADMINISTRATOR),
    "second-factor.locked": _holder,
    "password.reset-completed": _person,
    "totp.enrolled": _added_factor,
    "totp.removed": _removed_factor,
    "passkey.enrolled": _added_factor,
    "passkey.removed": _removed_factor,
    "recovery-codes.made": _replaced_codes,
    "recovery-codes.used": _person,
    "delegation.named": _both_sides,
    "device-sign-in.completed": _holder,
    "device-sign-in.reused": _ended_by_reuse,
    "session.refused": lambda told: _holder(told) | audience.people_with(Role.RESPONDER, Role.ADMINISTRATOR),
    "recovery.link-ordered": lambda told: audience.people_with(Role.ADMINISTRATOR) | _holder(told),
    "intent.unfinished": lambda told: audience.people_with(Role.RESPONDER, Role.ADMINISTRATOR),
    "webhook.disabled": _webhook_owners,
    "invariants.broken": lambda told: audience.people_with(Role.RESPONDER, Role.ADMINISTRATOR),
}
# What people do themselves they need not be told, unless it may have been somebody else in their name.
ALSO_TO_THE_ACTOR = frozenset(
    {
        "version.created",
        "version.suspended",
        "version.claim-repeated",
        "rotation.prepared",
        "device-sign-in.completed",
        "totp.enrolled",
        "totp.removed",
        "passkey.enrolled",
        "passkey.removed",
        "recovery-codes.made",
        "recovery-codes.used",
        "delegation.named",
        "password.changed",
        "password.reset-requested",
    }
)


def notice_everyone(told: Told) -> int:
    """Write a notice for each person the event concerns; again is harmless. Returns how many there are."""
    find = WHO.get(told.action)
    if find is None:
        return 0
    people = find(told)
    if told.action not in ALSO_TO_THE_ACTOR:
        people = {person for person in people if str(person) != told.actor_id}
    living = list(Person.objects.active().filter(pk__in=people).values_list("pk", flat=True)) if people else []
    choices = choices_of(living) if living else {}
    at = clock.now()
    rows = [
        Notice(
            event_uid=told.uid,
            person_id=person,
            kind=told.action,
            subject_type=told.target_type,
            subject_id=told.target_id,
            params={"reason": told.reason, **told.details},
            created_at=at,
            delivery=str(delivery_of(told.action, choices.get(person), reason=told.reason)),
        )
        for person in living
    ]
    return len(Notice.objects.bulk_create(rows, ignore_conflicts=True))
