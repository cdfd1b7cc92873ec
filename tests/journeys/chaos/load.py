"""People and programs at work over and over, and what they were told is done."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import requests
from django.db import DatabaseError, InterfaceError, connections

from benchmarks.emergency.population import Owners, make_keys
from keys.errors import Conflict, KeysError
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.rotation import start_rotation
from keys.models import KeyRequest, ManagedKey, Rotation
from keys.states import Overlap
from tests.journeys.chaos.owners import bring_forward
from tests.people import SYSTEM, World, acting
from tests.portal.api.test_bad_input import DRAFT
from tests.servers import PortalServer

PAUSE = 0.2


class NotDone(Exception):
    """Nobody said that it is done: it may be, or not."""


LOST = (NotDone, requests.RequestException, DatabaseError, InterfaceError)


@dataclass
class Acknowledged:
    """What somebody was told is done: afterwards it must be."""

    requests: list[str] = field(default_factory=list)
    revoked: list[tuple[ManagedKey, str]] = field(default_factory=list)
    rotated: list[Rotation] = field(default_factory=list)
    claimed: list[tuple[ManagedKey, int, str]] = field(default_factory=list)
    due: list[Rotation] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        return {name: len(rows) for name, rows in vars(self).items()}


class Load:
    """Each act in a thread of its own, again and again."""

    def __init__(self, site: PortalServer, world: World, pipeline: str, *, keys: int) -> None:
        self.site, self.world = site, world
        self.headers = {"Authorization": f"Bearer {pipeline}"}
        owners = Owners(team=world.reporting, recipient=world.alice, service=world.orders, scopes=("orders:read",))
        self.keys = make_keys(owners, count=keys, actor=SYSTEM)
        self.done = Acknowledged()
        self.unanswered: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.failed: list[BaseException] = []
        self._over = threading.Event()
        self._interrupted: set[object] = set()
        third = keys // 3
        acts = {
            "ask": self._asks(),
            "revoke": self._revokes(self.keys[:third]),
            "rotate": self._rotates([key for key, _ in self.keys[third : 2 * third]]),
            "come due": self._comes_due([key for key, _ in self.keys[2 * third :]]),
        }
        self._threads = [threading.Thread(target=self._repeat, args=each, name=each[0]) for each in acts.items()]

    def _repeat(self, name: str, acts: Iterator[Callable[[], None]]) -> None:
        act = next(acts)
        try:
            while not self._over.is_set():
                try:
                    act()
                    act = next(acts)
                except LOST as nothing:
                    self.unanswered[
                        f"{name}: {nothing if isinstance(nothing, NotDone) else type(nothing).__name__}"
                    ] += 1
                    connections.close_all()
                    self._over.wait(0.1)
                except KeysError as refused:
                    self.refused[f"{name}: {refused.code}"] += 1
                    self._over.wait(0.1)
        except BaseException as error:
            self.failed.append(error)
        finally:
            connections.close_all()

    @contextmanager
    def _once(self, key: ManagedKey, *already: str) -> Iterator[None]:
        """Do something to a key that is done once. Whoever lost the answer asks again, and "already" answers that."""
        try:
            yield
        except LOST:
            self._interrupted.add(key.pk)
            raise
        except Conflict as refused:
            if refused.code not in already or key.pk not in self._interrupted:
                raise
            self.refused[f"{refused.code}, the answer was lost"] += 1

    def _post(self, path: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
        answer = requests.post(
            f"{self.site.url}/api/v1/{path}", json=body, headers={**self.headers, **headers}, timeout=30
        )
        if answer.status_code >= 500:
            raise NotDone(str(answer.status_code))
        if answer.status_code == 409:
            raise Conflict(str(answer.json()["code"]))
        assert answer.status_code in (200, 201), answer.text
        return dict(answer.json())

    def _asks(self) -> Iterator[Callable[[], None]]:
        for place in itertools.count():
            yield partial(self._ask, f"Report of day {place}")

    def _ask(self, name: str) -> None:
        recipient = str(self.world.alice.pk)
        body = {**DRAFT, "name": name, "recipient": recipient}
        made = self._post("requests", body, **{"Idempotency-Key": uuid.uuid4().hex})
        self.done.requests.append(str(made["id"]))
        time.sleep(PAUSE)

    def _revokes(self, keys: list[tuple[ManagedKey, str]]) -> Iterator[Callable[[], None]]:
        for key, secret in keys:
            yield partial(self._revoke, key, secret)
            time.sleep(PAUSE)
        yield from itertools.repeat(partial(self._over.wait, 0.1))  # type: ignore[arg-type]  # nothing is left to do

    def _revoke(self, key: ManagedKey, secret: str) -> None:
        with self._once(key, "already_revoked"):  # that it is revoked acknowledges it as well
            self._post(f"keys/{key.pk}/revoke", {"reason": "superseded"})
        self.done.revoked.append((key, secret))

    def _rotates(self, keys: list[ManagedKey]) -> Iterator[Callable[[], None]]:
        for key in keys:
            yield partial(self._rotate, key)
            time.sleep(PAUSE)
        yield from itertools.repeat(partial(self._over.wait, 0.1))  # type: ignore[arg-type]

    def _rotate(self, key: ManagedKey) -> None:
        alice = acting(self.world.alice, "claim")
        with self._once(key, "version_waits_for_claim", "rotation_open"):  # nobody was told its secret
            rotation = start_rotation(key, overlap=Overlap.HOUR, actor=alice)
            self.done.rotated.append(rotation)
            assert rotation.new_version is not None
            secret = claim_secret(rotation.new_version, actor=alice).secret
            assert secret is not None
            self.done.claimed.append((key, rotation.new_version.sequence, secret.reveal()))

    def _comes_due(self, keys: list[ManagedKey]) -> Iterator[Callable[[], None]]:
        for key in keys:
            yield partial(self._come_due, key)
            time.sleep(PAUSE)
        yield from itertools.repeat(partial(self._over.wait, 0.1))  # type: ignore[arg-type]

    def _come_due(self, key: ManagedKey) -> None:
        with self._once(key, "nothing_scheduled"):  # the worker took it, and nobody was told its date
            self.done.due.append(bring_forward(key, overlap=Overlap.DAY, actor=SYSTEM))

    def go_on(self) -> None:
        """Wait until something of everything was acknowledged once more."""
        before = self.done.counts()
        deadline = time.monotonic() + 120
        while waits := [name for name, count in self.done.counts().items() if count == before[name]]:
            assert not self.failed, self.failed
            assert time.monotonic() < deadline, (waits, self.done.counts(), self.unanswered, self.refused)
            time.sleep(0.02)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        assert not self.failed, self.failed

    def lost(self) -> list[str]:
        """What was acknowledged and is not there."""
        there = {str(pk) for pk in KeyRequest.objects.values_list("pk", flat=True)}
        lost = [f"request {pk}" for pk in self.done.requests if pk not in there]
        for key, _ in self.done.revoked:
            key.refresh_from_db()
            lost += [] if key.revoked_at else [f"revocation of {key}"]
        for rotation in self.done.due:
            kept = Rotation.objects.filter(pk=rotation.pk, due_at=rotation.due_at)
            lost += [] if kept.exists() else [f"{rotation}: its date"]
        for rotation in self.done.rotated:
            rotation.refresh_from_db()
            lost += [f"{rotation}: {rotation.state}"] if rotation.state == "scheduled" else []
        for key, sequence, _ in self.done.claimed:
            state = key.versions.get(sequence=sequence).state
            lost += [] if state == "active" else [f"secret {sequence} of {key}: {state}"]
        return lost
