"""Ring the doorbell: Celery carries ids and wakes the jobs; what is due stands in the database."""

import os
import time

from celery import Celery
from celery.signals import before_task_publish, heartbeat_sent, setup_logging, task_postrun, task_prerun, worker_ready
from structlog.contextvars import bind_contextvars, clear_contextvars

from portal import pulses

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
PULSE = "portal.pulse"
app = Celery("keystead")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
_last_pulse = 0.0


@app.task(name=PULSE, ignore_result=True, expires=pulses.PERIOD_SECONDS)
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
