"""Give a decision its shape: Allow, or Deny with a code and the rule that said so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Allow:
    """The act may happen."""

    def __bool__(self) -> bool:
        return True


@dataclass(frozen=True)
class Deny:
    """The act may not happen. Words for people are found by `code` (keys.policy.words)."""

    code: str
    rule: str
    params: Mapping[str, object] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return False


Decision = Allow | Deny
ALLOW = Allow()
