"""Let administrators see which keys teams offered to each other, and take an offer back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit import clock
from audit.actor import Actor
from keys.admin.acts import Act, Terms
from keys.admin.cells import prose, tags
from keys.admin.keys import KEYS
from keys.admin.pages import OperationAdmin
from keys.lifecycle.handover import withdraw_transfer
from keys.models import KeyTransfer


class WithdrawTransfer(Act[KeyTransfer]):
    """Take an offer back."""

    name, label, icon = "withdraw", gettext_lazy("Withdraw the offer"), "undo-2"
    purpose, done = "handover", gettext_lazy("The offer was taken back.")

    def is_offered(self, row: KeyTransfer) -> bool:
        """While it waits."""
        return row.decided_at is None and row.lapses_at > clock.now()

    def run(self, row: KeyTransfer | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        return withdraw_transfer(row, actor=actor)


@admin.register(KeyTransfer)
class KeyTransferAdmin(OperationAdmin[KeyTransfer]):
    """Keys that teams offered to each other."""

    group, target_type = KEYS, "transfer"
    many = gettext_lazy("Offers to other teams")
    acts = (WithdrawTransfer(),)
    shown = (
        "managed_key",
        "from_team",
        "to_team",
        "offered_by",
        "created_at",
        "lapses_at",
        "decided_by",
        "decided_at",
        "outcome",
    )
    list_display = ("managed_key", "from_team", "to_team", "offered_by", "created_at", "outcome")
    list_select_related = ("managed_key", "from_team", "to_team", "offered_by")
    list_filter = ("outcome", "to_team")
    search_fields = ("=managed_key__number", "managed_key__name", "offered_by__name")
    date_hierarchy = "created_at"

    def facts(self, row: KeyTransfer) -> Terms:
        """The columns and the words."""
        return [*super().facts(row), (_("Comment"), prose(row.comment)), (_("Scopes"), tags(row.managed_key.scopes))]
