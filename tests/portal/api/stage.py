"""One world for many requests: made once a module in a transaction that is rolled back, a savepoint for each test."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from rest_framework.test import APIClient

from audit import clock
from audit.actor import Actor, ActorKind, Auth, RequestFacts
from audit.models import AuditExport
from audit.uuid7 import uuid7
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.handover import offer_transfer
from keys.lifecycle.issuance import create_key
from keys.lifecycle.revocation import suspend_key
from keys.models import Environment, KeyRequest, KeyTransfer, KeyVersion, ManagedKey, Person, Service
from keys.operations import operation
from keys.reports import export_files
from keys.states import SuspensionReason
from keys.verification.credentials import Credential
from tests.people import SYSTEM, World, acting, approved, issued, submitted
from tests.sealers import answer_for_the_sealer

ALL_SCOPES = ("keys:read", "keys:revoke", "requests:read", "requests:write", "audit:read", "keys:verify")


@dataclass(frozen=True)
class Stage:
    """Alice's things in every state that an operation may ask for."""

    world: World
    pending: KeyRequest
    living: ManagedKey
    suspended: ManagedKey
    unclaimed: KeyVersion
    offered: KeyTransfer
    program: ManagedKey
    strange_program: ManagedKey

    def client(self, role: str) -> APIClient:
        """Speak as this role, stepped up for everything."""
        client = APIClient()
        people = {
            "developer": self.world.alice,
            "approver": self.world.bob,
            "administrator": self.world.admin,
            "responder": self.world.responder,
            "auditor": self.world.auditor,
            "stranger": self.world.mallory,
        }
        if role in people:
            client.force_authenticate(user=acting(people[role], "*"))
        elif role == "program":
            client = self.as_program(self.program)
        return client

    def as_person(self, person: Person, *purposes: str) -> APIClient:
        client = APIClient()
        client.force_authenticate(user=acting(person, *purposes))
        return client

    def as_program(self, key: ManagedKey, *scopes: str) -> APIClient:
        client = APIClient()
        actor, credential = program_actor(key, *scopes)
        client.force_authenticate(user=actor, token=credential)
        return client


def program_actor(key: ManagedKey, *scopes: str) -> tuple[Actor, Credential]:
    actor = Actor(
        kind=ActorKind.PROGRAM,
        id=str(key.pk),
        name=key.name,
        auth=Auth(methods=("managed-key",)),
        http=RequestFacts(id="test", method="POST", route="test"),
    )
    credential = Credential(
        key_id=key.pk,
        kid="-",
        name=key.name,
        environment=key.environment.tag,
        scopes=frozenset(scopes or key.scopes),
        asks_about=None,
    )
    return actor, credential


def make_program(team: Any, recipient: Person, *, scopes: tuple[str, ...] = ALL_SCOPES) -> Any:
    """A claimed key of Keystead's own service: the key and its secret."""
    key = _program_key(team, recipient, scopes=scopes, actor=SYSTEM)
    claim = claim_secret(key.versions.get(), actor=acting(recipient, "claim"))
    return key, claim.secret


@operation
def _program_key(team: Any, recipient: Person, *, scopes: tuple[str, ...], actor: Actor) -> Any:
    at = clock.now()
    return create_key(
        claim_until=at + timedelta(hours=1),
        actor=actor,
        at=at,
        name="Continuous delivery",
        owner_team=team,
        recipient=recipient,
        consumer="pipeline",
        service=Service.objects.get(slug="keystead"),
        environment=Environment.objects.get(tag="prod"),
        origin="bootstrap",
        kind="bearer",
        scopes=list(scopes),
        cryptoperiod_days=30,
        authorised_until=at + timedelta(days=30),
    )


def set_stage(world: World) -> Stage:
    program, _ = make_program(world.reporting, world.alice)
    strange, _ = make_program(world.other, world.mallory)
    suspended = issued(world, name="Suspended")[0]
    suspend_key(suspended, actor=acting(world.alice, "suspend"), reason=SuspensionReason.INVESTIGATION)
    offered = issued(world, name="Offered")[0]
    return Stage(
        world=world,
        pending=submitted(world, name="Pending", networks=("10.0.0.0/8",)),
        living=issued(world, name="Living")[0],
        suspended=suspended,
        unclaimed=approved(world, name="Unclaimed").versions.get(),
        offered=offer_transfer(offered, to_team=world.orders_team, actor=acting(world.alice, "handover")),
        program=program,
        strange_program=strange,
    )


def finished_export(requested_by: str) -> AuditExport:
    """A file from the log as a worker leaves it."""
    at = clock.now()
    uid = uuid7(int(at.timestamp() * 1000))
    name = export_files.new_name(uid, 1)
    with export_files.create(name) as file:
        file.write(b"a file")
        size, digest = export_files.measured(file)
    return AuditExport.objects.create(
        uid=uid, requested_at=at, requested_by=requested_by, form="jsonl", scope={"search": {}}, state="done", attempts=1,
        size=size, sha256=digest, file=name, finished_at=at, expires_at=at + timedelta(days=7),
    )  # fmt: skip


@contextmanager
def rolled_back():
    """A transaction that operations take for none, as in Django's own TestCase."""
    block = transaction.atomic()
    block._from_testcase = True
    with pytest.MonkeyPatch.context() as patch, block:
        answer_for_the_sealer(patch)
        yield
        transaction.set_rollback(True)
