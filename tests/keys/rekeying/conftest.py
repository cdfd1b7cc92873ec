"""Give a test a copy of the keyring file that it may change, and a way to start anew with what the file holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def ring_file(settings: Any, tmp_path: Path) -> Iterator[Path]:
    """A keyring file of this test's own, in force."""
    from keys import sealing

    path = tmp_path / "keyring.json"
    path.write_bytes(Path(settings.KEYSTEAD_KEYRING_FILE).read_bytes())
    path.chmod(0o600)
    settings.KEYSTEAD_KEYRING_FILE = str(path)
    yield path
    sealing._load.cache_clear()


@pytest.fixture
def restart(ring_file: Path) -> Callable[[], None]:
    """Let this process read the file again, as only a restart does in life."""
    from keys import sealing

    assert ring_file.exists()
    return sealing._load.cache_clear
