"""Register the keys floor with Django."""

from django.apps import AppConfig


class KeysConfig(AppConfig):
    """The keys floor."""

    name = "keys"
    default_auto_field = "django.db.models.BigAutoField"
