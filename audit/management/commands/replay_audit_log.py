"""Replay the audit log from empty and compare the result with the tables."""

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError
from django.db import connections, transaction

from audit.archive import NotTheLog, archived_payloads
from audit.archives.base import ArchiveMissing
from audit.archives.choice import archive_store
from audit.governed import governed_tables
from audit.notes import NoteError
from audit.pins import log_keys
from audit.replay import TEMPORARY, Replay, differences, replay_into
from audit.retention import first_leaf


class Command(BaseCommand):
    help = (
        "Rebuild every governed table from the audit events alone and compare it with what is stored. "
        "Exits 1 when anything differs. Connects as the auditor role (DATABASE_AUDITOR_URL), which reads and may make "
        "temporary tables. What was pruned is read from its archive, which must be what the log signed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--database", default="auditor", help="alias of the connection (default: auditor)")
        parser.add_argument(
            "--schema", default=TEMPORARY, help="an empty schema to build in and keep (default: temporary tables)"
        )
        parser.add_argument("--archive", default="", help="a folder of archives (default: KEYSTEAD_ARCHIVE)")
        parser.add_argument("--key", action="append", default=[], help="a pinned public key of the log, for archives")

    def handle(self, *, database: str, schema: str, archive: str, key: list[str], **options: object) -> None:
        try:
            self._replay(database, schema, archive, key)
        except (OSError, NoteError, ArchiveMissing) as problem:
            raise CommandError(f"What was pruned cannot be read: {problem}", returncode=2) from problem
        except NotTheLog as found:
            raise CommandError(f"FOUND: {found}", returncode=1) from found

    def _replay(self, database: str, schema: str, archive: str, key: list[str]) -> None:
        with transaction.atomic(using=database, durable=schema == TEMPORARY):
            if schema == TEMPORARY:
                # One snapshot: what commits meanwhile belongs to neither side.
                with connections[database].cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            pruned = first_leaf(database)
            archived = archived_payloads(archive_store(archive), log_keys(key), pruned) if pruned else ()
            replay = replay_into(schema, using=database, archived=archived)
            found = [*replay.findings, *(str(each) for each in differences(schema, using=database))]
            if schema == TEMPORARY:
                transaction.set_rollback(True, using=database)
        self._report(replay)
        for each in found:
            self.stdout.write(self.style.ERROR(f"  {each}"))
        if found:
            self.stdout.write(self.style.ERROR(f"{len(found)} differences"))
            raise SystemExit(1)
        self.stdout.write(self.style.SUCCESS("The tables are the sum of their events."))

    def _report(self, replay: Replay) -> None:
        from_archive = f", and {replay.archived} before them from the archive" if replay.archived else ""
        self.stdout.write(f"{replay.events} events replayed{from_archive}")
        for target_type, table in sorted(governed_tables().items()):
            rows = len(replay.rows[target_type])
            self.stdout.write(f"  {table.table}: {rows} rows, {len(table.columns)} columns")
            for column, why in sorted(table.excluded.items()):
                self.stdout.write(f"    not in events: {column} ({why})")
        if replay.unknown:
            rows = sum(1 for names in replay.unknown.values() if names)
            self.stdout.write(f"  {rows} rows have private columns whose events were erased: those are not compared")
