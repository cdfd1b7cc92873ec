"""Register the portal floor with Django."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    """The portal floor."""

    name = "portal"
    default_auto_field = "django.db.models.BigAutoField"
