"""Run one race from several operating-system processes: `python -m tests.keys.races.processes SCENARIO …` prints outcomes."""

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


def race(*runs: tuple[str, ...], calls: int, threads: int = 5) -> Counter[str]:
    """Start one process for each of `runs` (scenario and its arguments); all begin when the last is ready."""
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "portal.settings", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.keys.races.processes", str(calls), str(threads)]
    racers = [
        subprocess.Popen([*command, *run], cwd=ROOT, env=environment, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True)
        for run in runs
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n", racer.communicate(timeout=120)[1]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    outcomes: Counter[str] = Counter()
    for racer in racers:
        out, err = racer.communicate(timeout=120)
        assert racer.returncode == 0, err
        outcomes.update(json.loads(out))
    return outcomes


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
    from tests.races import at_once

    calls, threads, name, *arguments = sys.argv[1:]
    act = _scenario(name, arguments)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(at_once(*[act] * int(calls), workers=int(threads))))


if __name__ == "__main__":
    main()
