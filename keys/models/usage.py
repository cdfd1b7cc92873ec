"""Count what versions are used for, and by whom. High rate, so not governed."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from keys.models.keys import KeyVersion


class UsageCount(models.Model):
    """How often verification of a version ended in `outcome` ("valid" or a reason) within one hour."""

    version = models.ForeignKey(KeyVersion, on_delete=models.PROTECT, related_name="usage")
    outcome = models.CharField(max_length=30)
    hour = models.DateTimeField()
    count = models.BigIntegerField()
    last_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint("version", "outcome", "hour", name="usage_once_an_hour")]

    def __str__(self) -> str:
        return f"{self.version} {self.outcome} {self.count}"


class Sighting(models.Model):
    """Who presented a version: rotation needs to know who still uses the old one."""

    version = models.ForeignKey(KeyVersion, on_delete=models.PROTECT, related_name="sightings")
    address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, blank=True, default="")
    instance = models.CharField(max_length=100, blank=True, default="")
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    count = models.BigIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                "version", "address", "user_agent", "instance", name="sighting_once", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.version} {self.address}"
