#!/usr/bin/env python
"""Run a management command of Keystead."""

import os
import sys
from typing import NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import OperationalError, ProgrammingError
from django.utils.connection import ConnectionDoesNotExist

from keys.crypto.errors import KeyringUnusable

NOT_ALLOWED = "42501"  # SQLSTATE insufficient_privilege


def main() -> None:
    """Say in words what every command may meet: 2 is "could not be answered", so that 1 stays the exit of a finding."""
    if "--traceback" in sys.argv:
        execute_from_command_line(sys.argv)
        return
    try:
        execute_from_command_line(sys.argv)
    except OperationalError as error:
        _end(f"The database cannot be asked: {error}")
    except ProgrammingError as error:
        if getattr(error.__cause__, "sqlstate", "") != NOT_ALLOWED:
            raise
        _end(f"{error}\nThis role of the database may not do it; docs/operations.md says as which role a command runs.")
    except ConnectionDoesNotExist as error:
        _end(f"Which database? {error}")
    except (ImproperlyConfigured, KeyringUnusable, OSError) as error:  # a full disk is one too
        _end(str(error))


def _end(words: str) -> NoReturn:
    sys.stderr.write(f"{words}\n(--traceback shows where.)\n")
    sys.exit(2)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    main()
