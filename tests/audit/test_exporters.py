import csv
import hashlib
import io
import json
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit import clock, log
from audit.canonical import parse_strict
from audit.exporters import csv_table
from audit.exporters.manifest import FORMS, Manifest, export
from audit.exporters.pages import oldest_first
from audit.models import AuditEvent
from audit.queries import AuditEventQuerySet
from tests.audit.things import ALICE, ThingChanged

START = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def events(db: None) -> AuditEventQuerySet:
    for minute in range(25):
        # Two at the same instant: the order must still be total.
        at = START + timedelta(minutes=minute // 2)
        log.record(ThingChanged(target_id=f"t{minute}", correlation="=1+1", count=minute), actor=ALICE, at=at)
    return AuditEvent.objects.with_action("thing.changed")


def _export(events: AuditEventQuerySet, form: str) -> tuple[Manifest, bytes]:
    buffer = io.BytesIO()
    manifest = export(events, form=form, into=buffer, searched={"action": "thing.changed"}, actor=ALICE, at=clock.now())
    return manifest, buffer.getvalue()


def test_json_lines_are_the_exact_payloads_oldest_first(events: AuditEventQuerySet) -> None:
    _, text = _export(events, "jsonl")
    lines = text.split(b"\n")[:-1]
    assert lines == [bytes(row.payload) for row in events.order_by("occurred_at", "id")]
    assert [json.loads(line)["details"]["count"] for line in lines] == list(range(25))


@pytest.mark.parametrize("form", FORMS)
def test_the_manifest_counts_and_hashes_what_the_file_holds(events: AuditEventQuerySet, form: str) -> None:
    manifest, text = _export(events, form)
    assert manifest.rows == 25 == text.count(b"\n") - (form == "csv")
    assert (manifest.size, manifest.sha256) == (len(text), hashlib.sha256(text).hexdigest())
    assert parse_strict(manifest.encoded()) == {
        "version": 1, "form": form, "rows": 25, "size": len(text), "sha256": manifest.sha256,
        "searched": {"action": "thing.changed"}, "exported_by": f"person:{ALICE.id}",
        "exported_at": manifest.exported_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
    }  # fmt: skip
    uid = log.record(manifest.event(), actor=ALICE, at=clock.now())
    details = AuditEvent.objects.get(uid=uid).envelope()["details"]
    assert details == {
        "form": form, "searched": {"action": "thing.changed"}, "rows": 25, "size": len(text),
        "sha256": manifest.sha256,
    }  # fmt: skip


def test_the_table_neutralises_formulas_and_keeps_every_row(events: AuditEventQuerySet) -> None:
    _, text = _export(events, "csv")
    rows = list(csv.DictReader(io.StringIO(text.decode("utf-8"), newline="")))
    assert len(rows) == 25
    assert {row["correlation"] for row in rows} == {"'=1+1"}
    assert rows[3]["details"] == '{"count":3}'
    assert rows[0]["time"] == "2026-05-01T00:00:00.000Z"


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\ta", "\ra", "\na", "  =1", "\uff1d1"])
def test_a_cell_that_a_spreadsheet_would_run_becomes_text(text: str) -> None:
    assert csv_table.neutral(text) == "'" + text


@pytest.mark.parametrize("text", ["", "a=1", "1-2", "x@y", "{}"])
def test_an_ordinary_cell_stays_as_it_is(text: str) -> None:
    assert csv_table.neutral(text) == text


def test_an_unknown_form_is_refused(events: AuditEventQuerySet) -> None:
    with pytest.raises(ValueError, match="xml"):
        _export(events, "xml")


def test_an_export_reads_in_pages_without_gaps_or_repeats(events: AuditEventQuerySet) -> None:
    with CaptureQueriesContext(connection) as queries:
        found = [row.target_id for row in oldest_first(events, size=4)]
    assert found == [f"t{n}" for n in range(25)]
    assert len(queries) == 1 + 7


def test_what_is_recorded_during_an_export_is_not_in_it(events: AuditEventQuerySet) -> None:
    reading = oldest_first(events, size=5)
    first = next(reading)
    log.record(ThingChanged(target_id="late"), actor=ALICE, at=START + timedelta(minutes=3))
    assert [first.target_id, *(row.target_id for row in reading)] == [f"t{n}" for n in range(25)]


def test_an_empty_selection_exports_no_row(db: None) -> None:
    manifest, text = _export(AuditEvent.objects.none(), "csv")
    assert (manifest.rows, text) == (0, csv_table.header())


def test_the_memory_of_an_export_does_not_grow_with_it(db: None) -> None:
    def peak() -> int:
        class Sink(io.RawIOBase):
            def write(self, text: object) -> int:
                return len(text)  # type: ignore[arg-type]

        tracemalloc.start()
        export(AuditEvent.objects.all(), form="jsonl", into=Sink(), searched={}, actor=ALICE, at=START)  # type: ignore[arg-type]
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    batch = [ThingChanged(target_id=str(n)) for n in range(1500)]
    log.record_many(batch, actor=ALICE, at=START)
    small = peak()
    for _ in range(5):
        log.record_many(batch, actor=ALICE, at=START)
    assert peak() < small * 1.5
