"""Copy whole subtrees of the audit log to write-once storage."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from audit.actor import Actor
from audit.archive import NotTheLog, archive_leaves, archived_names, verify_archive
from audit.archives.base import ArchiveConflict, ArchiveMissing
from audit.archives.choice import archive_store
from audit.notes import NoteError
from audit.pins import log_keys


class Command(BaseCommand):
    help = (
        "Archive the audit log in ranges of 65,536 events: copy, read back, hash to a checkpoint under the pinned key, put on "
        "record. Deletes nothing. Connects as the retention role. With --check: read and verify every archive again. Exits 1 "
        "when something is not what the log signed, 2 when there is no key or storage."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--upto", type=int, default=None, help="archive leaves before this one (default: all whole)"
        )
        parser.add_argument("--check", action="store_true", help="verify what is archived, and archive nothing")
        parser.add_argument("--folder", default="", help="a folder of archives (default: KEYSTEAD_ARCHIVE)")
        parser.add_argument("--key", action="append", default=[], help="a pinned public key, as text or file")
        parser.add_argument("--database", default="retention", help="alias of the connection (default: retention)")

    def handle(
        self, *, upto: int | None, check: bool, folder: str, key: list[str], database: str, **options: object
    ) -> None:
        try:
            verifiers, store = log_keys(key), archive_store(folder)
        except (OSError, NoteError) as problem:
            raise CommandError(f"Nothing to verify with: {problem}", returncode=2) from problem
        try:
            if check:
                for name in archived_names(store):
                    _, head = verify_archive(store, name, verifiers)
                    self.stdout.write(f"{name}: as signed in the checkpoint of {head.size}")
                return
            for row in archive_leaves(
                store=store,
                verifiers=verifiers,
                actor=Actor.at_the_shell(),
                upto=upto,
                using=database,
            ):
                self.stdout.write(f"leaves {row.from_leaf} to {row.upto_leaf - 1}: {row.size} bytes in {row.location}")
        except (NotTheLog, ArchiveConflict) as found:
            raise CommandError(f"FOUND: {found}", returncode=1) from found
        except ArchiveMissing as problem:
            raise CommandError(str(problem), returncode=2) from problem
        self.stdout.write(self.style.SUCCESS("Every whole range is archived and verified."))
