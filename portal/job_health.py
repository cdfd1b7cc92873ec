"""Say whether what is due gets done: jobs, rotations and webhooks, as their rows tell it."""

from __future__ import annotations

from django.db.utils import Error as DatabaseError
from django.utils.translation import gettext_lazy as _

from audit import clock
from keys.jobs.due import due_by
from keys.jobs.overview import LATE, job_states, stuck_rotations, webhook_endpoints
from portal.parts import Part


def jobs_part() -> Part:
    """Tell whether a job is late, or a row cannot be done."""
    label = _("Jobs")
    try:
        states = job_states(clock.now())
    except DatabaseError:
        return Part(name="jobs", label=label, ok=False, reason="unreachable")
    late = [each for each in states if each.is_late]
    if late:
        latest = max(late, key=lambda each: each.late)
        detail = f"{latest.kind.name}, {latest.late.total_seconds():.0f} s"
        return Part(name="jobs", label=label, ok=False, reason="late", detail=detail)
    failing = [each.kind.name for each in states if each.is_failing]
    reason = "failing" if failing else ""
    return Part(name="jobs", label=label, ok=not failing, reason=reason, detail=", ".join(failing))


def rotations_part() -> Part:
    """Tell how many rotations somebody should look at."""
    label = _("Rotations")
    try:
        stuck = stuck_rotations(clock.now())
    except DatabaseError:
        return Part(name="rotations", label=label, ok=False, reason="unreachable")
    return Part(name="rotations", label=label, ok=not stuck, reason="stuck" if stuck else "", detail=str(stuck or ""))


def webhooks_part() -> Part | None:
    """Tell whether deliveries go out, and whether an endpoint was given up; None when there is no endpoint."""
    label = _("Webhooks")
    try:
        at = clock.now()
        living, given_up = webhook_endpoints()
        if not living:
            return None
        due = due_by("keys.send_webhooks", at)
    except DatabaseError:
        return Part(name="webhooks", label=label, ok=False, reason="unreachable")
    if due is not None and due.oldest is not None and at - due.oldest > LATE:
        return Part(name="webhooks", label=label, ok=False, reason="late", detail=str(due.count))
    reason = "given_up" if given_up else ""
    return Part(name="webhooks", label=label, ok=not given_up, reason=reason, detail=str(given_up or ""))
