"""The scanner: it finds our keys wherever they lie, only ours, and keeps none of them."""

import dataclasses
import json
import subprocess

import pytest
from fake_keystead import vectors
from keystead_client import KeysteadError, digest, scanning
from keystead_client.scanning import scan_git, scan_paths, scan_text

KEYS = [each["text"] for each in vectors("key_text")["valid"]]
KIDS = [each["kid"] for each in vectors("key_text")["valid"]]


def git(folder, *arguments):
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def test_a_finding_says_where_and_which_but_not_the_key():
    (found,) = scan_text(f"a\nb\nKEY='{KEYS[0]}' # {KEYS[0][:-1]}x\n", source="settings.py")
    assert (found.source, found.line, found.kid) == ("settings.py", 3, KIDS[0])
    assert found.digest == digest(KEYS[0]).hex()
    assert KEYS[0][-20:] not in json.dumps(dataclasses.asdict(found))


def test_folders_are_walked_but_not_git_nor_links(tmp_path):
    for name, text in (
        ("a.py", KEYS[0]), ("deep/er/b", f"\n\n{KEYS[1]}"), (".git/c", KEYS[2]), ("d.bin", "\x00\xff" + KEYS[3] + "\x00"),
        ("e", "ghp_" + "a" * 36),
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode("latin-1"))
    (tmp_path / "link").symlink_to("/etc")
    assert [(found.kid, found.line) for found in scan_paths([tmp_path])] == [(KIDS[0], 1), (KIDS[3], 1), (KIDS[1], 3)]
    with pytest.raises(KeysteadError):
        list(scan_paths([tmp_path / "none"]))


def test_a_key_across_the_borders_of_what_is_read_is_found_once(tmp_path, monkeypatch):
    monkeypatch.setattr(scanning, "_CHUNK", 300)
    for before in range(0, 700, 7):
        (tmp_path / "f").write_text("\n" * before + KEYS[0] + "\n" * 400 + KEYS[1])
        found = [(each.kid, each.line) for each in scan_paths([tmp_path])]
        assert found == [(KIDS[0], before + 1), (KIDS[1], before + 401)], before


def test_commits_and_staged_lines_are_scanned_for_what_they_add(tmp_path):
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "a").write_text("one\ntwo\n")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-qm", "a")
    (tmp_path / "a").write_text(f"one\n{KEYS[0]}\ntwo\n")
    git(tmp_path, "commit", "-qam", "oops")
    (tmp_path / "a").write_text("one\ntwo\n")
    git(tmp_path, "commit", "-qam", "gone from the tree, not from the history")
    found = list(scan_git(commits="main", folder=tmp_path))
    assert [(each.kid, each.line, each.source.split(":")[1]) for each in found] == [(KIDS[0], 2, "a")]
    assert list(scan_git(commits="HEAD~1..HEAD", folder=tmp_path)) == []
    (tmp_path / "b c").write_text(f"\n{KEYS[1]}")
    git(tmp_path, "add", "b c")
    assert [(each.kid, each.line, each.source) for each in scan_git(staged=True, folder=tmp_path)] == [
        (KIDS[1], 2, "b c")
    ]
    with pytest.raises(KeysteadError):
        list(scan_git(commits="nowhere..HEAD", folder=tmp_path))
    with pytest.raises(KeysteadError):
        list(scan_git(commits="--output=/tmp/x", folder=tmp_path))
