"""Draw the cells of lists and details: badges, links, times; never a bare identifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.contrib import admin
from django.db import models
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from keys.admin.acts import Words
from keys.models import ManagedKey


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows that belong to a row, for its page."""

    title: Words
    heads: Sequence[Words]
    rows: Sequence[Sequence[object]] = field(default_factory=tuple)
    empty: Words = ""


def link(row: models.Model | None, words: object = "") -> object:
    """Link to the page of a row."""
    if row is None:
        return "—"
    meta = row._meta
    address = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    return format_html('<a href="{}">{}</a>', address, words or row)


def badge(kind: str, value: object) -> SafeString:
    """Draw a badge of the vocabulary: state, request, environment, risk, access, origin or free words."""
    return render_to_string("admin/cell.html", {"kind": kind, "value": value})


def moment(value: datetime | None) -> SafeString:
    """Draw a time."""
    return render_to_string("admin/cell.html", {"kind": "when", "value": value})


def instant(value: datetime) -> SafeString:
    """Draw a time to the second."""
    return render_to_string("admin/cell.html", {"kind": "instant", "value": value})


def tags(values: Iterable[object]) -> object:
    """Draw words side by side."""
    found = list(values)
    return format_html_join(" ", '<span class="tag tone-neutral">{}</span>', ((each,) for each in found)) or "—"


def mono(value: object) -> object:
    """Draw what is read letter by letter."""
    return format_html('<code class="mono">{}</code>', value) if value else "—"


def prose(value: str) -> object:
    """Draw words of several lines."""
    return render_to_string("admin/cell.html", {"kind": "prose", "value": value}) if value else "—"


def fact(row: models.Model, name: str) -> tuple[Words, object]:
    """Name a column of a row and draw its value."""
    column = row._meta.get_field(name)
    value = getattr(row, name)
    label = str(getattr(column, "verbose_name", name)).capitalize()
    return label, drawn(value)


def drawn(value: object) -> object:
    """Draw a value by its type."""
    if value is None or value == "":
        return "—"
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, models.Model):
        return link(value) if admin.site.is_registered(type(value)) else str(value)
    if isinstance(value, list | tuple):
        return tags(value)
    return str(value)


def table_of_keys(title: Words, keys: Iterable[ManagedKey]) -> Table:
    """List keys by what they open and until when."""
    return Table(
        title=title,
        heads=(_("Key"), _("Name"), _("Service"), _("Environment"), _("Authorised until")),
        rows=[
            (link(each), each.name, each.service, badge("environment", each.environment), drawn(each.authorised_until))
            for each in keys
        ],
        empty=_("None."),
    )
