"""A key whose client may fetch its next secrets itself, and that client as an actor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from audit import clock
from audit.actor import Actor, ActorKind, Auth, RequestFacts
from keys.catalogue.policies import add_version, rules_of
from keys.crypto.secrets import Secret
from keys.lifecycle.rotation import start_rotation
from keys.models import KeyVersion, ManagedKey, Policy, Rotation
from keys.operations import operation
from keys.states import Overlap
from tests.people import SYSTEM, World, acting, issued

INSIDE, OUTSIDE = "10.1.2.3", "192.0.2.9"
NETWORKS = ("10.0.0.0/8",)
TOKEN, OTHER_TOKEN = "token-of-the-client-1", "token-of-somebody-else"


@operation
def let_clients_fetch(world: World, *, allowed: bool = True, actor: Actor = SYSTEM, **others: Any) -> None:
    """Change the policy of orders in production."""
    current = Policy.objects.current().select_related("environment").get(service=world.orders, environment__tag="prod")
    rules = replace(rules_of(current), self_fetch_allowed=allowed, **others)
    add_version(world.orders, current.environment, rules, actor=actor, at=clock.now())


def fetching(world: World, **changes: Any) -> tuple[ManagedKey, KeyVersion, Secret]:
    """A living key of Alice's, approved to fetch its next secrets itself, with its first secret."""
    let_clients_fetch(world)
    return issued(world, **{"self_fetch": True, "networks": NETWORKS, **changes})


def client_of(key: ManagedKey) -> Actor:
    """The program that holds the key."""
    return Actor(
        kind=ActorKind.PROGRAM,
        id=str(key.pk),
        name=key.name,
        auth=Auth(methods=("managed-key",), assurance="managed-key"),
        http=RequestFacts(id="test", method="POST", route="test"),
    )


def due(world: World, key: ManagedKey, overlap: Overlap = Overlap.HOUR) -> Rotation:
    """A rotation whose next secret waits."""
    return start_rotation(key, overlap=overlap, actor=acting(world.anna, "claim"))
