"""Time one act over many keys, from the confirmed list to the commit, beside stopping them one by one."""

from __future__ import annotations

import statistics
import time
import uuid

from audit import clock
from audit.actor import Actor, ActorKind, Auth, StepUp
from benchmarks.cluster import Cluster
from benchmarks.emergency.population import Owners, make_keys
from benchmarks.emergency.sizes import Sizes
from benchmarks.measuring import seconds
from benchmarks.results import Result, at_most, told
from keys.catalogue.services import create_scope, create_service
from keys.events import PersonInvited, TeamCreated
from keys.lifecycle.emergency import Measure, execute_emergency
from keys.lifecycle.emergency_lists import EmergencyFilter, list_keys
from keys.lifecycle.revocation import revoke_key
from keys.models import ManagedKey, Person, Team
from keys.operations import insert, operation
from keys.states import RevocationReason

SYSTEM = Actor.system("benchmark")
GOAL = 5.0


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """Stop and replace the keys of a team, among those of another with as many."""
    cluster.use(cluster.create("emergency"))
    person, mine, others = _owners(actor=SYSTEM)
    make_keys(others, count=sizes.keys, actor=SYSTEM)
    results = []
    for act in Measure:
        times, lists, work = [], [], []
        for _ in range(sizes.rounds):
            make_keys(mine, count=sizes.keys, actor=SYSTEM)
            lists.append(seconds(lambda: list_keys(_wanted(mine), actor=_responder(person))))
            began = time.process_time()
            times.append(seconds(lambda act=act: _execute(mine, act, person)))  # type: ignore[misc]  # called at once
            work.append(time.process_time() - began)
            _execute(mine, Measure.REVOKE, person)  # nothing of this round is left for the next
        results += [
            at_most(f"{act} {sizes.keys:,} keys in one act, the slowest round", max(times), GOAL, "s"),
            told(f"{act} {sizes.keys:,} keys in one act, median", statistics.median(times), "s"),
            told("the same, processor time of our process, median", statistics.median(work), "s"),
            told("list them for the page before, median", statistics.median(lists), "s"),
        ]
    keys = [key for key, _ in make_keys(mine, count=sizes.singly, actor=SYSTEM)]
    one_by_one = seconds(lambda: _singly(keys, person)) / len(keys) * sizes.keys
    return [*results, told(f"revoke {sizes.keys:,} keys one by one, from {sizes.singly} of them", one_by_one, "s")]


def _execute(owners: Owners, act: Measure, person: Person) -> uuid.UUID | None:
    shown = list_keys(_wanted(owners), actor=_responder(person))
    if not shown.keys:
        return None
    return execute_emergency(
        _wanted(owners), numbers=shown.numbers, digest=shown.digest, measure=act, actor=_responder(person)
    )


def _singly(keys: list[ManagedKey], person: Person) -> None:
    for key in keys:
        revoke_key(key, actor=_responder(person), reason=RevocationReason.KEY_COMPROMISE)


def _wanted(owners: Owners) -> EmergencyFilter:
    return EmergencyFilter(team=owners.team.slug)


def _responder(person: Person) -> Actor:
    at = clock.now()
    step_up = StepUp(purpose="revoke", method="passkey", at=at)
    auth = Auth(mfa=True, methods=("passkey",), at=at, assurance="aal2", step_ups=(step_up,))
    return Actor(kind=ActorKind.PERSON, id=str(person.pk), name=person.name, session="5e" * 32, auth=auth)


@operation
def _owners(*, actor: Actor) -> tuple[Person, Owners, Owners]:
    at = clock.now()
    person = Person(email="responder@example.com", name="Responder", roles=["responder"], created_at=at)
    person.set_unusable_password()
    insert(person, PersonInvited, actor=actor, at=at)
    teams = [
        insert(Team(slug=slug, name=slug.title(), created_at=at), TeamCreated, actor=actor, at=at)
        for slug in ("reporting", "wallets")
    ]
    service = create_service(
        slug_text="orders", name="Orders", description="Places orders.", owner_team=teams[0], actor=actor
    )
    create_scope(service, name="orders:read", description="Reads.", access="read", risk="low", actor=actor)
    mine, others = (Owners(team=team, recipient=person, service=service, scopes=("orders:read",)) for team in teams)
    return person, mine, others
