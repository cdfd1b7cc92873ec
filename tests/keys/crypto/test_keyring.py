"""The keyring is one private file, written whole, and forgets nothing by accident."""

import json
import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from keys.crypto.errors import KeyringUnusable, UnknownKey
from keys.crypto.keyring import PURPOSES, Keyring
from keys.crypto.rings import KEY_ID_PATTERN, Key


@pytest.fixture
def path(tmp_path: Path, at: datetime) -> Path:
    path = tmp_path / "secrets" / "keyring.json"
    Keyring.generate(at=at).create(path)
    return path


def test_a_new_keyring_has_a_key_of_its_own_for_every_purpose(at: datetime) -> None:
    keyring = Keyring.generate(at=at)
    keys = [keyring.primary(purpose) for purpose in PURPOSES]
    assert len({key.secret.reveal_bytes() for key in keys}) == len({key.id for key in keys}) == len(PURPOSES)
    assert all(KEY_ID_PATTERN.fullmatch(key.id) and len(key.secret.reveal_bytes()) == 32 for key in keys)


def test_a_created_file_is_private_and_loads_again(path: Path, at: datetime) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    loaded = Keyring.load(path)
    again = Keyring.load(path)
    for purpose in PURPOSES:
        assert loaded.primary(purpose) == again.primary(purpose)
        assert loaded.primary(purpose).created_at == at


def test_creating_never_overwrites(path: Path, at: datetime) -> None:
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        Keyring.generate(at=at).create(path)
    link = path.parent / "link.json"
    link.symlink_to(path.parent / "elsewhere.json")
    with pytest.raises(OSError):
        Keyring.generate(at=at).create(link)
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o644, 0o777])
def test_a_file_open_to_others_is_refused_with_the_remedy(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(KeyringUnusable, match="chmod 600"):
        Keyring.load(path)


def test_a_missing_file_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "empty").touch(mode=0o600)
    for name in ("missing", ".", "pipe", "empty"):
        with pytest.raises(KeyringUnusable):
            Keyring.load(tmp_path / name)


def _broken(text: str) -> list[str]:
    document = json.loads(text)
    pepper = document["purposes"]["pepper"]
    key_id = pepper["primary"]

    def changed(ring: dict[str, object]) -> str:
        return json.dumps({**document, "purposes": {**document["purposes"], "pepper": ring}})

    entry = pepper["keys"][key_id]
    return [
        "not json",
        "[]",
        "null",
        "[" * 100_000,
        text.replace("keystead-keyring-1", "keystead-keyring-2"),
        text.replace('"format"', '"primary": 1, "format"'),
        text.replace('"format"', '"format": "keystead-keyring-1", "format"'),
        json.dumps({**document, "purposes": {}}),
        json.dumps({**document, "purposes": {**document["purposes"], "more": pepper}}),
        changed({}),
        changed({**pepper, "primary": "another"}),
        changed({**pepper, "keys": {key_id: {**entry, "key": entry["key"][:-3]}}}),
        changed({**pepper, "keys": {key_id: {**entry, "key": entry["key"] + "="}}}),
        changed({**pepper, "keys": {key_id: {**entry, "key": ""}}}),
        changed({**pepper, "keys": {key_id: {**entry, "created_at": "2026-01-01T00:00:00"}}}),
        changed({"primary": "Bad:Id", "keys": {"Bad:Id": entry}}),
    ]


def test_a_broken_file_is_refused_and_not_quoted(path: Path) -> None:
    text = path.read_text()
    key = next(iter(json.loads(text)["purposes"]["pepper"]["keys"].values()))["key"]
    for broken in _broken(text):
        path.write_text(broken)
        with pytest.raises(KeyringUnusable) as refusal:
            Keyring.load(path)
        assert key not in str(refusal.value)
        assert refusal.value.__cause__ is None
        assert refusal.value.__context__ is None


def test_a_rotation_makes_a_new_primary_and_keeps_the_old(path: Path, at: datetime) -> None:
    keyring = Keyring.load(path)
    old = keyring.primary("row-mac")
    rotated = keyring.rotated("row-mac", at=at + timedelta(days=1))
    rotated.save(path)
    loaded = Keyring.load(path)
    assert loaded.primary("row-mac").id != old.id
    assert loaded.find("row-mac", old.id) == old
    assert [key.id for key in loaded.newest_first("row-mac")] == [loaded.primary("row-mac").id, old.id]
    assert loaded.primary("pepper") == keyring.primary("pepper")
    assert keyring.primary("row-mac") == old, "the loaded keyring itself never changes"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_only_an_old_key_can_be_forgotten(path: Path, at: datetime) -> None:
    keyring = Keyring.load(path)
    old = keyring.primary("pepper")
    with pytest.raises(ValueError, match="primary"):
        keyring.without("pepper", old.id)
    rotated = keyring.rotated("pepper", at=at + timedelta(days=1))
    forgotten = rotated.without("pepper", old.id)
    with pytest.raises(UnknownKey):
        forgotten.find("pepper", old.id)
    with pytest.raises(UnknownKey):
        forgotten.without("pepper", old.id)


def test_an_unknown_purpose_or_key_has_no_stand_in(path: Path) -> None:
    keyring = Keyring.load(path)
    with pytest.raises(UnknownKey):
        keyring.primary("other")
    with pytest.raises(UnknownKey):
        keyring.find("pepper", keyring.primary("row-mac").id)


def test_a_save_that_fails_leaves_the_old_file(path: Path, at: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()
    keyring = Keyring.load(path)

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        keyring.rotated("pepper", at=at + timedelta(days=1)).save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_key_that_waits_reads_and_does_not_write(path: Path, at: datetime) -> None:
    keyring = Keyring.load(path)
    assert keyring.waiting("row-mac") is None
    waits = keyring.with_waiting("row-mac", at=at + timedelta(days=1))
    waiting = waits.waiting("row-mac")
    assert waiting is not None
    assert waits.primary("row-mac") == keyring.primary("row-mac")
    assert waits.find("row-mac", waiting.id) == waiting
    promoted = waits.promoted("row-mac")
    assert (promoted.primary("row-mac"), promoted.waiting("row-mac")) == (waiting, None)
    with pytest.raises(UnknownKey):
        promoted.promoted("row-mac")
    with pytest.raises(ValueError, match="younger"):
        keyring.rings["row-mac"].with_waiting(Key.generate("row-mac", at=at))
    assert keyring.with_waiting("row-mac", at=at - timedelta(days=1)).waiting("row-mac"), "the clock was ahead"
