"""Give a sealer with a few leaves, and begin every test without alarms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from audit.sealer import Sealer


@pytest.fixture(autouse=True)
def _no_alarms_yet() -> None:
    from tests.audit.witness.publishing import ALARMS  # Django's settings are there only now

    ALARMS.clear()


@pytest.fixture
def sealer(committed_db: None, tmp_path: Path) -> Sealer:
    from tests.audit.sealing import make_sealer, write_events

    write_events(5)
    found = make_sealer(tmp_path / "sealer")
    found.seal()
    return found
