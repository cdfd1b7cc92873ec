"""Each way in which a secret is replaced, over HTTP: what begins it, who takes the new one, and that something always works."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client

from audit import clock
from audit.actor import Actor
from keys.catalogue.policies import add_version, rules_of
from keys.lifecycle.rotation_steps import hasten, open_rotation
from keys.lifecycle.transitions import locked_key
from keys.models import ManagedKey, Person, Policy
from keys.operations import operation
from keys.people.roles import deactivate_person
from keys.states import RotationCause
from keys.tasks import follow_policies, rotate
from tests.fetching import INSIDE, TOKEN, fetching, let_clients_fetch
from tests.people import SYSTEM, World, acting, issued, verifying_credential
from tests.portal.api.sessions import CSRF, session_cookie

pytestmark = pytest.mark.usefixtures("sealing")


class Road:
    """What people, clients and services send, without sockets between."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.credential = verifying_credential(world).reveal()

    def _sent(self, method: str, path: str, body: object = None, **headers: str) -> Any:  # Any: JSON
        answer = Client(raise_request_exception=True).generic(
            method,
            path,
            "" if body is None else json.dumps(body),
            content_type="application/json",
            HTTP_HOST="localhost",
            **headers,
        )
        assert answer.status_code < 300, f"{method} {path}: {answer.content.decode()}"
        return answer.json()

    def person(self, person: Person, path: str, body: dict[str, object] | None = None) -> Any:  # Any: JSON
        """Change something over REST, as somebody signed in with both factors."""
        cookies = f"session={session_cookie(person, '*')}; csrf={CSRF}"
        return self._sent("POST", f"/api/v1{path}", body or {}, HTTP_COOKIE=cookies, HTTP_X_CSRFTOKEN=CSRF)

    def client(self, method: str, path: str, secret: str, token: str = "") -> Any:  # Any: JSON
        """Ask as the program that holds a key."""
        headers = {"HTTP_AUTHORIZATION": f"Bearer {secret}", "REMOTE_ADDR": INSIDE}
        return self._sent(
            method, f"/v1/rotation{path}", **headers, **({"HTTP_IDEMPOTENCY_KEY": token} if token else {})
        )

    def accepts(self, *secrets: str) -> list[bool]:
        """What the service is told of each secret now."""
        headers = {"HTTP_AUTHORIZATION": f"Bearer {self.credential}"}
        return [
            self._sent("POST", "/v1/verify", {"key": each, "client": {"address": INSIDE}}, **headers)["valid"]
            for each in secrets
        ]

    def claims(self, key: ManagedKey, person: Person) -> str:
        """The recipient takes the secret that waits."""
        version = key.versions.get(state="pre-activation")
        return str(self.person(person, f"/versions/{version.pk}/claim")["secret"])

    def fetches(self, old: str) -> str:
        """The client takes it, shows it, and goes on with it."""
        assert self.client("GET", "", old)["ready"]
        new = str(self.client("POST", "/next", old, TOKEN)["secret"])
        assert self.accepts(old, new) == [True, False]
        assert self.client("POST", "/activate", new)["state"] in ("activated", "draining")
        return new


@pytest.fixture
def road(world: World) -> Iterator[Road]:
    let_clients_fetch(world)
    return Road(world)


Begin = Callable[[Road, ManagedKey], None]


def _by_schedule(road: Road, key: ManagedKey) -> None:
    _let_it_be_due(key)
    assert rotate() == 1


def _on_demand(road: Road, key: ManagedKey) -> None:
    road.person(road.world.anna, f"/keys/{key.pk}/rotate", {"overlap": "1h"})


def _by_policy(road: Road, key: ManagedKey) -> None:
    _let_secrets_live(road.world, days=1)
    assert follow_policies() >= 1
    _let_secrets_live(road.world, days=90)
    _let_it_be_due(key)
    assert rotate() == 1


@operation
def _let_it_be_due(key: ManagedKey, *, actor: Actor = SYSTEM) -> None:
    rotation = open_rotation(locked_key(key))
    assert rotation is not None
    at = clock.now()
    hasten(rotation, due_at=at, cause=RotationCause(rotation.cause), actor=actor, at=at)


@operation
def _let_secrets_live(world: World, *, days: int, actor: Actor = SYSTEM) -> None:
    current = Policy.objects.current().select_related("environment").get(service=world.orders, environment__tag="prod")
    rules = replace(rules_of(current), max_cryptoperiod_days=days)
    add_version(world.orders, current.environment, rules, actor=actor, at=clock.now())


def test_what_begins_on_schedule_on_demand_or_by_policy_is_claimed_or_fetched(road: Road, world: World) -> None:
    for cause, begin in (("schedule", _by_schedule), ("demand", _on_demand), ("policy", _by_policy)):
        for fetched in (False, True):
            key, _, told = fetching(world, name=f"{cause} {fetched}")
            old = told.reveal()
            begin(road, key)
            rotation = key.rotations.open().get()
            assert (rotation.state, rotation.cause) == ("prepared", cause)
            assert road.accepts(old) == [True]
            new = road.fetches(old) if fetched else road.claims(key, world.alice)
            assert road.accepts(old, new) == [True, True]
            # The administrator does not wait for the overlap.
            road.person(world.admin, f"/rotations/{rotation.pk}/retire", {"retire_at": "2020-01-01T00:00:00Z"})
            assert road.accepts(old, new) == [False, True]
            rotate()
            rotation.refresh_from_db()
            assert rotation.state == "completed"


def test_what_was_lost_or_known_to_a_leaver_is_claimed_by_a_person(road: Road, world: World) -> None:
    key, _, told = issued(world, name="Lost")
    road.person(world.alice, f"/keys/{key.pk}/versions")
    assert key.rotations.open().get().cause == "lost"
    new = road.claims(key, world.alice)
    assert road.accepts(told.reveal(), new) == [True, True]

    key, _, told = fetching(world, name="Left behind")
    road.person(world.alice, f"/keys/{key.pk}/recipient", {"recipient": str(world.anna.pk), "rotate": True})
    deactivate_person(world.alice, actor=acting(world.admin, "people"))
    assert key.rotations.open().get().cause == "leaver"
    assert road.client("GET", "", told.reveal())["why_not"] == "fetch_by_people_only"
    new = road.claims(key, world.anna)
    assert road.accepts(told.reveal(), new) == [True, True]


def test_what_leaked_ends_when_the_new_secret_is_there(road: Road, world: World) -> None:
    key, _, told = fetching(world, name="Leaked")
    road.person(world.alice, f"/keys/{key.pk}/report-leak")
    assert road.accepts(told.reveal()) == [False]
    road.person(world.alice, f"/keys/{key.pk}/versions")
    assert key.rotations.open().get().cause == "compromise"
    new = road.claims(key, world.alice)
    assert road.accepts(told.reveal(), new) == [False, True]


def test_after_a_revocation_in_any_phase_nothing_ever_verifies_again(road: Road, world: World) -> None:
    revoked = []
    for phase in ("scheduled", "prepared", "handed-over", "activated", "draining", "completed"):
        key, _, told = fetching(world, name=phase)
        secrets = _brought_to(phase, key, told.reveal(), road=road)
        rotate()
        assert phase in key.rotations.values_list("state", flat=True)
        assert any(road.accepts(*secrets))
        road.person(world.alice, f"/keys/{key.pk}/revoke", {"reason": "superseded"})
        assert not any(road.accepts(*secrets))
        assert not key.rotations.open().exists()
        revoked += secrets
    rotate()
    assert not any(road.accepts(*revoked))
    for secret in revoked:
        for path in ("/next", "/activate"):
            with pytest.raises(AssertionError, match="invalid_token"):
                road.client("POST", path, secret, TOKEN)


def _brought_to(phase: str, key: ManagedKey, secret: str, *, road: Road) -> list[str]:
    """Take the key's rotation that far; returns all secrets that were told."""
    if phase == "scheduled":
        return [secret]
    overlap = {"activated": "when-idle", "completed": "now"}.get(phase, "1h")
    road.person(road.world.anna, f"/keys/{key.pk}/rotate", {"overlap": overlap})
    if phase == "prepared":
        return [secret]
    new = str(road.client("POST", "/next", secret, TOKEN)["secret"])
    if phase != "handed-over":
        road.client("POST", "/activate", new)
    return [secret, new]
