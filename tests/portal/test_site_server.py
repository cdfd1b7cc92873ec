"""What gunicorn is told of the site."""

from __future__ import annotations

from pathlib import Path

import pytest

from portal import serving


def test_samples_of_ended_processes_go_and_the_folder_stays_with_what_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Service managers make it where only root makes folders, or mount it; and a slip of the pen may name another."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    for name in ("counter_7.db", "gauge_all_7.db", "somebody.else"):
        (tmp_path / name).touch()
    before = tmp_path.stat().st_ino
    serving.on_starting(None)  # type: ignore[arg-type]  # gunicorn's own, which it does not look at
    assert [each.name for each in tmp_path.iterdir()] == ["somebody.else"]
    assert tmp_path.stat().st_ino == before


def test_a_folder_of_metrics_that_is_missing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "run" / "metrics"))
    serving.on_starting(None)  # type: ignore[arg-type]  # as above
    assert (tmp_path / "run" / "metrics").is_dir()
