"""What a command refuses is said at the shell as on a page, not in the codes of programs."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from tests.people import World


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("first_administrator", "--email", "nobody"), r"^email: This is not an e-mail address\.$"),
        (("recover_admin", "admin@example.com", "--reason", "x"), r"^reason: .*10 characters"),
        (("recover_admin", "nobody@example.com", "--reason", "locked out of all"), r"^no administrator has this address$"),
        (("move_reader", "nobody", "--to-leaf", "3", "--reason", "read it again"), r"^reader: This is not one of the choices\.$"),
        (("follow_audit_log",), r"^This database is not behind its log"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("world")
def test_a_refusal_is_said_in_words(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        call_command(*arguments)


def test_an_erasure_of_somebody_who_is_here_is_refused_in_words(world: World) -> None:
    with pytest.raises(CommandError, match=r"[A-Z].+ .+\.$"):
        call_command("erase_person", world.alice.email, "--reason", "objection")
