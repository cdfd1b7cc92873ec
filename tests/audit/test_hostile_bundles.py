"""Archives that were packed to hurt whoever opens them are refused before they can."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from audit import verify
from tests.audit.bundles import SIGNER, MemoryLog, make_bundle, many, packed

RANGE = make_bundle(MemoryLog(many(75)))


def hostile(tmp_path: Path, *members: tuple[str, bytes], change=lambda info: None) -> Path:
    path = tmp_path / "hostile.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            change(info)
            archive.writestr(info, text)
    return path


def test_hostile_archives_are_refused(tmp_path):
    key = ["--key", SIGNER.verifier.text()]
    good = list(RANGE.items())
    for name in ("../events.jsonl", "/etc/passwd", "a/b", "..", "C:\\x", "", "a" * 200, ".hidden"):
        assert verify.main(["bundle", str(hostile(tmp_path, *good, (name, b""))), *key]) == 1, name
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = hostile(tmp_path, *good, good[0])
    assert verify.main(["bundle", str(twice), *key]) == 1

    def link(info):
        info.external_attr = 0o120777 << 16

    assert verify.main(["bundle", str(hostile(tmp_path, *good, change=link)), *key]) == 1
    many_files = hostile(tmp_path, *good, *((f"x{n}", b"") for n in range(100)))
    assert verify.main(["bundle", str(many_files), *key]) == 1
    bomb = hostile(tmp_path, *((name, text if name != "events.jsonl" else b"0" * 50_000_000) for name, text in good))
    assert verify.main(["bundle", str(bomb), *key]) == 1
    torn = tmp_path / "torn.zip"
    torn.write_bytes(packed(RANGE).getvalue()[:-40])
    assert verify.main(["bundle", str(torn), *key]) == 1
    assert verify.main(["bundle", str(tmp_path / "nothing.zip"), *key]) == 2


def test_an_archive_that_says_it_has_millions_of_names_is_refused_before_they_are_read(tmp_path):
    text = bytearray(packed(RANGE).getvalue())
    struct.pack_into("<L", text, len(text) - 10, 2**31)
    path = tmp_path / "wide.zip"
    path.write_bytes(text)
    assert verify.main(["bundle", str(path), "--key", SIGNER.verifier.text()]) == 1


def test_a_folder_serves_too_and_links_in_it_do_not(tmp_path):
    folder = tmp_path / "unpacked"
    folder.mkdir()
    for name, text in RANGE.items():
        (folder / name).write_bytes(text)
    words = ["bundle", str(folder), "--key", SIGNER.verifier.text()]
    assert verify.main(words) == 0
    (folder / "inside").mkdir()
    assert verify.main(words) == 1
    (folder / "inside").rmdir()
    (folder / "README.txt").unlink()
    (folder / "README.txt").symlink_to(folder / "verify.py")
    assert verify.main(words) == 1


def test_a_number_that_is_none_is_not_shown_to_people():
    ledger = verify.Ledger()
    for number in ("7\x1b[2J", True, 7.0, None):
        ledger._list("key", {"target": {"id": "x"}}, "verified", "", about="KEY", number=number)
    assert [each["about"] for each in ledger.listed] == [""] * 4
