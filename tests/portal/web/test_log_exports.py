"""An export holds exactly the rows of its filter, and its manifest ties the file to the log; each is one snapshot."""

import csv
import hashlib
import io
import json
import zipfile
from datetime import UTC, datetime

import pytest

from audit import clock
from keys.people.roles import rename_person
from tests.people import acting, issued, submitted
from tests.portal.doorway import details, events, last_event, signed_in


def _unpacked(answer, form):
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as packed:
        assert packed.namelist() == [f"log.{form}", "manifest.json"]
        return packed.read(f"log.{form}"), json.loads(packed.read("manifest.json"))


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_export_holds_exactly_the_rows_of_its_filter_and_its_manifest_fits(sealing, world, form):
    key, _version, _secret = issued(world)
    rename_person(world.alice, actor=acting(world.alice), name="=HYPERLINK(1)")
    client = signed_in(world.auditor, "export")
    answer = client.post(f"/audit/export/?target={key}", {"form": form})
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/zip"
    file, manifest = _unpacked(answer, form)
    expected = [str(event.uid) for event in events(target_id=str(key.pk))] + [
        str(event.uid) for event in events(target_type__in=["version", "rotation"])
    ]
    if form == "csv":
        told = [row["uid"] for row in csv.DictReader(io.StringIO(file.decode()))]
    else:
        told = [json.loads(line)["uid"] for line in file.splitlines()]
    assert sorted(told) == sorted(expected)
    assert manifest["rows"] == len(told)
    assert manifest["sha256"] == hashlib.sha256(file).hexdigest()
    assert manifest["size"] == len(file)
    assert manifest["searched"] == {"target": f"key:{key.pk} with its versions, rotations and transfers"}
    assert manifest["exported_by"] == f"person:{world.auditor.pk}"
    exported = last_event("audit.log-exported")
    assert details(exported) == {
        "form": form,
        "rows": manifest["rows"],
        "size": len(file),
        "sha256": manifest["sha256"],
        "searched": manifest["searched"],
        "export": "",
        "file_sha256": "",
        "with_private": False,
    }


def test_no_cell_of_an_export_is_a_formula_and_no_name_leaves_the_house(sealing, world):
    submitted(world, name="=cmd|' /C calc'!A1")
    client = signed_in(world.auditor, "export")
    file, manifest = _unpacked(client.post("/audit/export/", {"form": "csv"}), "csv")
    rows = list(csv.reader(io.StringIO(file.decode())))
    assert manifest["rows"] == len(rows) - 1
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert b"alice@example.com" not in file
    assert datetime.fromisoformat(manifest["exported_at"]).astimezone(UTC) <= clock.now()
