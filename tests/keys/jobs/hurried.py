"""The Celery app of the portal, woken faster: ten minutes of its scheduler pass in one of a test."""

import os

import django

from portal.celery import app

FASTER = float(os.environ.get("KEYSTEAD_TEST_FASTER", "1"))

django.setup()  # the schedule is set when the apps are ready
for entry in app.conf.beat_schedule.values():
    entry["schedule"] = entry["schedule"] / FASTER
