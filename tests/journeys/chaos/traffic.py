"""Services that ask about every secret that owners know, so many times a second, and what they heard."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from tests.audit.processes import wait_until
from tests.journeys.chaos.processes import VerifyDoor
from tests.servers import PortalServer

NEWEST = 3  # of the secrets of one key: at most two verify, and one may be lost between them
UNANSWERED = "unanswered"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One look at a key: what each secret that its owner knew at the beginning was answered, by version."""

    key: int
    place: int  # of whoever asked: each has a connection of its own, and so always the same process
    began: float
    heard: float
    verdicts: Mapping[int, str]

    @property
    def is_valid(self) -> bool:
        return "valid" in self.verdicts.values()


class Service:
    """A service that asks over one kept connection."""

    def __init__(self, door: PortalServer | VerifyDoor, credential: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
        self.headers = {
            "Host": f"localhost:{door.port}",
            "Content-Type": "application/json",
            "Authorization": f"Bearer {credential}",
        }

    def ask(self, secret: str, *, instance: str = "") -> str:
        """Return "valid", the reason of a refusal, or that nobody answered for the database."""
        body = json.dumps({"key": secret, "client": {"address": "10.20.0.5", "instance": instance}})
        for is_last in (False, True):
            try:
                self.connection.request("POST", "/v1/verify", body, self.headers)
                answer = self.connection.getresponse()
                said = json.loads(answer.read())
            except (http.client.HTTPException, OSError):
                self.connection.close()  # an idle connection was closed by the other side
                if is_last:
                    return UNANSWERED
                continue
            if answer.status == 503:
                return UNANSWERED
            assert answer.status == 200, said
            return "valid" if said["valid"] else str(said["reason"])
        raise AssertionError

    def close(self) -> None:
        self.connection.close()


class Traffic:
    """Ask without a pause; everything heard is kept."""

    def __init__(self, door: PortalServer | VerifyDoor, credential: str, *, rate: float = 200, width: int = 4) -> None:
        self.samples: list[Sample] = []
        self.attempts = 0
        self.failed: list[BaseException] = []
        self._known: dict[int, dict[int, str]] = {}
        self._promised: dict[int, float] = {}
        self._pause = width / rate
        self._over = threading.Event()
        self._door, self._credential = door, credential
        self._threads = [threading.Thread(target=self._work, args=(place,)) for place in range(width)]

    def learn(self, key: int, version: int, secret: str) -> None:
        """From now on the owner knows this secret, and it is asked about."""
        self._known = {**self._known, key: {**self._known.get(key, {}), version: secret}}

    def secret(self, key: int, version: int) -> str:
        return self._known[key][version]

    def _work(self, place: int) -> None:
        service, turn = Service(self._door, self._credential), place
        try:
            due = time.monotonic()
            while not self._over.is_set():
                known = self._known
                keys = sorted(known)
                if not keys:
                    self._over.wait(0.01)
                    continue
                turn += 1
                key = keys[turn % len(keys)]
                began, verdicts = time.time(), {}
                for version in sorted(known[key])[-NEWEST:]:
                    verdicts[version] = service.ask(known[key][version], instance=f"worker-{place}")
                    due = max(due + self._pause, time.monotonic() - 1)
                self.samples.append(Sample(key=key, place=place, began=began, heard=time.time(), verdicts=verdicts))
                self.attempts += len(verdicts)
                self._over.wait(max(0.0, due - time.monotonic()))
        except BaseException as error:
            self.failed.append(error)
        finally:
            service.close()

    def wait_for(self, wanted: Callable[[Sample], bool], *, seconds: float = 30) -> Sample:
        """Wait for the first sample like this that begins after now."""
        place, found = len(self.samples), []

        def look() -> bool:
            nonlocal place
            assert not self.failed, self.failed
            upto = len(self.samples)
            found.extend(each for each in self.samples[place:upto] if wanted(each))
            place = upto
            return bool(found)

        wait_until(look, seconds)
        return found[0]

    def go_on(self, key: int) -> Sample:
        """Wait until this key was asked about once more."""
        now = time.time()
        return self.wait_for(lambda each: each.key == key and each.began > now)

    @property
    def accepted(self) -> int:
        return sum(verdict == "valid" for each in self.samples for verdict in each.verdicts.values())

    def settle(self, key: int) -> None:
        """Wait until everybody has heard of a new key; from now on there is always a secret of it that works."""
        know: set[int] = set()

        def all_know(sample: Sample) -> bool:
            if sample.key == key:
                (know.add if sample.is_valid else know.discard)(sample.place)
            return len(know) == len(self._threads)

        self.wait_for(all_know)
        self._promised[key] = time.time()

    def without_a_valid_one(self) -> list[Sample]:
        """Samples in which nothing that the owner knew was accepted, though there was always to be something."""
        return [each for each in self.samples if not each.is_valid and each.began > self._promised.get(each.key, 0)]

    def of(self, key: int) -> list[Sample]:
        return [each for each in self.samples if each.key == key]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        assert not self.failed, self.failed
