"""Notice from outside that nothing is being sealed: a sealer that died cannot alarm about itself."""

from __future__ import annotations

from django.core.cache import cache

from audit.alarms import raise_alarm
from audit.checkpoints import LATE, backlog

AGAIN_SECONDS = 600
_ALARMED = "audit.silence.alarmed"


def look_for_silence(using: str = "default") -> bool:
    """Alarm when an event waits for more than a minute, at most every ten minutes however many workers look.

    A log that is behind its own record is the sealer's own alarm, and not repeated here.
    """
    late = backlog(using)
    if late.age <= LATE or late.is_interrupted:
        return False
    if not cache.add(_ALARMED, True, timeout=AGAIN_SECONDS):
        return False
    words = (
        f"{late.waiting} events wait to be sealed, one of them for {late.age.total_seconds():.0f} s."
        " Is the process audit_sealer running? Until it is, no key is issued; revoking works."
    )
    raise_alarm("sealer_silent", words, by="watch")
    return True
