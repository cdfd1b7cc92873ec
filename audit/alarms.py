"""Raise an alarm of the log at once, in the lines of the process and by mail: the dispatcher reads only what is sealed."""

from __future__ import annotations

import structlog
from django.conf import settings
from django.core.mail import send_mail

_lines = structlog.get_logger("keystead.alarms")


def raise_alarm(code: str, words: str, *, by: str) -> None:
    """Tell that something does not hold. `by` is who noticed ("sealer", "nightly verification"); never raises for a dead mail server."""
    _lines.critical("the audit log alarms", by=by, code=code)
    if not settings.KEYSTEAD_ALARM_MAIL:
        return
    try:
        send_mail(
            f"Keystead: the {by} of the audit log alarms ({code})",
            f"{words}\n\nNothing of this is repaired by a restart. See docs/audit-log.md, alarms.\n",
            None,
            settings.KEYSTEAD_ALARM_MAIL,
        )
    except OSError:
        _lines.exception("the alarm could not be mailed")
