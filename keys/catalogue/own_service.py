"""Name the service that Keystead itself is, whose keys are the credentials of programs."""

from __future__ import annotations

from typing import Final

OWN_SERVICE: Final = "keystead"
VERIFY_SCOPE: Final = "keys:verify"
