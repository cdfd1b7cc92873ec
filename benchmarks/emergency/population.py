"""Bring many working keys into being at once, each with its events, as if people had claimed them one by one."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta

from audit import clock
from audit.actor import Actor
from keys.crypto.digests import CURRENT_ALGORITHM, digest
from keys.crypto.key_text import mint
from keys.events import KeyCreated, RotationScheduled, VersionIssued
from keys.lifecycle.many_changes import ManyChanges
from keys.models import Environment, KeyVersion, ManagedKey, Person, Policy, Rotation, Service, Team
from keys.models.base import next_number
from keys.operations import operation
from keys.sealing import mac_of, seal_secret
from keys.states import KeyKind, RotationCause, RotationState, VersionState


@dataclass(frozen=True, kw_only=True)
class Owners:
    """Whose keys they are, and what they open."""

    team: Team
    recipient: Person
    service: Service
    scopes: tuple[str, ...]


@operation
def make_keys(
    owners: Owners,
    *,
    count: int,
    actor: Actor,
    environment: str = "prod",
    verifies: Service | None = None,
    kind: str = KeyKind.BEARER,
) -> list[tuple[ManagedKey, str]]:
    """Write `count` keys with a working version and a scheduled rotation each; return them with their secrets.

    `verifies`: the service whose keys they may ask about, for credentials of Keystead's own service. `kind`: bearer, or
    HMAC, whose secret is sealed.
    """
    at = clock.now()
    changes = ManyChanges(actor=actor, at=at, correlation=str(uuid.uuid4()))
    place = Environment.objects.get(tag=environment)
    policy = Policy.objects.current().filter(service=owners.service, environment=place).first()
    made = []
    for _ in range(count):
        number = next_number("keys_key_number")
        key = ManagedKey(
            number=number,
            created_at=at,
            name=f"Report {number}",
            owner_team=owners.team,
            recipient=owners.recipient,
            consumer=f"report-{number}",
            service=owners.service,
            environment=place,
            policy=policy,
            origin="bootstrap",
            kind=str(kind),
            scopes=list(owners.scopes),
            cryptoperiod_days=30,
            authorised_until=at + timedelta(days=180),
            verifies_service=verifies,
            verifies_environment=place if verifies is not None else None,
        )
        text = mint(environment)
        version = KeyVersion(
            managed_key=key,
            sequence=1,
            kid=text.kid,
            created_at=at,
            state=str(VersionState.ACTIVE),
            digest=digest(text.secret),
            digest_algorithm=CURRENT_ALGORITHM,
            last4=text.last4,
            claim_until=at + timedelta(days=3),
            claimed_at=at,
            claimed_by=owners.recipient,
            activated_at=at,
            expires_at=at + timedelta(days=30),
        )
        if kind == KeyKind.HMAC_SHA256:
            version.sealed_secret = seal_secret(version, text.secret)
        version.row_mac = mac_of(version)
        rotation = Rotation(
            managed_key=key,
            created_at=at,
            state=str(RotationState.SCHEDULED),
            cause=str(RotationCause.SCHEDULE),
            overlap="24h",
            due_at=at + timedelta(days=15),
            old_version=version,
            started_by=f"{actor.kind}:{actor.id}",
        )
        changes.add(key, KeyCreated, environment=environment)
        changes.add(version, VersionIssued, environment=environment)
        changes.add(rotation, RotationScheduled, environment=environment)
        made.append((key, text.secret.reveal()))
    changes.write()
    return made
