"""A key that signs, and a door that a service asks about its signatures; a module may have others of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.people import World
    from tests.portal.verify.knocking import Door
    from tests.signing_keys import Signer


@pytest.fixture
def kind() -> str:
    return "hmac-sha256"


@pytest.fixture
def signer(world: World, kind: str) -> Signer:
    from tests.signing_keys import allow_signing, signer_of

    allow_signing(world)
    return signer_of(world, kind)


@pytest.fixture
def door(tmp_path: Path, world: World, signer: Signer) -> Door:
    from tests.people import verifying_credential
    from tests.portal.verify.knocking import Door

    return Door(tmp_path, verifying_credential(world).reveal())
