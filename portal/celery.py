"""Ring the doorbell: Celery carries ids and wakes the jobs; what is due stands in the database."""

import os
import threading
import time
from collections.abc import Mapping

from celery import Celery
from celery.signals import (
    beat_init,
    before_task_publish,
    heartbeat_sent,
    setup_logging,
    task_postrun,
    task_prerun,
    worker_init,
    worker_ready,
    worker_shutting_down,
)
from django.core.exceptions import ImproperlyConfigured
from structlog.contextvars import bind_contextvars, clear_contextvars

from portal import broker, pulses
from portal.checks import refuse_unsafe_production

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
PULSE = "portal.pulse"
STALE_SECONDS = 10.0
# Who stops a worker waits as long before it kills it. Of one that nobody waits for, its supervisor being dead, this is the end.
LONGEST_END = 120.0
broker.take_over()
app = Celery("keystead", amqp=broker.Amqp)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
_last_pulse = 0.0


def schedule(wakes: Mapping[str, float]) -> None:
    """Let the scheduler wake each task every so many seconds. A wake that nobody took for a while is void.

    Not as soon as the next one is there: where workers are slower than that, every message would be stale when its turn came.
    """
    app.conf.beat_schedule = {
        name: {"task": name, "schedule": seconds, "options": {"expires": max(seconds, STALE_SECONDS)}}
        for name, seconds in {PULSE: pulses.PERIOD_SECONDS, **wakes}.items()
    }


@app.task(name=PULSE, ignore_result=True)
def pulse() -> None:
    """Prove that a message went from the scheduler to a worker."""
    pulses.beat(pulses.WORKER)


@before_task_publish.connect(sender=PULSE)
def _scheduler_lives(**_facts: object) -> None:
    pulses.beat(pulses.BEAT)


@worker_ready.connect
@heartbeat_sent.connect
def _worker_lives(**_facts: object) -> None:
    global _last_pulse
    if time.monotonic() - _last_pulse >= pulses.PERIOD_SECONDS:
        _last_pulse = time.monotonic()
        pulses.beat(pulses.WORKER)


@worker_init.connect
@beat_init.connect
def _refuse_unsafe_production(**_facts: object) -> None:
    try:
        refuse_unsafe_production()
    except ImproperlyConfigured as problem:  # Celery swallows what a signal's receiver raises, but not this
        raise SystemExit(str(problem)) from problem


@worker_shutting_down.connect
def _end_in_time(**_facts: object) -> None:
    """End at last: a child that cannot hand over a long result, and its parent that waits for its end, wait for each other for ever.

    What a task had not committed is taken up again, as after every kill.
    """
    ending = threading.Timer(LONGEST_END, os._exit, [1])
    ending.daemon = True
    ending.start()


@setup_logging.connect
def _leave_logging_to_django(**_facts: object) -> None:
    """Stop Celery from installing handlers that would bypass the allow-list."""


@task_prerun.connect
def _name_task(task_id: str = "", task: object = None, **_facts: object) -> None:
    clear_contextvars()
    bind_contextvars(task=getattr(task, "name", ""), task_id=task_id)


@task_postrun.connect
def _forget_task(**_facts: object) -> None:
    clear_contextvars()
