"""Store what auditors look for again and again: a search of the log under a name."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from audit.actor import Actor
from audit.governed import governed
from keys.models.base import Row
from keys.models.people import Person
from keys.models.reach import reach_of


class SavedSearchQuerySet(models.QuerySet["SavedSearch"]):
    """Ways to find saved searches."""

    def visible_to(self, actor: Actor | None) -> SavedSearchQuerySet:
        """People see their own, and what others shared with everybody who may read the log."""
        reach = reach_of(actor)
        if reach.person_id is None:
            return self.none()
        own = Q(person_id=reach.person_id)
        return self.filter(own | Q(is_shared=True)) if reach.everything else self.filter(own)

    def living(self) -> SavedSearchQuerySet:
        """Those that nobody removed."""
        return self.filter(removed_at=None)


@governed("saved-search", private=("name",))
class SavedSearch(Row):
    """A search of the log that a person named; `query` holds identifiers and codes, never what was typed."""

    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="saved_searches")
    name = models.CharField(max_length=80)
    query = models.JSONField(default=dict)
    is_shared = models.BooleanField(default=False)
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = SavedSearchQuerySet.as_manager()

    class Meta:
        ordering = ("name", "id")
        constraints: ClassVar = [
            models.UniqueConstraint("person", "name", condition=Q(removed_at=None), name="saved_search_one_name"),
        ]

    def __str__(self) -> str:
        return self.name
