"""Say what a home of key-encrypting keys must be able to do, and load the one that settings name."""

import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Final

from keys.crypto.errors import KeyringUnusable
from keys.crypto.rings import Ring

# Room for resource names of key services (`arn:aws:kms:...`), none for the `$` that separates the parts of
# a sealed text.
KEK_ID_PATTERN: Final = re.compile(r"[A-Za-z0-9:/._+=@-]{1,256}", re.ASCII)
# `people` seals what belongs to no environment, such as the seeds of second factors.
KEK_CLASSES: Final = ("development", "test", "production", "people")


class KekProvider(ABC):
    """A home of KEKs. It never hands a KEK out, and raises rather than fall back on another key."""

    # Names how a data key is wrapped; it is written into every sealed text.
    algorithm: ClassVar[str]

    @abstractmethod
    def __init__(self, *, rings: Mapping[str, Ring], options: Mapping[str, str]) -> None:
        """Take the keyring's KEK rings (only the local provider has use for them) and the options of settings."""

    @abstractmethod
    def primary_id(self, kek_class: str) -> str:
        """Return the id of the KEK that wraps new data keys of an environment class."""

    @abstractmethod
    def wrap(self, data_key: bytes, *, kek_class: str, kek_id: str, context: Mapping[str, str]) -> bytes:
        """Encrypt a data key, bound to the context."""

    @abstractmethod
    def unwrap(self, wrapped: bytes, *, kek_class: str, kek_id: str, context: Mapping[str, str]) -> bytes:
        """Decrypt a data key; IntegrityFailed if anything differs, UnknownKey if the KEK is not here."""


def load_provider(dotted_path: str, *, rings: Mapping[str, Ring], options: Mapping[str, str]) -> KekProvider:
    """Import and build the provider of a dotted path such as `keys.crypto.keks.local.LocalKeks`."""
    module_name, _, class_name = dotted_path.rpartition(".")
    try:
        found: object = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise KeyringUnusable(f"no KEK provider at {dotted_path!r}") from error
    if not (isinstance(found, type) and issubclass(found, KekProvider)):
        raise KeyringUnusable(f"{dotted_path!r} is not a KEK provider")
    return found(rings=rings, options=options)
