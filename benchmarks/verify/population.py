"""Fill a database with one service's keys and the credential it asks with, and write questions about them."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from audit import clock
from audit.actor import Actor
from benchmarks.cluster import Cluster
from benchmarks.emergency.population import Owners, make_keys
from benchmarks.verify.load import question
from keys.catalogue.services import create_scope, create_service
from keys.crypto.key_text import mint
from keys.events import PersonInvited, TeamCreated
from keys.models import ManagedKey, Person, Service, Team
from keys.operations import insert, operation

SYSTEM = Actor.system("benchmark")
STRANGERS = 10  # in a hundred
CHUNK = 1_000


@dataclass(frozen=True, kw_only=True)
class Population:
    """A service's keys with their secrets, and its credential."""

    database: str
    person: Person
    keys: list[tuple[ManagedKey, str]]
    credential: str
    owners: Owners

    def questions(self, path: str = "/v1/verify") -> list[bytes]:
        """Questions about every key and some strangers' texts, shuffled, always the same."""
        texts = [text for _, text in self.keys]
        texts += [mint("prod").secret.reveal() for _ in range(max(1, len(texts) * STRANGERS // (100 - STRANGERS)))]
        random.Random(1).shuffle(texts)
        told = {"Authorization": f"Bearer {self.credential}"}
        if path == "/v1/verify":
            return [question(path, f'{{"key":"{text}"}}'.encode(), **told) for text in texts]
        return [
            question(path, f"token={text}".encode(), kind="application/x-www-form-urlencoded", **told) for text in texts
        ]


def populate(cluster: Cluster, database: str, *, count: int) -> Population:
    """Make a database with `count` working keys."""
    cluster.use(cluster.create(database))
    person, owners = _owners(actor=SYSTEM)
    keys: list[tuple[ManagedKey, str]] = []
    while len(keys) < count:
        keys += make_keys(owners, count=min(CHUNK, count - len(keys)), actor=SYSTEM)
    credential = _credential(owners, actor=SYSTEM)
    return Population(database=database, person=person, keys=keys, credential=credential, owners=owners)


@operation
def _owners(*, actor: Actor) -> tuple[Person, Owners]:
    at = clock.now()
    person = Person(email="responder@example.com", name="Responder", roles=["responder"], created_at=at)
    person.set_unusable_password()
    insert(person, PersonInvited, actor=actor, at=at)
    team = insert(Team(slug="orders", name="Orders", created_at=at), TeamCreated, actor=actor, at=at)
    service = create_service(slug_text="orders", name="Orders", description="Orders.", owner_team=team, actor=actor)
    create_scope(service, name="orders:read", description="Reads.", access="read", risk="low", actor=actor)
    return person, Owners(team=team, recipient=person, service=service, scopes=("orders:read",))


def _credential(owners: Owners, *, actor: Actor) -> str:
    """A key of Keystead's own service that may ask about these."""
    own = replace(owners, service=Service.objects.get(slug="keystead"), scopes=("keys:verify",))
    [(_, secret)] = make_keys(own, count=1, actor=actor, verifies=owners.service)
    return secret
