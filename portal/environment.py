"""Read settings from the environment, or from the files that it names; quote none that cannot be read."""

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from environ import FileAwareEnv
from environ.fileaware_mapping import FileAwareMapping


class SecretFiles(FileAwareMapping):  # type: ignore[misc]  # django-environ has no types
    """Read `NAME` from the file that `NAME_FILE` names, without the line break that editors and `echo` leave.

    What is empty is as if it were not set: `NAME=` in an environment file says no more, and the folder "" would be the present one.
    """

    def __getitem__(self, key: str) -> str:
        value = str(super().__getitem__(key)).removesuffix("\n")
        if not value:
            raise KeyError(key)
        return value


class Environment(FileAwareEnv):  # type: ignore[misc]  # see above
    """The environment, in which any setting may be a file."""

    ENVIRON = SecretFiles(cache=False)  # read at the start and never again; what is kept would be secrets

    def get_value(self, var: str, *given: Any, **named: Any) -> Any:  # Any: as each caller casts it
        """Read a setting; what cannot be read is named, and never shown: it may be a secret."""
        try:
            return super().get_value(var, *given, **named)
        except OSError as error:
            message = f"The setting {var} cannot be read: {error.filename}: {error.strerror}"
        except ValueError:
            message = f"The setting {var} cannot be read: it has another form (docs/settings.md)"
        raise ImproperlyConfigured(message)


def address(*schemes: str) -> Callable[[str], str]:
    """Take an address with one of these schemes; what reads it later would quote what it does not understand, passwords too."""

    def taken(text: str) -> str:
        found = urlsplit(text)
        if found.scheme not in schemes or found.port == 0:  # a port that is no number raises
            raise ValueError
        return text

    return taken


def not_negative(text: str) -> int:
    """Take a whole number from 0 on."""
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def log_level(text: str) -> str:
    """Take a level of the log, in any case."""
    if text.upper() not in logging.getLevelNamesMapping():
        raise ValueError
    return text.upper()
