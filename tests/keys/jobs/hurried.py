"""The Celery app of the portal, woken faster: ten minutes of its scheduler pass in one of a test."""

import faulthandler
import os
import signal

import django

from portal.celery import app

FASTER = float(os.environ.get("KEYSTEAD_TEST_FASTER", "1"))

django.setup()  # the schedule is set when the apps are ready
for entry in app.conf.beat_schedule.values():
    entry["schedule"] = entry["schedule"] / FASTER
    entry["options"] = {"expires": max(entry["options"]["expires"] / FASTER, 1.0)}
faulthandler.register(signal.SIGUSR1, all_threads=True)  # a worker that stands still says where
