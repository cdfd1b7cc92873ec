import csv
import hashlib
import io
import json
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from audit import clock, log
from audit.canonical import canonical_json, parse_strict
from audit.envelope import commitment
from audit.exporters import csv_table, payloads
from audit.exporters.manifest import FORMS, Manifest, export, write_private
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
        "sha256": manifest.sha256, "export": "", "file_sha256": "", "with_private": False,
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


def test_an_export_reads_in_batches_without_gaps_or_repeats(
    events: AuditEventQuerySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payloads, "BATCH", 4)
    with transaction.atomic():
        batches = list(payloads.of_search(events))
    assert [len(batch) for batch in batches] == [4] * 6 + [1]
    found = [parse_strict(payload) for batch in batches for (payload,) in batch]
    assert [row["target"]["id"] for row in found] == [f"t{n}" for n in range(25)]  # type: ignore[call-overload,index]


def test_what_is_recorded_during_an_export_is_not_in_it(
    events: AuditEventQuerySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payloads, "BATCH", 5)
    reading = payloads.of_search(events)
    first = next(reading)
    log.record(ThingChanged(target_id="late"), actor=ALICE, at=START + timedelta(minutes=3))
    assert len(first) + sum(map(len, reading)) == 25


def test_outside_a_transaction_nothing_is_read(committed_db: None) -> None:
    with pytest.raises(RuntimeError, match="one snapshot"):
        next(payloads.of_search(AuditEvent.objects.all()))


def test_private_parts_leave_with_the_salt_that_proves_them(events: AuditEventQuerySet) -> None:
    buffer = io.BytesIO()
    written = write_private(payloads.private_of_search(events), into=buffer)
    lines = buffer.getvalue().split(b"\n")[:-1]
    assert written.rows == len(lines) == 25
    assert (written.size, written.sha256) == (len(buffer.getvalue()), hashlib.sha256(buffer.getvalue()).hexdigest())
    for line in lines:
        assert canonical_json(parse_strict(line)) == line
        part = json.loads(line)
        event = AuditEvent.objects.get(uid=part["uid"])
        told = event.envelope()["private"]["commitment"]  # type: ignore[index,call-overload]
        assert commitment(bytes.fromhex(part["salt"]), canonical_json(part["private"])) == told


def test_an_empty_selection_exports_no_row(db: None) -> None:
    manifest, text = _export(AuditEvent.objects.none(), "csv")
    assert (manifest.rows, text) == (0, csv_table.header())


@pytest.mark.parametrize("form", FORMS)
def test_the_memory_of_an_export_does_not_grow_with_it(db: None, form: str) -> None:
    def peak() -> int:
        class Sink(io.RawIOBase):
            def write(self, text: object) -> int:
                return len(text)  # type: ignore[arg-type]

        tracemalloc.start()
        export(AuditEvent.objects.all(), form=form, into=Sink(), searched={}, actor=ALICE, at=START)  # type: ignore[arg-type]
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    batch = [ThingChanged(target_id=str(n)) for n in range(600)]  # more than are read at once
    log.record_many(batch, actor=ALICE, at=START)
    small = peak()
    for _ in range(3):
        log.record_many(batch, actor=ALICE, at=START)
    assert peak() < small * 1.5
