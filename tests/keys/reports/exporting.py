"""Ask for exports, open what became of them, and read what the log says about it."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

from audit.actor import Actor
from audit.models import AuditEvent, AuditExport
from keys.reports.export_files import folder
from keys.reports.exports import request_export
from keys.reports.searches import LogSearch
from tests.people import acting

JOB = Actor.job("make_exports")
ROOT = Path(__file__).resolve().parents[3]
ALL = LogSearch()


def asked(person: Any, wanted: Any = ALL, form: str = "jsonl", **more: Any) -> AuditExport:
    return request_export(wanted, form=form, actor=acting(person, "export"), **more)


def packed(export: AuditExport) -> zipfile.ZipFile:
    export.refresh_from_db()
    assert export.state == "done", export.error
    file = folder() / export.file
    assert (file.stat().st_size, hashlib.sha256(file.read_bytes()).digest()) == (export.size, bytes(export.sha256))
    return zipfile.ZipFile(file)


def told(action: str) -> list[dict[str, Any]]:
    return [each.envelope() for each in AuditEvent.objects.filter(action=action).order_by("id")]
