"""Time verdicts from memory beside constant answers: of the same server, to a caller that it recognises, and carried as ours are."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.cluster import Cluster
from benchmarks.measuring import by_turns, ratio
from benchmarks.results import Result, at_least, at_most, told
from benchmarks.verify.constant import CALLER, digest_of
from benchmarks.verify.load import Driven, drive, must_refuse, question
from benchmarks.verify.population import populate
from benchmarks.verify.serving import Server, serving
from benchmarks.verify.sizes import Sizes

CONSTANT = "benchmarks.verify.constant:application"
CONSTANT_TO_KNOWN = "benchmarks.verify.constant:to_a_known_caller"
CONSTANT_CARRIED = "benchmarks.verify.constant_carried:application"
BUSY = {"connections": 64, "depth": 8}  # the server never waits for us
CLOSED = {"connections": 16, "depth": 1}  # each asks again when it was answered
GOAL = 0.85


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """By turns, so that what disturbs one disturbs all."""
    found = populate(cluster, "door", count=sizes.keys)
    asked = {"verify": found.questions(), "introspect": found.questions("/oauth2/introspect")}
    environment = cluster.environment("door")
    driven: dict[str, list[Driven]] = {}
    known = {**environment, CALLER: digest_of(found.credential)}
    with (
        serving("portal.verify", environment) as door,
        serving(CONSTANT, environment) as constant,
        serving(CONSTANT_TO_KNOWN, known) as to_known,
        serving(CONSTANT_CARRIED, environment) as carried,
    ):
        must_refuse(to_known, question("/v1/verify", b"{}", Authorization="Bearer x"))

        def run(name: str, server: Server, questions: Sequence[bytes], **shape: int) -> float:
            done = drive(server, questions, seconds=sizes.seconds, **shape)
            driven.setdefault(name, []).append(done)
            return done.rate

        rates = by_turns(
            {
                "verify": lambda: run("verify", door, asked["verify"], **BUSY),
                "constant": lambda: run("constant", constant, asked["verify"], **BUSY),
                "known": lambda: run("known", to_known, asked["verify"], **BUSY),
                "carried": lambda: run("carried", carried, asked["verify"], **BUSY),
                "introspect": lambda: run("introspect", door, asked["introspect"], **BUSY),
                "verify closed": lambda: run("verify closed", door, asked["verify"], **CLOSED),
                "constant closed": lambda: run("constant closed", constant, asked["verify"], **CLOSED),
            },
            rounds=sizes.rounds,
        )
    share = len(found.keys) / len(asked["verify"])
    off = max(abs(each.accepted / each.answers - share) for each in driven["verify"])
    cpu = {name: [each.cpu for each in rounds] for name, rounds in driven.items()}
    p99 = {name: statistics.median(each.p99 for each in rounds) for name, rounds in driven.items()}
    return [
        at_least("/v1/verify over a constant answer, saturated", ratio(rates["verify"], rates["constant"]), GOAL, "x"),
        at_least("the same, to a caller that it recognises", ratio(rates["verify"], rates["known"]), GOAL, "x"),
        told("the same, carried as the door's answers are", ratio(rates["verify"], rates["carried"]), "x"),
        told("the same by CPU of the worker: constant over verify", ratio(cpu["constant"], cpu["verify"]), "x"),
        told(f"/v1/verify, {sizes.keys:,} keys, 10 % strangers", statistics.median(rates["verify"]), "req/s"),
        told("constant answer", statistics.median(rates["constant"]), "req/s"),
        told("constant answer, carried as the door's are", statistics.median(rates["carried"]), "req/s"),
        told("/oauth2/introspect", statistics.median(rates["introspect"]), "req/s"),
        told("CPU of /v1/verify", statistics.median(cpu["verify"]), "us"),
        told("CPU of the constant answer", statistics.median(cpu["constant"]), "us"),
        told("CPU of the constant answer, carried as the door's are", statistics.median(cpu["carried"]), "us"),
        told("CPU of /oauth2/introspect", statistics.median(cpu["introspect"]), "us"),
        at_most(
            "p99 over the constant answer's, 16 connections", p99["verify closed"] / p99["constant closed"], 2, "x"
        ),
        told("p99 of /v1/verify, 16 connections", p99["verify closed"], "ms"),
        at_most("share of keys accepted, off what was asked", off, 0.02, ""),
    ]
