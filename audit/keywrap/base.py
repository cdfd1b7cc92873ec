"""Say what a way of keeping signing keys must be able to do, and load the one that settings name."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping

DEFAULT = "audit.keywrap.plain.Plain"


class WrapError(Exception):
    """The key cannot be wrapped or opened: no key-encryption key, a wrong one, or a file that was changed."""


class KeyWrap(ABC):
    """Turns the text of a signing key into what its file holds, and back."""

    @abstractmethod
    def __init__(self, options: Mapping[str, str]) -> None:
        """Take the options of settings; ask nobody for a key yet."""

    @abstractmethod
    def wrap(self, text: str) -> str:
        """Return what to write."""

    @abstractmethod
    def unwrap(self, text: str) -> str:
        """Return the key's text; raise WrapError if anything differs."""


def load_wrap(dotted_path: str = DEFAULT, options: Mapping[str, str] | None = None) -> KeyWrap:
    """Import and build the wrap of a dotted path; WrapError when there is none."""
    module_name, _, class_name = dotted_path.rpartition(".")
    try:
        found: object = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise WrapError(f"no key wrap at {dotted_path!r}") from error
    if not (isinstance(found, type) and issubclass(found, KeyWrap)):
        raise WrapError(f"{dotted_path!r} is not a key wrap")
    return found(options or {})
