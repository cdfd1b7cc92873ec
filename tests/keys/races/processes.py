"""Run races from several operating-system processes: `python -m tests.keys.races.processes` is one, told what to do line by line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE
from typing import Any

ROOT = Path(__file__).resolve().parents[3]


class Racers:
    """Processes that wait for races: to start one costs more than most races do."""

    def __init__(self) -> None:
        self._waiting: list[subprocess.Popen[str]] = []

    def race(self, *runs: tuple[str, ...], calls: int, threads: int = 5) -> Counter[str]:
        """Let a process make each of `runs` (scenario and its arguments); all begin when the last is ready."""
        while len(self._waiting) < len(runs):
            self._waiting.append(_start())
        racers = self._waiting[: len(runs)]
        for racer, run in zip(racers, runs, strict=True):
            _tell(racer, json.dumps([calls, threads, *run]))
        for racer in racers:
            assert _hear(racer) == "ready"
        for racer in racers:
            _tell(racer, "go")
        return sum((Counter(json.loads(_hear(racer))) for racer in racers), Counter())

    def end(self) -> None:
        for racer in self._waiting:
            racer.communicate(timeout=20)


def _start() -> subprocess.Popen[str]:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "portal.settings", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.keys.races.processes"]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdin=PIPE, stdout=PIPE, text=True)


def _tell(racer: subprocess.Popen[str], line: str) -> None:
    assert racer.stdin is not None
    racer.stdin.write(f"{line}\n")
    racer.stdin.flush()


def _hear(racer: subprocess.Popen[str]) -> str:
    assert racer.stdout is not None
    line = racer.stdout.readline().strip()
    assert line, f"a racer ended with {racer.wait(20)}; its words are above"
    return line


class _Proved:
    """Name how a proof ended as the other operations do."""

    def __init__(self, answer: object) -> None:
        self.outcome = "proved" if type(answer).__name__ == "Proof" else "refused"


def _scenario(name: str, arguments: list[str]) -> Callable[[], Any]:
    from keys.approvals.decisions import approve_request
    from keys.lifecycle.claiming import claim_secret
    from keys.lifecycle.revocation import reinstate_key, revoke_key
    from keys.models import KeyRequest, KeyVersion, ManagedKey, Person
    from keys.people.proofs import prove_totp
    from keys.states import RevocationReason
    from tests.people import acting

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


def main() -> None:
    import django

    django.setup()
    from django.db import connections

    from tests.races import at_once

    for line in sys.stdin:
        calls, threads, name, *arguments = json.loads(line)
        act = _scenario(name, arguments)
        print("ready", flush=True)
        sys.stdin.readline()
        outcomes = at_once(*[act] * calls, workers=threads)
        connections.close_all()  # the next test gets another database of this name
        print(json.dumps(outcomes), flush=True)


if __name__ == "__main__":
    main()
