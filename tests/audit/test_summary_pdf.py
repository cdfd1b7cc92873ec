"""The PDF of a bundle tells what was counted, in any script, in bytes that depend on the bundle alone."""

import base64
from datetime import UTC, datetime

import pytest

from audit.exporters.bundle import BundleManifest
from audit.exporters.summary_pdf import drawable, summary_pdf
from audit.exporters.tally import Tally

NOTE = "keystead/x\n20\nAAAA\n\n— keystead/x " + base64.b64encode(b"\xab\xcd\xef\x01" + b"0" * 64).decode() + "\n"


def manifest(**more):
    facts = {
        "proves": "presence", "searched": {"actor": "person:7"}, "from_leaf": 0, "upto_leaf": 10, "rows": 10,
        "first_at": "2026-01-01T00:00:00.000Z", "last_at": "2026-02-01T00:00:00.000Z", "exported_by": "person:1",
        "exported_at": datetime(2026, 3, 1, tzinfo=UTC), "origin": "keystead/x", "size": 20, "root": "ab" * 32,
        "with_private": False,
    }  # fmt: skip
    return BundleManifest(**(facts | more))


def tally(kinds=3):
    found = Tally()
    found.count(
        [
            b'{"action":"thing.done-%d","outcome":"success","actor":{"type":"person"}}' % (number % kinds)
            for number in range(kinds * 2)
        ]
    )
    return found


def test_the_same_bundle_gives_the_same_bytes():
    assert summary_pdf(manifest(), tally(), note=NOTE) == summary_pdf(manifest(), tally(), note=NOTE)


def test_it_is_a_pdf_with_pages_that_names_the_language_and_title():
    pdf = summary_pdf(manifest(), tally(), note=NOTE)
    assert pdf.startswith(b"%PDF-1.")
    assert pdf.rstrip().endswith(b"%%EOF")
    assert b"/Lang" in pdf
    assert b"Evidence from the audit log" in pdf


@pytest.mark.parametrize(
    ("given", "drawn"),
    [
        ("Zoë Müller", "Zoë Müller"),
        ("张伟", "[U+5F20][U+4F1F]"),
        ("Ольга", "[U+041E][U+043B][U+044C][U+0433][U+0430]"),
        ("a\u202eb\x07", "a[U+202E]b[U+0007]"),
        ("🙂", "[U+1F642]"),
    ],
)
def test_what_the_fonts_lack_is_told_by_its_code_point(given, drawn):
    assert drawable(given) == drawn


@pytest.mark.parametrize("name", ["张伟 🙂", "<b>not ours</b> & <para>", "x" * 50_000, "\u202e", "ﷺ" * 3000])
def test_no_name_breaks_the_document(name):
    odd = manifest(searched={"actor": name, "target": name}, origin=name, exported_by=name)
    assert summary_pdf(odd, tally(), note=NOTE).startswith(b"%PDF")


def test_many_kinds_of_events_are_told_and_the_rest_counted():
    assert len(summary_pdf(manifest(), tally(290), note=NOTE)) < 200_000
    assert len(summary_pdf(manifest(), tally(5_000), note=NOTE)) < 200_000


def test_an_empty_bundle_has_a_summary_too():
    assert summary_pdf(manifest(rows=0, first_at="", last_at=""), Tally(), note=NOTE).startswith(b"%PDF")


def test_events_are_counted_from_their_payloads():
    found = tally()
    assert found.actions == {"thing.done-0": 2, "thing.done-1": 2, "thing.done-2": 2}
    assert found.outcomes == {"success": 6}
    assert found.actors == {"person": 6}
