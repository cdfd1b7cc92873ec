"""An auditor's day in Chromium: search, keep the search, sample, one key's life, its evidence; then verify away from Keystead."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Download, expect

from audit.models import AuditEvent, AuditExport, ExportState
from keys.lifecycle.revocation import revoke_key
from keys.models import SavedSearch
from keys.states import RevocationReason
from keys.tasks import make_exports
from portal.layout import layout_at
from tests.accounts import PASSWORD
from tests.journeys.test_browser_journey import Guest
from tests.people import World, acting, issued
from tests.sealers import SealingThread
from tests.servers import PortalServer

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("committed_db")]


@pytest.fixture
def site(sealing: SealingThread) -> Iterator[PortalServer]:
    """The site as an auditor meets it: with a sealer at work, whose public key the site was told."""
    key = sealing.sealer.folder.verifier_file.read_text().strip()
    server = PortalServer(layout_at(os.environ["KEYSTEAD_DATA"]), KEYSTEAD_LOG_KEYS=key).start()
    yield server
    server.stop()


def verified(folder: Path, *arguments: str) -> dict[str, object]:
    """Ask verify.py in an interpreter that loads nothing but itself, and insist that it holds."""
    command = [sys.executable, "-I", "verify.py", *arguments, "--key", "pinned.vkey", "--json"]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert said.returncode == 0, said.stdout + said.stderr
    return dict(json.loads(said.stdout))


def test_an_auditors_day(
    chromium: Browser, site: PortalServer, sealing: SealingThread, world: World, tmp_path: Path
) -> None:
    key, version, _secret = issued(world)
    for number in range(3):
        issued(world, name=f"Report {number}")
    revoke_key(key, actor=acting(world.alice, "revoke"), reason=RevocationReason.CESSATION_OF_OPERATION)
    desk = tmp_path / "desk"  # the auditor's own machine: what is there came out of the browser, but for the pinned key
    desk.mkdir()
    (desk / "pinned.vkey").write_text(sealing.sealer.folder.verifier_file.read_text())

    # She joins, leaves, and signs in with her passkey.
    judith = Guest(chromium, site, world.auditor).takes_place(home="Audit log")
    page = judith.page

    def take(download: Download) -> Path:
        file = desk / download.suggested_filename
        download.save_as(file)
        return file

    judith.opens("/account/sessions/")
    page.get_by_role("button", name="Sign out").last.click()
    page.goto(f"{site.url}/audit/")
    page.get_by_label("E-mail address").fill("auditor@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    judith.presses("Continue")
    judith.presses("Use a passkey")
    expect(page.get_by_role("heading", name="Audit log", level=1)).to_be_visible()
    judith.looks()

    # She searches, and keeps the search.
    page.get_by_label("Environment").select_option("prod")
    judith.presses("Filter")
    expect(page.get_by_role("link", name="Save this search")).to_be_visible()
    judith.looks()
    page.get_by_role("link", name="Save this search").click()
    judith.looks()
    page.get_by_label("Name").fill("All of production")
    page.get_by_label("Share it with everybody who may read the log").check()
    judith.presses("Save")
    expect(page.get_by_text("Saved as “All of production”.")).to_be_visible()
    page.goto(f"{site.url}/audit/")
    page.get_by_role("navigation", name="Saved searches").get_by_role("link", name="All of production").click()
    expect(page.get_by_label("Environment")).to_have_value("prod")
    judith.opens("/audit/searches/")
    assert SavedSearch.objects.get().query == {"environment": "prod"}

    # A sample of 25 by a seed that nobody at Keystead chose, and the same again.
    sealing.settle()
    page.get_by_role("link", name="All of production").click()
    page.get_by_role("link", name="Draw a sample").click()
    judith.looks()
    page.get_by_label("Seed").fill("dice-4-1-6-6-2")
    judith.presses("Draw")
    expect(page.get_by_role("heading", name="A sample of 25")).to_be_visible()
    judith.looks()
    drawn = [str(link.get_attribute("href")) for link in page.locator(".event-time a").all()]
    assert len(drawn) == 25
    record = AuditEvent.objects.with_action("log.sampled").get().envelope()["details"]
    assert isinstance(record, dict)
    assert (record["seed"], record["seed_chosen"]) == ("dice-4-1-6-6-2", True)
    judith.presses("Draw it again")
    expect(page.get_by_text("Drawn again: the same")).to_be_visible()
    judith.looks()

    # One event of it, with its proof and its bytes.
    page.locator(".event-time a").first.click()
    judith.looks()
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download proof").click()
    proof = take(downloading.value)
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download the bytes").click()
    entry = take(downloading.value)

    # The verifier, and the key to compare with the pinned one.
    page.get_by_role("link", name="Verify it yourself").click()
    expect(page.get_by_role("heading", name="Pin the key")).to_be_visible()
    judith.looks()
    for name in ("Download verify.py", "Download log.vkey", "Download the newest checkpoint"):
        with page.expect_download() as downloading:
            page.get_by_role("link", name=name).click()
        take(downloading.value)
    assert (desk / "log.vkey").read_text() == (desk / "pinned.vkey").read_text()

    # One key's life, and its evidence.
    judith.opens("/audit/")
    page.get_by_role("textbox", name="One key's whole life").fill(version.kid)
    judith.presses("Open")
    expect(page.get_by_role("heading", name=f"The life of {key}")).to_be_visible()
    judith.looks()
    page.get_by_role("link", name="Export its evidence").click()
    expect(page.get_by_role("radio", name=re.compile("^Evidence bundle"))).to_be_checked()
    judith.looks()
    judith.presses("Confirm with a passkey and send")
    expect(page.get_by_text("A worker makes the file.")).to_be_visible()
    judith.looks()
    for _ in range(5):  # a worker's turns: it writes, the export is sealed, it finishes
        make_exports()
        sealing.settle()
        if AuditExport.objects.get().state == ExportState.DONE:
            break
    page.reload()
    judith.looks()
    with page.expect_download() as downloading:
        judith.presses("Download")
    evidence = take(downloading.value)

    # The population of the sample, in case somebody doubts the draw.
    page.goto(f"{site.url}/audit/?action=log.sampled")
    page.locator(".event-time a").first.click()
    page.get_by_role("link", name="Open the sample").click()
    page.get_by_text("Draw it again without Keystead").click()
    program = str(page.locator("#redraw").text_content())
    page.get_by_role("link", name="Export the population").click()
    page.get_by_role("radio", name=re.compile("^JSON Lines")).check()
    with page.expect_download() as downloading:
        judith.presses("Export")
    population = take(downloading.value)
    judith.leaves()

    # Away from Keystead: nothing but the files, the pinned key and Python.
    verified(desk, "proof", proof.name, "--entry", entry.name)
    verified(desk, "bundle", evidence.name)
    with zipfile.ZipFile(population) as packed:
        (desk / "events.jsonl").write_bytes(packed.read("log.jsonl"))
    (desk / "redraw.py").write_text(program)
    said = subprocess.run(
        [sys.executable, "-I", "redraw.py", "events.jsonl"], cwd=desk, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert said[0] == f"{record['population']} {record['population_sha256']}"
    assert [f"/audit/events/{uid}/" for uid in said[1:]] == drawn

    # One byte of what she took out is not what was recorded: refused.
    event = json.loads(entry.read_bytes())
    assert hashlib.sha256(entry.read_bytes()).digest()
    entry.write_bytes(entry.read_bytes().replace(event["actor"]["id"].encode(), str(world.mallory.pk).encode()))
    command = [sys.executable, "-I", "verify.py", "proof", proof.name, "--entry", entry.name, "--key", "pinned.vkey"]
    assert subprocess.run(command, cwd=desk, capture_output=True, check=False, timeout=60).returncode == 1

    # And all that she read, drew and took is on record, under her name.
    hers = set(AuditEvent.objects.filter(actor_id=str(world.auditor.pk)).values_list("action", flat=True))
    assert {
        "audit.log-read", "saved-search.created", "log.sampled", "audit.export-requested", "audit.export-downloaded",
        "audit.log-exported",
    } <= hers  # fmt: skip
