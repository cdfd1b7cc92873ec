"""Be the doorbell of programs that verify in their own process, when a server loads this."""

from __future__ import annotations

import gc
import signal
import sys

from portal.verify.serving.starting import set_up

set_up()

from portal.engines import die_with_parent  # noqa: E402 - the settings may be read only after the setup above
from portal.verify.feed.doorbell import Doorbell  # noqa: E402 - as above

# A worker whose server was killed would go on, and share the port with the next one.
ask_kernel = die_with_parent(signal.SIGKILL)
if ask_kernel is not None:
    ask_kernel()
# The thread that hears of a change shall not wait for long behind the one that writes beats.
sys.setswitchinterval(0.001)

application = Doorbell()
# All of this stays: a collector that walks it would hold up everybody for a tenth of a second, and find nothing.
gc.freeze()
