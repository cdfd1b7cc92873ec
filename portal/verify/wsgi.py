"""Start following the database when a server loads this, and be the application that it serves."""

from __future__ import annotations

import signal
import sys
from multiprocessing.util import Finalize

from granian.server import mp as granian

from portal.verify.serving.starting import set_up

set_up()

from django.conf import settings  # noqa: E402 - the settings may be read only after the setup above

from keys.nonces.spending import nonces  # noqa: E402 - as above
from keys.verification.counting.shared_limits import SharedLimits  # noqa: E402 - as above
from keys.verification.counting.tallies import Tallies  # noqa: E402 - as above
from keys.verification.memory.feed import Feed  # noqa: E402 - as above
from portal.engines import die_with_parent  # noqa: E402 - as above
from portal.verify.app import VerifyApplication  # noqa: E402 - as above
from portal.verify.gathering import Gathering  # noqa: E402 - as above
from portal.verify.patience import Patience  # noqa: E402 - as above
from portal.verify.serving.carrying import carried  # noqa: E402 - as above
from portal.verify.serving.upkeep import Upkeep  # noqa: E402 - as above

# A worker whose server was killed would go on, and share the port with the next one.
ask_kernel = die_with_parent(signal.SIGKILL)
if ask_kernel is not None:
    ask_kernel()
# The thread that hears of a revocation shall not wait for long behind the one that answers.
sys.setswitchinterval(0.001)

_tallies, _gathered = (Tallies(settings.KEYSTEAD_USAGE_FOLDER) for _ in range(2))  # each has one thread that counts
_upkeep = Upkeep(nonces(), _tallies, _gathered)
_feed = Feed(on_tick=_upkeep.turn)
application = VerifyApplication(_feed, _tallies)
_gathering = Gathering(application.memory, nonces(), _gathered).start()
_patience = Patience().start()
# Granian wraps an application when it was loaded. Where it does not ask here, each is answered before the next: the same, slower.
granian._wsgi_call_wrap = carried  # type: ignore[assignment,attr-defined]  # noqa: SLF001 - it has no public name
_limits = SharedLimits(application.limiter, _feed)
_upkeep.goes_with(_feed, _limits, forget=application.forget)
_feed.start()
_limits.start()


def _stop() -> None:
    _feed.stop()  # first: no answer after the lease was given back
    for part in (_limits, _patience, _gathering):
        part.stop()
    for tallies in (_gathered, _tallies):
        tallies.close()


# Granian's workers are forks, which run no `atexit` (CPython issue 83856); what is registered here they do run.
Finalize(None, _stop, exitpriority=0)
