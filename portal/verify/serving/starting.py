"""Load the settings in a worker, or say why they are refused: once, in words, and so that its server ends."""

from __future__ import annotations

import os
import sys

import django
from django.core.exceptions import ImproperlyConfigured

from portal.checks import refuse_unsafe_production
from portal.verify.serving.workers import CANNOT_START


def set_up() -> None:
    """Make Django ready for a production that is safe; end the process where it is not."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    try:
        django.setup()
        refuse_unsafe_production()
    except ImproperlyConfigured as problem:
        sys.stderr.write(f"{problem}\n")
        raise SystemExit(CANNOT_START) from problem
