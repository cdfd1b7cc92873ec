"""Replay the audit log from empty and compare the result with the tables."""

from argparse import ArgumentParser

from django.core.management.base import BaseCommand
from django.db import connections, transaction

from audit.governed import governed_tables
from audit.replay import TEMPORARY, Replay, differences, replay_into


class Command(BaseCommand):
    help = (
        "Rebuild every governed table from the audit events alone and compare it with what is stored. "
        "Exits 1 when anything differs. Connects as the auditor role (DATABASE_AUDITOR_URL), which reads and may make "
        "temporary tables."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--database", default="auditor", help="alias of the connection (default: auditor)")
        parser.add_argument(
            "--schema", default=TEMPORARY, help="an empty schema to build in and keep (default: temporary tables)"
        )

    def handle(self, *, database: str, schema: str, **options: object) -> None:
        with transaction.atomic(using=database, durable=schema == TEMPORARY):
            if schema == TEMPORARY:
                # One snapshot: what commits meanwhile belongs to neither side.
                with connections[database].cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            replay = replay_into(schema, using=database)
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
        self.stdout.write(f"{replay.events} events replayed")
        for target_type, table in sorted(governed_tables().items()):
            rows = len(replay.rows[target_type])
            self.stdout.write(f"  {table.table}: {rows} rows, {len(table.columns)} columns")
            for column, why in sorted(table.excluded.items()):
                self.stdout.write(f"    not in events: {column} ({why})")
        if replay.unknown:
            rows = sum(1 for names in replay.unknown.values() if names)
            self.stdout.write(f"  {rows} rows have private columns whose events were erased: those are not compared")
