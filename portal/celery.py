"""Ring the doorbell: Celery carries ids and wakes the jobs; what is due stands in the database."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
app = Celery("keystead")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
