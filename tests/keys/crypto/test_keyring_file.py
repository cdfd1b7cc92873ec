"""A keyring is followed as its file changes, and what is no keyring takes none away."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from keys.crypto.errors import KeyringUnusable
from keys.crypto.keyring import LOCAL_KEKS, ROW_MAC, Keyring
from keys.crypto.keyring_file import KeyringFile


@pytest.fixture
def path(tmp_path: Path, at: datetime) -> Path:
    path = tmp_path / "keyring.json"
    Keyring.generate(at=at).create(path)
    return path


@pytest.fixture
def file(path: Path) -> KeyringFile:
    return KeyringFile(path, keks=LOCAL_KEKS)


def test_each_step_counts_from_the_moment_that_the_file_is_replaced(
    path: Path, file: KeyringFile, at: datetime
) -> None:
    old = file.read().primary(ROW_MAC)
    file.read().with_waiting(ROW_MAC, at=at).save(path)
    waiting = file.read().waiting(ROW_MAC)
    assert waiting is not None
    file.read().promoted(ROW_MAC).save(path)
    assert file.read().primary(ROW_MAC) == waiting
    file.read().without(ROW_MAC, old.id).save(path)
    assert file.read().newest_first(ROW_MAC) == (waiting,)


def test_a_file_that_did_not_change_is_not_read_again(file: KeyringFile) -> None:
    assert file.read() is file.read()


def test_a_link_that_leads_to_another_file_is_followed(tmp_path: Path, path: Path, at: datetime) -> None:
    """As an orchestrator replaces what it mounts."""
    other, link = tmp_path / "other.json", tmp_path / "link.json"
    Keyring.generate(at=at).create(other)
    link.symlink_to(path)
    file = KeyringFile(link, keks=LOCAL_KEKS)
    assert file.read().key_ids == Keyring.load(path).key_ids
    link.unlink()
    link.symlink_to(other)
    assert file.read().key_ids == Keyring.load(other).key_ids


SPOILT: dict[str, Callable[[Path], object]] = {
    "gone": lambda path: path.unlink(),
    "no keyring": lambda path: path.write_text("{}"),
    "half copied": lambda path: os.truncate(path, 100),
    "open to others": lambda path: path.chmod(0o644),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("how", SPOILT)
def test_what_is_no_keyring_takes_none_away_and_is_said_once(
    path: Path, file: KeyringFile, how: str, caplog: pytest.LogCaptureFixture, at: datetime
) -> None:
    held, content = file.read(), path.read_bytes()
    SPOILT[how](path)
    assert file.read() is file.read() is held
    assert [each.levelname for each in caplog.records if each.name == "keystead.keyring"] == ["ERROR"]
    if path.is_dir():
        path.rmdir()
    path.write_bytes(content)
    path.chmod(0o600)
    Keyring.load(path).with_waiting(ROW_MAC, at=at).save(path)
    assert file.read().waiting(ROW_MAC) is not None, "and it is followed again when it is whole"


@pytest.mark.parametrize("how", SPOILT)
def test_without_a_keyring_there_is_no_beginning(path: Path, file: KeyringFile, how: str) -> None:
    SPOILT[how](path)
    with pytest.raises(KeyringUnusable):
        file.read()
