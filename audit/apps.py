"""Register the audit floor and load every floor's event catalogue."""

from django.apps import AppConfig
from django.core.checks import Tags, register
from django.utils.module_loading import autodiscover_modules

from audit.checks import governed_tables_are_guarded


class AuditConfig(AppConfig):
    """The memory of the house."""

    name = "audit"
    label = "audit"
    verbose_name = "Audit log"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Load `events` of every app, so that the catalogue is whole whoever asks first."""
        autodiscover_modules("events", "keeping_events")
        register(governed_tables_are_guarded, Tags.database)
