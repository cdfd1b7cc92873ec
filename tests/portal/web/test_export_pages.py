"""Files from the log that workers make: asked for, followed and taken on pages that only readers of the log find."""

from __future__ import annotations

import io
import json
import zipfile
from uuid import UUID

import pytest
from django.test import Client
from django.urls import reverse

from audit.models import AuditExport
from keys.tasks import make_exports
from tests.people import issued, submitted
from tests.portal.doorway import details, events, last_event, signed_in

READERS = ["auditor", "admin"]
OTHERS = ["alice", "bob", "carol", "mallory", "responder"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, settings):
    settings.KEYSTEAD_EXPORT_FOLDER = tmp_path / "exports"


def ask(client, query="", **typed):
    return client.post(f"/audit/export/{query}", {"form": "jsonl", "with_private": "on", **typed})


def pages(uid):
    return [
        reverse("audit_exports"),
        reverse("audit_exports_progress"),
        reverse("audit_export_file", args=[uid]),
        reverse("audit_export_progress", args=[uid]),
    ]


@pytest.mark.parametrize("who", READERS)
def test_a_reader_asks_follows_and_takes(committed_db, world, who):
    submitted(world)
    client = signed_in(getattr(world, who), "export")
    assert b"No file was made yet" in client.get(reverse("audit_exports")).content
    answer = ask(client, "?outcome=success", with_private="")
    assert answer.status_code == 200, "few events without private parts come at once"
    answer.close()
    answer = ask(client, "?outcome=success")
    export = AuditExport.objects.get()
    assert answer["Location"] == reverse("audit_export_file", args=[export.uid])
    page = client.get(answer["Location"])
    assert b"waits for a worker" in page.content
    assert b'hx-get="/audit/exports/' in page.content
    assert b"Download" not in page.content
    assert b"hx-get" in client.get(reverse("audit_exports")).content
    assert "HX-Refresh" not in client.get(reverse("audit_export_progress", args=[export.uid]))
    assert make_exports() == 1
    assert client.get(reverse("audit_export_progress", args=[export.uid]))["HX-Refresh"] == "true"
    page = client.get(answer["Location"])
    export.refresh_from_db()
    assert bytes(export.sha256).hex() in page.content.decode()
    assert b"hx-get" not in page.content
    assert b"hx-get" not in client.get(reverse("audit_exports")).content
    taken = client.post(answer["Location"])
    assert taken.status_code == 200
    assert taken["Content-Disposition"].startswith('attachment; filename="keystead-jsonl-')
    assert taken["Cache-Control"] == "no-store, private"
    with zipfile.ZipFile(io.BytesIO(b"".join(taken.streaming_content))) as packed:
        assert json.loads(packed.read("manifest.json"))["rows"] == export.rows
    assert details(last_event("audit.export-downloaded"))["sha256"] == bytes(export.sha256).hex()


@pytest.mark.parametrize("who", OTHERS)
def test_nobody_else_finds_the_pages(committed_db, world, who):
    ask(signed_in(world.auditor, "export"))
    uid = AuditExport.objects.get().uid
    make_exports()
    client = signed_in(getattr(world, who), "*")
    for address in pages(uid):
        assert client.get(address).status_code == 404
    assert client.post(reverse("audit_export_file", args=[uid])).status_code == 404
    assert ask(client).status_code == 404
    assert not events(action="audit.export-downloaded")
    assert AuditExport.objects.count() == 1


def test_strangers_are_sent_to_sign_in(world):
    for address in pages(UUID(int=1)):
        assert Client().get(address).status_code == 302


def test_taking_needs_presence(committed_db, world):
    ask(signed_in(world.auditor, "export"))
    make_exports()
    address = reverse("audit_export_file", args=[AuditExport.objects.get().uid])
    client = signed_in(world.admin)
    assert client.get(address).status_code == 200
    assert client.post(address).status_code == 422
    assert not events(action="audit.export-downloaded")


def test_more_events_than_fit_one_answer_are_made_by_a_worker(committed_db, world, settings):
    submitted(world)
    settings.KEYSTEAD_EXPORT_AT_ONCE = 5
    client = signed_in(world.auditor, "export")
    answer = ask(client, with_private="")
    export = AuditExport.objects.get()
    assert answer["Location"] == reverse("audit_export_file", args=[export.uid])
    assert not export.with_private
    make_exports()
    export.refresh_from_db()
    assert (export.state, export.rows > 5) == ("done", True)


def test_a_filter_and_a_range_are_kept_as_they_were_asked(committed_db, world, sealing):
    sealing.settle()
    client = signed_in(world.auditor, "export")
    ask(client, f"?who=person:{world.alice.pk}&environment=prod")
    kept = AuditExport.objects.get()
    assert kept.searched == {"actor": f"person:{world.alice.pk}", "environment": "prod"}
    ask(client, form="bundle", scope="range", from_leaf="2", upto_leaf="7")
    made = AuditExport.objects.exclude(uid=kept.uid).get()
    assert (made.scope, made.searched) == ({"leaves": [2, 7]}, {"leaves": "2-7"})
    page = client.get(reverse("audit_exports")).content.decode()
    assert "Evidence bundle" in page
    assert "private parts" in page
    assert "Auditor" in page


def test_evidence_about_a_key_names_it_and_says_how_to_verify_it(committed_db, world, sealing):
    key, _, _ = issued(world)
    sealing.settle()
    client = signed_in(world.auditor, "export")
    asked = f"?target=key:{key.pk}&form=bundle"
    name = f"{key} · {key.name}"
    assert name in client.get(reverse("audit_export") + asked).content.decode()
    answer = ask(client, asked, form="bundle", with_private="")
    make_exports()
    AuditExport.objects.update(state="done")
    assert name in client.get(reverse("audit_exports")).content.decode()
    page = client.get(answer["Location"]).content.decode()
    assert name in page
    assert "verify.py bundle EXPORT.zip --key log.vkey" in page


@pytest.mark.parametrize(
    "typed",
    [
        {"form": "xml"}, {"scope": "moon"}, {"scope": "range", "from_leaf": "x"}, {"scope": "range", "from_leaf": "-1"},
        {"scope": "range", "from_leaf": "5", "upto_leaf": "5"}, {"scope": "range", "upto_leaf": "99999999999999999999"},
        {"scope": "range", "upto_leaf": "999999"},
    ],
)  # fmt: skip
def test_bad_input_is_marked_in_the_form(world, typed):
    answer = ask(signed_in(world.auditor, "export"), **typed)
    assert answer.status_code == 422
    assert not AuditExport.objects.exists()


@pytest.mark.parametrize("query", ["?before=x", "?before=" + "0" * 200, "?before=%00"])
def test_an_old_link_into_the_history_is_no_error(world, query):
    client = signed_in(world.auditor)
    for name in ("audit_exports", "audit_exports_progress"):
        assert client.get(reverse(name) + query).status_code in (200, 400)
    assert client.get(reverse("audit_export_file", args=[UUID(int=3)])).status_code == 404


def test_the_history_has_pages(world, monkeypatch):
    monkeypatch.setattr("portal.web.exports.PAGE_SIZE", 2)
    monkeypatch.setattr("keys.reports.exports.PAGE_SIZE", 2)
    for person in (world.auditor, world.admin, world.auditor):
        ask(signed_in(person, "export"))
    client = signed_in(world.auditor)
    first = client.get(reverse("audit_exports"))
    assert len(first.context["lines"]) == 2
    second = client.get(reverse("audit_exports") + first.context["older"])
    assert len(second.context["lines"]) == 1
    assert not second.context["older"]


def test_failures_are_told_in_words(world):
    client = signed_in(world.auditor, "export")
    ask(client)
    AuditExport.objects.update(
        state="failed", error="export_no_space", finished_at=AuditExport.objects.get().requested_at
    )
    page = client.get(reverse("audit_export_file", args=[AuditExport.objects.get().uid])).content.decode()
    assert "There is no room for the file" in page
    assert "Download" not in page


def test_whoever_asked_cancels_with_a_button_and_others_see_none(committed_db, world):
    ask(signed_in(world.auditor, "export"), with_private="on")
    export = AuditExport.objects.get()
    page, cancel = reverse("audit_export_file", args=[export.uid]), reverse("audit_export_cancel", args=[export.uid])
    auditor, admin, alice = signed_in(world.auditor), signed_in(world.admin), signed_in(world.alice)
    assert cancel in auditor.get(page).content.decode()
    assert cancel in admin.get(page).content.decode()
    assert alice.post(cancel).status_code == 404
    assert auditor.get(cancel).status_code == 405
    answer = auditor.post(cancel, follow=True).content.decode()
    assert "Cancelled. No file is left of it." in answer
    assert cancel not in answer
    assert "cancelled" in answer
    assert auditor.post(cancel).status_code == 409
    assert make_exports() == 0
    ask(signed_in(world.admin, "export"), with_private="on")
    other = AuditExport.objects.get(state="waiting")
    assert "Cancel it" not in auditor.get(reverse("audit_export_file", args=[other.uid])).content.decode()
    assert auditor.post(reverse("audit_export_cancel", args=[other.uid])).status_code == 403
