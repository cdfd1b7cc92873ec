"""Name every kind of job: how often it runs unless an administrator says otherwise, and how seldom it may.

The scheduler wakes each kind at least every ten seconds, whatever its period: a lost message costs a moment, never a slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

LONGEST_WAKE: Final = 10
MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 24 * HOUR


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of job. Its name is its task's; `period` and `longest` are in seconds."""

    name: str
    label: Promise
    period: int
    longest: int

    @property
    def wake(self) -> int:
        """How often the scheduler knocks; also the shortest period that means anything."""
        return min(self.period, LONGEST_WAKE)


# What ends, turns or tells something may be a minute late at most (DESIGN, invariant 10), so it cannot be set to less often.
_ALL: Final = (
    Kind(name="keys.react", label=_("Write down who is to be told"), period=2, longest=20),
    Kind(name="keys.send_mail", label=_("Send mail"), period=2, longest=20),
    Kind(name="keys.end_what_is_over", label=_("Write down what the clock has ended"), period=20, longest=40),
    Kind(name="keys.rotate", label=_("Take rotations one step on"), period=5, longest=20),
    Kind(name="keys.follow_policies", label=_("Bring rotations forward that a policy wants earlier"), period=10 * MINUTE, longest=HOUR),
    Kind(name="keys.send_webhooks", label=_("Send webhooks"), period=1, longest=10),
    Kind(name="keys.remind", label=_("Remind people of what ends"), period=10 * MINUTE, longest=HOUR),
    Kind(name="keys.propose_unused", label=_("Propose unused keys for revocation"), period=6 * HOUR, longest=DAY),
    Kind(name="keys.make_exports", label=_("Make exports of the log"), period=2, longest=30),
    Kind(name="keys.forward_log", label=_("Send the log on"), period=2, longest=30),
    Kind(name="keys.watch_sealer", label=_("Watch the sealer"), period=30, longest=MINUTE),
    Kind(name="keys.inspect_log", label=_("Inspect the log"), period=5, longest=MINUTE),
    Kind(name="keys.check_integrity", label=_("Check row MACs"), period=30, longest=30),
    Kind(name="keys.add_usage", label=_("Add what verifiers counted"), period=5, longest=15),
    Kind(name="keys.check_invariants", label=_("Check invariants"), period=HOUR, longest=DAY),
    Kind(name="keys.report_unfinished_intents", label=_("Report what was begun and not ended"), period=30, longest=MINUTE),
    Kind(name="keys.expire_private_parts", label=_("Delete personal data whose time is over"), period=HOUR, longest=DAY),
    Kind(name="keys.forget", label=_("Forget what served its moment"), period=HOUR, longest=DAY),
)  # fmt: skip
KINDS: Final[Mapping[str, Kind]] = {each.name: each for each in _ALL}
