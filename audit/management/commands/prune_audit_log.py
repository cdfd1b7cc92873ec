"""Delete from the database what is archived, not held, and older than the log is kept."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from audit import clock
from audit.actor import Actor
from audit.archive import NotTheLog, name_of, verify_archive
from audit.archives.base import ArchiveMissing
from audit.archives.choice import archive_store
from audit.keeping_rules import PRUNE_STEP
from audit.notes import NoteError
from audit.pins import log_keys
from audit.pruning import prune
from audit.retention import outlook, periods_in_force


class Command(BaseCommand):
    help = (
        "Prune the audit log by the periods in force: whole ranges of 65,536 events that are archived, verified again now, and "
        "not held. Subtrees and checkpoints stay, so every proof of the rest still holds. Connects as the retention role. "
        "With --dry-run: only say what would go."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would go, and delete nothing")
        parser.add_argument("--folder", default="", help="a folder of archives (default: KEYSTEAD_ARCHIVE)")
        parser.add_argument("--key", action="append", default=[], help="a pinned public key, as text or file")
        parser.add_argument("--database", default="retention", help="alias of the connection (default: retention)")

    def handle(self, *, dry_run: bool, folder: str, key: list[str], database: str, **options: object) -> None:
        periods = periods_in_force(database)
        if periods.keep_days is None:
            self.stdout.write("Everything is kept: no period is set.")
            return
        found = outlook(periods, at=clock.now(database), using=database)
        self.stdout.write(
            f"Kept for {periods.keep_days} days. Leaves {found.first} to {found.size - 1} are here; old enough before"
            f" {found.old_upto}, archived before {found.archived_upto}, free to go before {found.upto}."
        )
        for hold in found.holds:
            self.stdout.write(self.style.WARNING(f"{hold} holds leaves {hold.from_leaf} to {hold.upto_leaf - 1}."))
        if dry_run:
            return
        try:
            verifiers, store = log_keys(key), archive_store(folder)
            for first in range(found.first, found.upto, PRUNE_STEP):
                verify_archive(store, name_of(first), verifiers)
                gone = prune(first, first + PRUNE_STEP, actor=Actor.at_the_shell(), using=database)
                self.stdout.write(f"{gone} events before leaf {first + PRUNE_STEP} left the database.")
        except (OSError, NoteError, ArchiveMissing) as problem:
            raise CommandError(str(problem), returncode=2) from problem
        except NotTheLog as problem:
            raise CommandError(f"FOUND: {problem}", returncode=1) from problem
        except DatabaseError as refused:
            raise CommandError(f"The database refused: {refused}", returncode=1) from refused
