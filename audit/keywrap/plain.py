"""Keep signing keys as they are, in files that only the sealer reads (mode 0400)."""

from __future__ import annotations

from collections.abc import Mapping

from audit.keywrap.base import KeyWrap, WrapError
from audit.keywrap.kek import HEADER


class Plain(KeyWrap):
    """The file is the key."""

    def __init__(self, options: Mapping[str, str]) -> None:
        del options

    def wrap(self, text: str) -> str:
        return text

    def unwrap(self, text: str) -> str:
        if text.startswith(HEADER):
            raise WrapError("this key is wrapped: set KEYSTEAD_SEALER_KEY_WRAP")
        return text
