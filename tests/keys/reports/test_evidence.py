"""From an evidence bundle alone it shows who approved what with which passkey, and that just that was issued."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit import verify
from audit.exporters.bundle_rows import LeafRange
from audit.models import AuditEvent, AuditLeaf
from keys.approvals.submission import withdraw_request
from keys.errors import Denied
from keys.people import methods
from keys.people.roles import deactivate_person
from keys.reports.evidence import export_bundle, seal_bundle
from keys.reports.receipts import decisive_events, take_receipt
from keys.reports.searches import LogSearch, Subject
from keys.retention.erasure import erase_person
from tests.audit.bundles import MemoryLog, assert_refused_when_changed, make_bundle, refusal, unpacked, verdict
from tests.keys.reports.evidence_story import tell
from tests.people import World, acting, submitted
from tests.sealers import SealingThread


def test_a_whole_log_proves_every_approval_and_every_key(story):
    told = verdict(make_bundle(MemoryLog(story)), origins=["http://localhost:8000"], deep=True)
    assert told["approvals"] == {"verified": 8, "weaker": 2, "unprovable": 0}
    assert told["keys"] == {
        "verified": 3, "weaker": 1, "automatic": 1, "unprovable": 0, "without-request": 0,
    }  # fmt: skip
    reasons = {each["why"] for each in told["listed"]}
    assert {f"signed with a passkey ({name})" for name in ("ES256", "EdDSA", "RS256")} <= reasons
    assert "decided with a code from an app" in reasons, "in the words of the pages"


@pytest.mark.parametrize("method", ["presence", "totp"])
def test_ways_to_decide_are_told_in_the_words_of_the_pages(method):
    """The program stands alone, so it has a copy of them."""
    assert verify.METHODS[method] == methods.method_words(method)


def test_a_decided_request_may_be_spoken_of_and_not_changed(story):
    approved = next(each for each in story if each["action"] == "request.approved")
    taken = approved | {
        "uid": "00000000-0000-7000-8000-000000000001", "action": "request.receipt-taken", "change": {}, "approvals": [],
        "details": {"event": approved["uid"], "size": 7},
    }  # fmt: skip
    files = make_bundle(MemoryLog([*story, taken]))
    assert verdict(files, origins=["http://localhost:8000"])["keys"]["verified"] == 3
    changed = taken | {"action": "request.edited", "change": {"state": ["approved", "pending"]}}
    assert refusal(make_bundle(MemoryLog([*story, changed]))) == "request"


def test_what_is_said_of_a_request_afterwards_takes_nothing_from_its_proof(
    sealing: SealingThread, world: World, tmp_path: Path, settings: Any
) -> None:
    """A receipt is taken of it, and the texts of others that named somebody are erased."""
    settings.KEYSTEAD_LOG_KEYS = [sealing.sealer.signer.verifier.text()]
    key = tell(world)
    withdraw_request(submitted(world, purpose=f"Ask {world.anna.email}."), actor=acting(world.alice))
    sealing.settle()
    take_receipt(key.request, uid=decisive_events(key.request)[0].event.uid, actor=acting(world.alice))
    deactivate_person(world.anna, actor=acting(world.admin2, "people"))
    assert erase_person(world.anna, actor=acting(world.admin, "people"), reason="no-longer-needed").texts
    path = tmp_path / "all.zip"
    call_command("export_audit_bundle", "--leaves", "0-", "--into", str(path))
    assert verify.main(["bundle", str(path), "--key", settings.KEYSTEAD_LOG_KEYS[0], "--deep"]) == 0


def test_people_are_told_of_keys_and_requests_by_the_numbers_that_they_know(story, about_key):
    def numbers(target: str) -> set[str]:
        created = [each["change"]["number"][1] for each in story if each["action"] == f"{target}"]
        return {f"{'KEY' if target.startswith('key') else 'REQ'}-{number}" for number in created}

    told = verdict(make_bundle(MemoryLog(story)), origins=["http://localhost:8000"])
    for kind, target in (("key", "key.created"), ("approval", "request.submitted")):
        named = [each["about"] for each in told["listed"] if each["kind"] == kind]
        assert named
        assert set(named) <= numbers(target), kind
    head = {"command": "bundle", "witnesses": [], "origin": "log", "size": len(story), "root": ""}
    assert re.search(
        r"^    key KEY-\d+ [0-9a-f-]{36} \(leaf \d+\): verified", verify.in_words(told | head), re.MULTILINE
    )
    places = [n for n, each in enumerate(story) if each["uid"] in about_key and each["action"] != "request.submitted"]
    unknown = verdict(make_bundle(MemoryLog(story), places))["listed"]
    assert {each["about"] for each in unknown if each["kind"] == "approval"} == {""}


def test_a_bundle_about_one_key_brings_all_that_proves_it(story, about_key):
    places = [n for n, each in enumerate(story) if each["uid"] in about_key]
    told = verdict(make_bundle(MemoryLog(story), places))
    assert told["approvals"] == {"verified": 5, "weaker": 0, "unprovable": 0}
    assert (told["keys"]["verified"], told["keys"]["unprovable"]) == (2, 0)  # the key, and its renewal
    assert len(places) < len(story) / 2


def test_what_lies_outside_a_bundle_is_told_as_not_provable_and_is_no_finding(story, about_key):
    def told_without(*actions: str) -> dict[str, Any]:
        places = [n for n, each in enumerate(story) if each["uid"] in about_key and each["action"] not in actions]
        return verdict(make_bundle(MemoryLog(story), places))

    no_enrolments = told_without("passkey.enrolled")
    assert no_enrolments["approvals"] == {"verified": 0, "weaker": 0, "unprovable": 5}
    assert no_enrolments["keys"]["unprovable"] == 2
    assert told_without("request.submitted")["approvals"]["unprovable"] == 5
    for action in ("policy.versioned", "service.created", "team.created", "environment.created", "request.approved"):
        told = told_without(action)
        assert (told["keys"]["verified"], action) in ((0, action), (1, action)), told["keys"]
        assert told["keys"]["unprovable"] >= 1
    assert told_without("approval.given")["keys"]["unprovable"] == 2


def test_a_range_that_begins_later_says_what_it_cannot_prove(story, tmp_path):
    start = next(n for n, each in enumerate(story) if each["action"] == "request.submitted")
    scope = LeafRange(from_leaf=start)
    files = make_bundle(MemoryLog(story), list(range(start, len(story))), scope=scope)
    told = verdict(files)
    assert told["proves"] == "completeness"
    assert (told["approvals"]["verified"], told["approvals"]["unprovable"]) == (0, 8)
    (tmp_path / "b").mkdir()
    for name, text in files.items():
        (tmp_path / "b" / name).write_bytes(text)
    words = ["bundle", str(tmp_path / "b"), "--key", files["log.vkey"].decode()]
    assert verify.main(words) == 0
    assert verify.main([*words, "--strict"]) == 1


def test_another_origin_than_the_pinned_one_is_refused(story):
    assert refusal(make_bundle(MemoryLog(story)), origins=["https://keystead.example"]) == "approval"


def test_only_who_may_read_the_log_and_stepped_up_takes_a_bundle(committed_db: None, world: World) -> None:
    for person, purposes, hidden in (
        (world.mallory, ("export",), True),
        (world.alice, ("export",), True),
        (world.auditor, (), False),
    ):
        denied = AuditEvent.objects.with_action("access.denied").count()
        with pytest.raises(Denied) as refused:
            export_bundle(LeafRange(), into=BytesIO(), actor=acting(person, *purposes))
        assert refused.value.hidden is hidden
        assert AuditEvent.objects.with_action("access.denied").count() == denied + 1


def test_a_bundle_of_the_real_log_is_finished_by_its_own_seal(
    sealing: SealingThread, world: World, tmp_path: Path
) -> None:
    key = tell(world)
    sealing.settle()
    pinned = sealing.sealer.signer.verifier.text()
    path = tmp_path / "key.zip"
    with path.open("xb+") as file:
        manifest, uid = export_bundle(
            LogSearch(target=Subject("key", str(key.pk))),
            into=file,
            actor=acting(world.auditor, "export"),
            with_private=True,
            key=pinned,
        )
        assert verify.main(["bundle", str(path), "--key", pinned]) == 1  # not signed yet
        assert seal_bundle(manifest, uid, into=file, seconds=10)
        assert seal_bundle(manifest, uid, into=file, seconds=10)  # twice does no harm
    exported = AuditEvent.objects.get(uid=uid).envelope()
    assert exported["details"]["with_private"] is True
    told = verify.verify_bundle(path, [verify.read_key(pinned)])[1]
    assert told["approvals"] == {"verified": 5, "weaker": 0, "unprovable": 0}
    assert told["keys"]["verified"] == 2
    assert told["private"]["missing"] == 0
    assert_refused_when_changed(unpacked(path.read_bytes()), places=20, keys=[verify.read_key(pinned)])
    alone = tmp_path / "verify.py"
    with zipfile.ZipFile(path) as archive:
        alone.write_bytes(archive.read("verify.py"))
    words = [
        sys.executable,
        "-I",
        "-S",
        str(alone),
        "bundle",
        str(path),
        "--key",
        pinned,
        "--json",
        "--deep",
        "--strict",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert json.loads(done.stdout)["approvals"]["verified"] == 5


@pytest.mark.long
def test_a_journeys_bundle_changed_in_a_thousand_places_of_each_file_is_refused(story):
    assert_refused_when_changed(make_bundle(MemoryLog(story)), places=1_000)


def test_an_operator_writes_bundles_at_the_shell(
    sealing: SealingThread, world: World, tmp_path: Path, settings: Any
) -> None:
    settings.KEYSTEAD_LOG_KEYS = [sealing.sealer.signer.verifier.text()]
    key = tell(world)
    sealing.settle()
    kept = tmp_path / "kept.note"
    kept.write_text(sealing.sealer.folder.read_state().note)
    size = AuditLeaf.objects.count()
    pinned = ["--key", settings.KEYSTEAD_LOG_KEYS[0]]
    renewed = AuditLeaf.objects.get(event_id=AuditEvent.objects.get(action="key.renewed").pk).index
    for name, words, proves in (
        ("one", ["--leaves", f"{renewed}-{renewed + 1}"], "completeness"),
        ("all", ["--leaves", "0-"], "completeness"),
        ("range", ["--leaves", f"7-{size - 2}"], "completeness"),
        ("key", ["--key", str(key)], "presence"),
        ("request", ["--request", str(key.request), "--since", str(kept)], "presence"),
        ("search", ["--search", "--action", "approval.given", "--with-private"], "presence"),
    ):
        path, said = tmp_path / f"{name}.zip", StringIO()
        call_command("export_audit_bundle", *words, "--into", str(path), stdout=said)
        assert proves in said.getvalue()
        assert path.stat().st_mode & 0o777 == 0o600, "it holds the log, and perhaps names"
        assert verify.main(["bundle", str(path), *pinned, "--deep"]) == 0, name
    key_alone = verify.verify_bundle(tmp_path / "one.zip", [verify.read_key(pinned[1])])[1]
    assert (key_alone["rows"], key_alone["keys"]["verified"]) == (1, 1)
    trust = ["bundle", str(tmp_path / "request.zip"), *pinned, "--trust", str(kept)]
    assert verify.main(trust) == 0
    with pytest.raises(CommandError, match="there already"):
        call_command("export_audit_bundle", "--leaves", "0-", "--into", str(tmp_path / "all.zip"))
    for words in (["--leaves", "0-999999"], ["--key", "KEY-999999"], ["--leaves", "x"]):
        with pytest.raises(CommandError):
            call_command("export_audit_bundle", *words, "--into", str(tmp_path / "none.zip"))
        assert not (tmp_path / "none.zip").exists()
