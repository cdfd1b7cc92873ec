"""Count what Prometheus asks for; only the holder of a token may read it, and in development this machine."""

import hmac
import ipaddress
import os
from collections.abc import Iterator
from typing import Final

from django.conf import settings
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from audit.checkpoints import backlog
from keys.dispatch.cursor import lag_of
from keys.notifications.reactions import READER

KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
ANSWERS: Final = Counter("keystead_http_answers_total", "Answers by route and status.", ["method", "route", "status"])
SECONDS: Final = Histogram(
    "keystead_http_seconds",
    "Time to answer by route.",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)


class LogGauges(Collector):
    """How far sealing and reading of the log are behind; asked of the database, so that every process answers the same."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            waiting, lag = backlog(), lag_of(READER)
        except DatabaseError:
            return  # the rest is told all the same
        for name, words, value in (
            ("unsealed_events", "Events that wait to be sealed, counted up to 10000.", waiting.waiting),
            ("unsealed_seconds", "Age of the oldest event that is not sealed.", waiting.age.total_seconds()),
            ("granting_paused", "1 while nothing is granted because the log is behind.", int(waiting.is_late)),
            ("unread_events", "Sealed events that no notice was made of yet.", lag.leaves),
            ("unread_seconds", "Age of the oldest event that no notice was made of yet.", lag.age.total_seconds()),
        ):
            yield GaugeMetricFamily(f"keystead_log_{name}", words, value=value)


LOG: Final = CollectorRegistry()
LOG.register(LogGauges())


def count_answer(method: str, route: str, status: int, seconds: float) -> None:
    """Count one answer. Labels are routes, never paths: a path has ids, and there is no end of them."""
    ANSWERS.labels(method if method in KNOWN_METHODS else "other", route, str(status)).inc()
    SECONDS.labels(route).observe(seconds)


@require_safe
def metrics(http: HttpRequest) -> HttpResponse:
    """Answer Prometheus; anyone else gets what a page that does not exist gives."""
    if not is_for_programs(http):
        raise Http404
    registry: CollectorRegistry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # several workers: each writes files, one answer sums them
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return HttpResponse(generate_latest(registry) + generate_latest(LOG), content_type=CONTENT_TYPE_LATEST)


def is_for_programs(http: HttpRequest) -> bool:
    """Tell whether a program asks that may know how we are: with the token, or in development from this machine.

    In production a proxy on this machine would make the whole world local, so only the token counts there.
    """
    return _has_token(http) or (not settings.PRODUCTION and _is_local(http))


def _has_token(http: HttpRequest) -> bool:
    token: str = settings.KEYSTEAD_METRICS_TOKEN
    given = http.headers.get("Authorization", "").removeprefix("Bearer ")
    return bool(token) and hmac.compare_digest(given.encode(), token.encode())


def _is_local(http: HttpRequest) -> bool:
    """Tell whether the request began on this machine: its peer is loopback and no proxy says otherwise."""
    if "HTTP_X_FORWARDED_FOR" in http.META or "HTTP_FORWARDED" in http.META:
        return False
    try:
        return ipaddress.ip_address(http.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
