"""Time what other packages do for the same question: each in Django as its documentation says, on the same server and database."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from functools import partial

from benchmarks.cluster import ROOT, Cluster
from benchmarks.measuring import by_turns, ratio
from benchmarks.results import Result, at_least, told
from benchmarks.verify.load import Driven, drive, must_refuse, question
from benchmarks.verify.population import populate
from benchmarks.verify.serving import Server, serving
from benchmarks.verify.sizes import Sizes

FORM = "application/x-www-form-urlencoded"
PEER = "benchmarks.verify.peer_site:application"
BUSY = {"connections": 16, "depth": 4}
# Of ours over theirs: requests a second, and CPU of the worker.
GOALS = {
    "djangorestframework-api-key": (60, 40),
    "django-rest-knox": (100, 40),
    "django-oauth-toolkit": (100, 40),
}


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """Introspection against introspection, the others against /v1/verify."""
    found = populate(cluster, "peers", count=min(sizes.keys, 1_000))
    verify, introspect = found.questions(), found.questions("/oauth2/introspect")
    results: list[Result] = []
    for name, (requests, processor) in GOALS.items():
        database = cluster.create(name.replace("-", "_"), "template0")
        environment = {
            "PEER": name,
            "PEER_DATABASE": cluster.layout.conninfo(database=database),
            "DJANGO_SETTINGS_MODULE": "benchmarks.verify.peer_site",
        }
        theirs = _prepared(environment, count=min(sizes.keys, 1_000))
        ours = introspect if name == "django-oauth-toolkit" else verify
        driven: dict[str, list[Driven]] = {}
        with (
            serving("portal.verify", cluster.environment("peers")) as door,
            serving(PEER, environment) as peer,
            serving(PEER, {**environment, "PEER_AS_NEW": "yes"}) as as_new,
        ):
            for each in (peer, as_new):
                must_refuse(each, question("/check", b"token=x", kind=FORM))
            must_refuse(door, question("/v1/verify", b'{"key":"x"}'))

            def run(who: str, server: Server, questions: list[bytes], kept: dict[str, list[Driven]] = driven) -> float:
                done = drive(server, questions, seconds=sizes.seconds, **BUSY)
                kept.setdefault(who, []).append(done)
                return done.rate

            rates = by_turns(
                {
                    who: partial(run, who, server, questions)
                    for who, server, questions in (
                        ("ours", door, ours),
                        ("theirs", peer, theirs),
                        ("as new", as_new, theirs),
                    )
                },
                rounds=max(1, sizes.rounds - 2),
            )
        cpu = {who: [each.cpu for each in rounds] for who, rounds in driven.items()}
        results += [
            at_least(f"requests over {name}", ratio(rates["ours"], rates["theirs"]), requests, "x"),
            at_least(f"CPU of {name} over ours", ratio(cpu["theirs"], cpu["ours"]), processor, "x"),
            told(f"{name}", statistics.median(rates["theirs"]), "req/s"),
            told(f"CPU of {name}", statistics.median(cpu["theirs"]), "us"),
            told(f"requests over {name} in a new project", ratio(rates["ours"], rates["as new"]), "x"),
            told(f"CPU of {name} in a new project over ours", ratio(cpu["as new"], cpu["ours"]), "x"),
        ]
        cluster.drop(database)
    return results


def _prepared(environment: dict[str, str], *, count: int) -> list[bytes]:
    """Make the peer's tables and keys in a process of its own; questions as its documentation says."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.verify.peer_keys", str(count)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    keys = json.loads(done.stdout)
    if environment["PEER"] == "django-oauth-toolkit":
        asked_by = keys.pop()
        return [
            question("/check", f"token={key}".encode(), kind=FORM, Authorization=f"Bearer {asked_by}") for key in keys
        ]
    scheme = {"djangorestframework-api-key": "Api-Key", "django-rest-knox": "Token"}[environment["PEER"]]
    return [question("/check", b"", Authorization=f"{scheme} {key}") for key in keys]
