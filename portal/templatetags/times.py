"""Say when and how long in words, with the exact instant beside them."""

from datetime import UTC, datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext

register = template.Library()

MINUTE, HOUR, DAY = 60, 3600, 86400


def _count(seconds: int) -> str:
    """Say a span in its largest sensible unit."""
    if seconds < HOUR:
        minutes = max(seconds // MINUTE, 1)
        return ngettext("%(count)d minute", "%(count)d minutes", minutes) % {"count": minutes}
    if seconds < 2 * DAY:
        hours = seconds // HOUR
        return ngettext("%(count)d hour", "%(count)d hours", hours) % {"count": hours}
    if seconds < 90 * DAY:
        days = seconds // DAY
        return ngettext("%(count)d day", "%(count)d days", days) % {"count": days}
    if seconds < 730 * DAY:
        months = round(seconds / (30.44 * DAY))
        return ngettext("%(count)d month", "%(count)d months", months) % {"count": months}
    years = seconds // (365 * DAY)
    return ngettext("%(count)d year", "%(count)d years", years) % {"count": years}


def relative(value: datetime, *, at: datetime) -> str:
    """Say how far `value` is from `at`."""
    seconds = int((value - at).total_seconds())
    if abs(seconds) < MINUTE:
        return gettext("just now") if seconds <= 0 else gettext("in less than a minute")
    span = _count(abs(seconds))
    return gettext("in %(span)s") % {"span": span} if seconds > 0 else gettext("%(span)s ago") % {"span": span}


def absolute(value: datetime) -> str:
    """Say the instant in UTC, to the second."""
    return date_format(value.astimezone(UTC), "j M Y, H:i:s") + " UTC"


@register.simple_tag
def when(value: datetime | None, *, at: datetime | None = None, both: bool = False, never: str = "") -> SafeString:
    """Draw `2 hours ago` with the exact time in its title; `both` prints the two; `never` is said for None."""
    if value is None:
        return format_html('<span class="muted">{}</span>', never or gettext("never"))
    exact, words = absolute(value), relative(value, at=at or timezone.now())
    iso = value.astimezone(UTC).isoformat(timespec="seconds")
    if both:
        return format_html('<time datetime="{}">{} <span class="muted">({})</span></time>', iso, exact, words)
    return format_html('<time class="nowrap" datetime="{}" title="{}">{}</time>', iso, exact, words)


@register.filter
def duration(value: timedelta | int | None) -> str:
    """Say a span (timedelta, or seconds) exactly: `90 days`, `1 hour 30 minutes`."""
    if value is None:
        return gettext("no limit")
    seconds = int(value.total_seconds()) if isinstance(value, timedelta) else int(value)
    days, rest = divmod(seconds, DAY)
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    parts = []
    if days:
        parts.append(ngettext("%(count)d day", "%(count)d days", days) % {"count": days})
    if hours:
        parts.append(ngettext("%(count)d hour", "%(count)d hours", hours) % {"count": hours})
    if minutes:
        parts.append(ngettext("%(count)d minute", "%(count)d minutes", minutes) % {"count": minutes})
    if rest or not parts:
        parts.append(ngettext("%(count)d second", "%(count)d seconds", rest) % {"count": rest})
    return " ".join(parts[:2])
