"""The steps at the shell, in words that say what comes next."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from keys.crypto.keyring import PURPOSES
from keys.models import KeyVersion
from keys.rekeying.steps import read_ring
from tests.people import World, issued

pytestmark = pytest.mark.usefixtures("ring_file", "db")


def keyring(*arguments: str) -> str:
    out = StringIO()
    call_command("keyring", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def test_a_rotation_from_the_first_look_to_the_last(world: World) -> None:
    issued(world)
    old = read_ring().primary("row-mac").id
    first = keyring("status")
    assert [line.split()[0] for line in first.splitlines()] == list(PURPOSES)
    assert "writes" in first
    assert "to every other host" in keyring("add", "row-mac")
    assert "waits" in keyring("status")
    assert "keyring rewrite" in keyring("promote", "row-mac")
    assert "versions were written anew" in keyring("rewrite")
    [line] = [each for each in keyring("status").splitlines() if old in each]
    assert line.split()[-3:] == ["reads", "0", "rows"]
    assert "forgotten" in keyring("forget", "row-mac", old)
    assert old not in keyring("status")


def test_a_key_that_rows_need_and_the_file_lacks_is_named(world: World) -> None:
    """After a restore, or with the file of yesterday: everything looks forged, and this says why."""
    issued(world)
    old = read_ring().primary("row-mac").id
    assert "absent" not in keyring("status")
    keyring("add", "row-mac")
    keyring("promote", "row-mac")
    keyring("forget", "row-mac", old, "--even-so")
    [line] = [each for each in keyring("status").splitlines() if old in each]
    assert line.split()[-3:] == ["absent", str(KeyVersion.objects.count()), "rows"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "STEP"),
        (("add",), "PURPOSE"),
        (("add", "kek-moon"), "kek-moon"),
        (("promote", "row-mac"), r"^No next key for row-mac waits\. Add one"),
        (("forget", "row-mac", "nothing"), r"^The keyring holds no key of this name"),
    ],
)
def test_what_does_not_fit_is_said_in_words(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        keyring(*arguments)


def test_a_file_that_is_no_keyring_is_said_in_words(ring_file: Path) -> None:
    ring_file.write_text("{}")
    with pytest.raises(CommandError, match="not a keystead-keyring-1 file"):
        keyring("status")
