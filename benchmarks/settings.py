"""Run Keystead as it is, beside the library it is compared with where that is installed."""

import importlib.util

from portal.settings import *  # noqa: F403 - the settings of the portal, all of them
from portal.settings import INSTALLED_APPS as _APPS

HAS_AUDITLOG = importlib.util.find_spec("auditlog") is not None
INSTALLED_APPS = [*_APPS, *(["auditlog"] if HAS_AUDITLOG else [])]
