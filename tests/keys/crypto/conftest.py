"""Give the crypto tests the vectors and the keyring that made them; this room needs no database."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keys.crypto.keyring import Keyring

VECTORS = Path(__file__).resolve().parents[2] / "vectors"
AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], Any]:
    return lambda name: json.loads((VECTORS / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    """The keyring of the vectors: every purpose has an old key and a new primary."""
    path = tmp_path_factory.mktemp("keyring") / "keyring.json"
    path.write_bytes((VECTORS / "keyring.json").read_bytes())
    path.chmod(0o600)
    return Keyring.load(path)


@pytest.fixture
def at() -> datetime:
    return AT
