"""Write an evidence bundle: a ZIP that an outsider verifies with one file and the log's public key."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from audit.actor import Actor
from audit.checkpoints import NotSealed
from audit.exporters.bundle import BundleError
from audit.exporters.bundle_rows import LeafRange
from audit.notes import NoteError, open_checkpoint
from audit.pins import log_keys
from keys.models import KeyRequest, ManagedKey
from keys.reports.evidence import export_bundle, seal_bundle
from keys.reports.searches import LogSearch, Subject


class Command(BaseCommand):
    help = (
        "Write an evidence bundle: a whole range of the log (complete), or everything about one key, one request or a "
        "search (present). Verify it with verify.py. Exits 1 when there is nothing such, 2 when the log did not seal the "
        "export in time; the file is then not signed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--leaves", help="FROM-UPTO, or FROM- for everything from there on")
        what.add_argument("--key", help="KEY-1001: its life, its requests, approvals and what proves them")
        what.add_argument("--request", help="REQ-1001: its life, its approvals and what proves them")
        what.add_argument("--search", action="store_true", help="what --from, --before, --action and --target find")
        parser.add_argument("--from", dest="start", type=_time, help="with --search: from this time on, in ISO 8601")
        parser.add_argument("--before", type=_time, help="with --search: before this time")
        parser.add_argument("--action", action="append", default=[], help="with --search: an action; may be repeated")
        parser.add_argument("--target", default="", help="with --search: kind:id")
        parser.add_argument("--into", required=True, type=Path, help="the file to write; it must not be there")
        parser.add_argument(
            "--with-private", action="store_true", help="with names, addresses and free text; on record"
        )
        parser.add_argument("--since", action="append", default=[], help="file of a checkpoint that the reader kept")
        parser.add_argument("--wait", type=float, default=60.0, help="seconds to wait for the sealer (default: 60)")

    def handle(
        self, *, into: Path, with_private: bool, since: list[str], wait: float, verbosity: int, **asked: object
    ) -> None:
        actor = Actor.at_the_shell()
        wanted = _wanted(asked)
        try:
            keys = log_keys()
            sizes = [open_checkpoint(Path(each).read_text("utf-8"), keys).size for each in since]
            with os.fdopen(os.open(into, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as file:
                manifest, uid = export_bundle(
                    wanted,
                    into=file,
                    actor=actor,
                    with_private=with_private,
                    since=sizes,
                    key="\n".join(each.text() for each in keys),
                )
                sealed = seal_bundle(manifest, uid, into=file, seconds=wait)
        except FileExistsError as there:
            raise CommandError(f"{into} is there already.") from there
        except (NotSealed, BundleError, OSError, NoteError) as problem:
            into.unlink(missing_ok=True)
            raise CommandError(str(problem)) from problem
        if not sealed:
            raise CommandError("The sealer did not seal the export in time; this bundle is not signed.", returncode=2)
        self.stdout.write(f"{manifest.rows} events, proves {manifest.proves}: {into}")


def _wanted(asked: dict[str, object]) -> LeafRange | LogSearch:
    if leaves := asked["leaves"]:
        first, _, end = str(leaves).partition("-")
        if not first.isdecimal() or (end and not end.isdecimal()):
            raise CommandError("--leaves is FROM-UPTO.")
        return LeafRange(from_leaf=int(first), upto_leaf=int(end) if end else None)
    for kind, model in (("key", ManagedKey), ("request", KeyRequest)):
        if number := asked[kind]:
            digits = str(number).rpartition("-")[2]
            row = model._base_manager.filter(number=int(digits) if digits.isdecimal() else -1).first()
            if row is None:
                raise CommandError(f"There is no {number}.")
            return LogSearch(target=Subject(kind, str(row.pk)))
    target = Subject.parse(str(asked["target"])) if asked["target"] else None
    start, before, actions = asked["start"], asked["before"], asked["action"]
    return LogSearch(
        start=start if isinstance(start, datetime) else None,
        end=before if isinstance(before, datetime) else None,
        actions=tuple(actions) if isinstance(actions, list) else (),
        target=target,
    )


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time needs its zone, such as 2026-11-22T00:00:00Z")
    return at
