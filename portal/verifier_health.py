"""Say whether the doors that verify are there, as their leases tell it."""

from __future__ import annotations

from django.db.utils import Error as DatabaseError
from django.utils.translation import gettext_lazy as _

from audit import clock
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
