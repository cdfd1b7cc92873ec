"""Give the story that bundles of evidence are about, and a folder of one's own for exports."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.keys.reports.evidence_story import Payload, Story


@pytest.fixture
def _lived(request: pytest.FixtureRequest) -> Story:
    from tests.keys.reports.evidence_story import story_in  # Django's settings are there only now

    return story_in(lambda: request.getfixturevalue("world"))


@pytest.fixture
def story(_lived: Story) -> list[Payload]:
    """Every event of the story, for tests that only read or forge what was recorded."""
    return copy.deepcopy(_lived.events)


@pytest.fixture
def about_key(_lived: Story) -> frozenset[str]:
    """Which events of the story a bundle about its key holds."""
    return _lived.about_key


@pytest.fixture
def export_folder(tmp_path: Path, settings: Any) -> None:
    """Let exports lie in a folder of this test."""
    settings.KEYSTEAD_EXPORT_FOLDER = tmp_path / "exports"
