"""Count what goes by: events by action, outcome and kind of actor, as the payloads tell it and not as columns do."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Tally:
    """How many events of what kind were seen."""

    actions: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    actors: Counter[str] = field(default_factory=Counter)

    def count(self, payloads: Sequence[bytes]) -> None:
        """Count some events."""
        for payload in payloads:
            event = json.loads(payload)
            self.actions[str(event["action"])] += 1
            self.outcomes[str(event["outcome"])] += 1
            self.actors[str(event["actor"]["type"])] += 1
