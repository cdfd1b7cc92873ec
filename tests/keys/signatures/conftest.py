"""Give the tests of signatures the vectors and the keys that made them; this room needs no database."""

import json
from pathlib import Path
from typing import Any

import pytest

from keys.crypto.request_signing import RequestKey, hmac_key, public_key
from keys.crypto.secrets import Secret

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "vectors" / "signed_requests.json").read_text())


@pytest.fixture(scope="session")
def keys() -> dict[str, RequestKey]:
    """What verifies the signatures of the vectors."""
    told: dict[str, Any] = VECTORS["keys"]
    return {
        told["hmac"]["kid"]: hmac_key(Secret(told["hmac"]["secret"])),
        told["pair"]["kid"]: public_key(told["pair"]["public_key"]),
    }
