"""Register the portal floor with Django."""

import gc

from django.apps import AppConfig

from portal import checks
from portal.celery import app as celery_app
from portal.celery import schedule
from portal.logs import configure_structlog


class PortalConfig(AppConfig):
    """The portal floor."""

    name = "portal"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Make tasks find their broker, logs their one door and `check --deploy` its questions."""
        from keys.tasks import SCHEDULE  # needs the models, which are there only now

        celery_app.set_default()
        schedule(SCHEDULE)
        configure_structlog()
        checks.register_all()
        # Nothing is garbage of what was loaded: it is never looked at again (portal/settings.py had this wait).
        gc.freeze()
        gc.enable()
