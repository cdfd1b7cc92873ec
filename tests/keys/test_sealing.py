"""The keyring is that of the settings, and so is the home of its key-encryption keys."""

from __future__ import annotations

from typing import Any

import pytest

from keys.crypto.errors import KeyringUnusable
from keys.sealing import keyring


def test_the_provider_that_the_settings_name_is_the_one_that_wraps(settings: Any) -> None:
    assert keyring().keks_path == settings.KEYSTEAD_KEKS
    settings.KEYSTEAD_KEKS = "keys.crypto.keks.elsewhere.Keks"
    with pytest.raises(KeyringUnusable, match="no KEK provider"):
        keyring()
