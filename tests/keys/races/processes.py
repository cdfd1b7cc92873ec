"""Run races from several operating-system processes, each told what to do by a pipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from django.db import connections

from keys.approvals.decisions import approve_request
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.revocation import reinstate_key, revoke_key
from keys.models import KeyRequest, KeyVersion, ManagedKey, Person
from keys.people.proofs import prove_totp
from keys.states import RevocationReason
from tests.forks import Fork
from tests.people import acting
from tests.races import at_once


class Racers:
    """Processes that wait for races: to start one costs more than most races do."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Fork, Connection]] = []

    def race(self, *runs: tuple[str, ...], calls: int, threads: int = 5) -> Counter[str]:
        """Let a process make each of `runs` (scenario and its arguments); all begin when the last is ready."""
        while len(self._waiting) < len(runs):
            self._waiting.append(_start())
        pipes = [pipe for _, pipe in self._waiting[: len(runs)]]
        for pipe, run in zip(pipes, runs, strict=True):
            pipe.send((calls, threads, *run))
        for pipe in pipes:
            assert pipe.recv() == "ready"
        for pipe in pipes:
            pipe.send("go")
        return sum((pipe.recv() for pipe in pipes), Counter())

    def end(self) -> None:
        for racer, pipe in self._waiting:
            pipe.close()
            assert racer.ended() == 0


def _start() -> tuple[Fork, Connection]:
    ours, theirs = Pipe()
    racer = Fork(_racing, theirs)
    theirs.close()
    return racer, ours


def _racing(pipe: Connection) -> None:
    while True:
        try:
            calls, threads, name, *arguments = pipe.recv()
        except EOFError:
            return
        act = _scenario(name, arguments)
        pipe.send("ready")
        pipe.recv()
        outcomes = at_once(*[act] * calls, workers=threads)
        connections.close_all()  # the next test gets another database of this name
        pipe.send(outcomes)


class _Proved:
    """Name how a proof ended as the other operations do."""

    def __init__(self, answer: object) -> None:
        self.outcome = "proved" if type(answer).__name__ == "Proof" else "refused"


def _scenario(name: str, arguments: list[str]) -> Callable[[], Any]:
    person = Person.objects.get(email=f"{arguments[1]}@example.com")
    if name == "approve":
        request = KeyRequest.objects.get(pk=arguments[0])
        return lambda: approve_request(request, digest=request.digest, actor=acting(person, "approve"))
    if name == "claim":
        version = KeyVersion.objects.select_related("managed_key").get(pk=arguments[0])
        actor = acting(person, "claim")
        return lambda: claim_secret(version, actor=actor)
    if name == "prove":
        return lambda: _Proved(prove_totp(person, actor=acting(person), code=arguments[0], purpose="sign-in"))
    key = ManagedKey.objects.get(pk=arguments[0])
    if name == "revoke":
        return lambda: revoke_key(key, actor=acting(person, "*"), reason=RevocationReason.KEY_COMPROMISE)
    return lambda: reinstate_key(key, actor=acting(person, "*"))
