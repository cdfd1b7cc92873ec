"""Bring the rows of a restored database up to its recovered log, so that keys verify again."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from audit.actor import Actor
from keys.management.refusals import said_in_words
from keys.restoring.following import Followed, answer_by_hand, follow_log, ready_to_follow
from keys.retention.reapplying import reapply_erasures

WORDS = {
    "log_not_interrupted": "This database is not behind its log; there is nothing to follow.",
    "log_not_recovered": "The lost end of the log is not back yet: audit_sealer --recover, as the sealer.",
    "log_origin_is_new": "A new log has begun, so nobody knows what was lost: --by-hand says who answers for the rows.",
    "log_can_be_followed": "The log was recovered and can be followed: leave --by-hand out.",
}


class Command(BaseCommand):
    """Until it has run, no key verifies and nobody is ready. Killed, it is run again."""

    help = (
        "After audit_sealer --recover: apply again what the lost events say (revocations, ends, people who left, erasures), "
        "give versions row MACs that fit, end all sessions, and let keys verify. All or nothing, on record."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--by-hand",
            metavar="WORDS",
            default="",
            help="after audit_sealer --new-origin: what you did about revocations since the backup (at least 10 characters)",
        )

        parser.add_argument(
            "--even-so", action="store_true", help="although the keyring lacks keys that versions were written with"
        )

    def handle(self, *args: Any, even_so: bool, **options: Any) -> None:
        actor = Actor.at_the_shell()
        with said_in_words(WORDS):
            if options["by_hand"]:
                answer_by_hand(actor=actor, comment=options["by_hand"], even_so=even_so)
                self.stdout.write("It is on record who answers for the rows. Keys verify again.")
                return
            ready_to_follow(actor, even_so=even_so)
            # First: people and texts that were erased must be known by what the backup says of them.
            reapply_erasures(actor=actor)
            self._say(follow_log(actor=actor, even_so=even_so))

    def _say(self, done: Followed) -> None:
        self.stdout.write(f"{done.rows} rows follow the log; {done.ended} versions ended because their secret is lost.")
        for each in done.left:
            self.stdout.write(self.style.WARNING(f"Not put back, its number or name was given out again: {each}"))
        self.stdout.write("All sessions are ended. Keys verify again.")
