"""Tell Prometheus how one verifier is: what it answered, what it holds, and how fresh that is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from keys.verification.memory.lease import clock
from portal.verify.problems import Reply
from portal.verify.signed import PATH as SIGNED

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from portal.verify.app import VerifyApplication


class _Verifier(Collector):
    """The numbers of one process; each process of the door has its own, by its name."""

    def __init__(self, application: VerifyApplication) -> None:
        self._application = application

    def collect(self) -> Iterator[Metric]:
        feed, application = self._application.feed, self._application
        name = [feed.holder.name]
        answers = CounterMetricFamily(
            "keystead_verifier_answers", "Answers by endpoint and status.", labels=["verifier", "endpoint", "status"]
        )
        for endpoint, quick in application.quick.items():
            answers.add_metric([*name, endpoint, "200 quick"], quick.answers)
        if application.memory.gathering is not None:
            for status, count in list(application.memory.gathering.answers.items()):
                answers.add_metric([*name, SIGNED, f"{status} gathered"], count)
        for (endpoint, status), count in list(application.answers.items()):
            answers.add_metric([*name, endpoint, str(status)], count)
        yield answers
        freshest = max((place.fresh_until for place in list(feed.catalogue.places.values())), default=0.0)
        for metric, words, value in (
            ("versions", "Versions in memory.", len(feed.snapshot)),
            (
                "fresh_seconds",
                "Seconds for which answers are still given without hearing of the database.",
                freshest - clock(),
            ),
            ("looked_seconds", "Seconds since the database was last asked for changes.", clock() - feed.looked_at),
            ("loads", "How often everything was loaded.", feed.resyncs),
            ("hears_valkey", "1 while the bell of Valkey is heard.", int(feed.hears)),
            (
                "limit_sharers",
                "Verifiers among which limits are shared out; 1: all are heard.",
                application.limiter.sharers,
            ),
        ):
            gauge = GaugeMetricFamily(f"keystead_verifier_{metric}", words, labels=["verifier"])
            gauge.add_metric(name, value)
            yield gauge


def reply(application: VerifyApplication) -> Reply:
    """Answer GET /metrics."""
    registry = CollectorRegistry()
    registry.register(_Verifier(application))
    return Reply(status=200, body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
