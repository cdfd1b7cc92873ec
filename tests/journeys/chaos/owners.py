"""The owner of keys at a browser without script, who is handed each new secret, also when the site dies meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import requests
from django.db import connections

from audit import clock
from audit.actor import Actor
from keys.errors import Conflict
from keys.events import RotationScheduled
from keys.lifecycle.rotation_steps import open_rotation
from keys.lifecycle.transitions import locked_key
from keys.models import ManagedKey, Rotation
from keys.operations import operation, update
from keys.states import Overlap
from tests.accounts import PASSWORD
from tests.audit.processes import wait_until
from tests.journeys.chaos.borders import Border, Borders
from tests.journeys.chaos.traffic import Traffic
from tests.journeys.travel import SECRET, Traveller, words_of
from tests.servers import PortalServer


@operation
def bring_forward(key: ManagedKey, *, overlap: Overlap, actor: Actor) -> Rotation:
    """Let weeks pass: the scheduled rotation is due now. On record, so that the replayed log says the same."""
    found = open_rotation(locked_key(key))
    if found is None or found.state != "scheduled":
        raise Conflict("nothing_scheduled")
    at = clock.now()
    columns: dict[str, object] = {"due_at": at, "overlap": str(overlap)}
    return update(found, RotationScheduled, actor=actor, at=at, columns=columns)


def wait_for_state(rotation: Rotation, *states: str) -> None:
    """Wait until a rotation stands so."""
    wait_until(lambda: Rotation.objects.filter(pk=rotation.pk, state__in=states).exists())


def die_while(
    site: PortalServer,
    borders: Borders,
    action: str,
    border: Border,
    *,
    act: Callable[[], object],
    kill: Callable[[], object] | None = None,
) -> None:
    """Let somebody send a form, and kill the site where it writes `action`: the connection ends without an answer."""
    heard: list[object] = []

    def send() -> None:
        try:
            heard.append(act())
        except requests.RequestException as nothing:
            heard.append(nothing)
        finally:
            connections.close_all()

    sending = threading.Thread(target=send)
    with borders.held(action, border=border) as wait_for_somebody:
        sending.start()
        wait_for_somebody(action)
        (kill or site.kill_workers)()
    sending.join()
    assert isinstance(heard[0], requests.RequestException), heard


def come_back(traveller: Traveller) -> None:
    """Sign in again when somebody answers: the session's new name was in the answer that was lost."""
    wait_until(partial(is_open, traveller.server))
    traveller.browser.cookies.clear()
    traveller.get("/sign-in/")
    traveller.post("/sign-in/", {"email": traveller.person.email, "password": PASSWORD})
    traveller.post("/sign-in/second-factor/", {"code": traveller.code()})


def is_open(site: PortalServer) -> bool:
    """Whether somebody answers."""
    try:
        return requests.get(f"{site.url}/healthz", timeout=5).status_code == 200
    except requests.RequestException:
        return False


class Owner:
    """Whoever claims; what she is handed, the services ask about from then on."""

    def __init__(self, traveller: Traveller, traffic: Traffic) -> None:
        self.traveller, self.traffic = traveller, traffic

    def claims(self, key: ManagedKey) -> str:
        """Claim the newest version of a key that waits, and let its program use it."""
        version = key.versions.order_by("-sequence")[0]
        place = f"/keys/{key.number}/claim/"
        self.traveller.get(place)
        page = self.traveller.post(place, {"version": str(version.sequence), "code": self.traveller.code()})
        found = set(SECRET.findall(page))
        assert len(found) == 1, words_of(page)
        (secret,) = found
        self.traffic.learn(key.number, version.sequence, secret)
        return str(secret)

    def replaces(self, key: ManagedKey) -> str:
        """Say that the secret was lost, and claim the next one."""
        place = f"/keys/{key.number}/replace/"
        self.traveller.get(place)
        self.traveller.post(place, {"code": self.traveller.code()})
        return self.claims(key)
