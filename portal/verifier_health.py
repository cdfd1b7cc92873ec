"""Say whether the doors that verify are there, as their leases tell it, and whether what they counted arrives."""

from __future__ import annotations

from django.conf import settings
from django.db.utils import Error as DatabaseError
from django.utils.translation import gettext_lazy as _

from audit import clock
from keys.monitoring.tally_files import count_aside
from keys.verification.watching.overview import count_doors
from portal.parts import Part


def verifiers_part() -> Part | None:
    """Tell whether a door of ours holds a lease; None where none did within a day."""
    label = _("Verification")
    try:
        living = count_doors(at=clock.now())
    except DatabaseError:
        return Part(name="verifiers", label=label, ok=False, reason="unreachable")
    if living is None:
        return None
    return Part(
        name="verifiers", label=label, ok=living > 0, reason="" if living else "silent", detail=str(living or "")
    )


def usage_part() -> Part | None:
    """Tell whether counts were put aside that no worker could add; None where the folder is on another machine."""
    aside = count_aside(settings.KEYSTEAD_USAGE_FOLDER)
    if aside is None:
        return None
    reason, detail = ("put_aside", str(aside)) if aside else ("", "")
    return Part(name="usage", label=_("Usage counts"), ok=not aside, reason=reason, detail=detail)
