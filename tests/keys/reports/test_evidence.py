"""From an evidence bundle alone it shows who approved what with which passkey, and that just that was issued."""

from __future__ import annotations

import copy
import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit import verify
from audit.canonical import canonical_json
from audit.exporters.bundle_rows import LeafRange
from audit.models import AuditEvent, AuditLeaf
from keys.errors import Denied
from keys.reports.evidence import export_bundle, seal_bundle, selection_of
from keys.reports.searches import LogSearch, Subject
from tests.audit.bundles import (
    MemoryLog,
    assert_refused_when_changed,
    make_bundle,
    refusal,
    unpacked,
    verdict,
)
from tests.authenticator import SoftAuthenticator
from tests.keys.reports.evidence_story import b64, payloads, tell
from tests.people import World, acting
from tests.sealers import SealingThread

Payload = dict[str, Any]
_told: dict[str, Any] = {}


@pytest.fixture
def story(request: pytest.FixtureRequest) -> list[Payload]:
    """Every event of the story; lived through once, for tests that only read or forge what was recorded."""
    if not _told:
        key = tell(request.getfixturevalue("world"))
        chosen = selection_of(LogSearch(target=Subject("key", str(key.pk)))).events.values_list("uid", flat=True)
        _told["events"], _told["key"] = payloads(), {str(each) for each in chosen}
    return copy.deepcopy(_told["events"])


def of(events: list[Payload], action: str, place: int = 0) -> Payload:
    return [each for each in events if each["action"] == action][place]


def found(events: list[Payload], change: Callable[[list[Payload]], None]) -> str:
    """What is found when a compromised site recorded something else, and the log sealed it."""
    change(events)
    with pytest.raises(verify.Finding) as finding:
        verdict(make_bundle(MemoryLog(events)))
    return f"{finding.value.code}: {finding.value}"


def test_a_whole_log_proves_every_approval_and_every_key(story):
    told = verdict(make_bundle(MemoryLog(story)), origins=["http://localhost:8000"], deep=True)
    assert told["approvals"] == {"verified": 8, "weaker": 2, "unprovable": 0}
    assert told["keys"] == {
        "verified": 3, "weaker": 1, "automatic": 1, "unprovable": 0, "without-request": 0,
    }  # fmt: skip
    reasons = {each["why"] for each in told["listed"]}
    assert {f"signed with a passkey ({name})" for name in ("ES256", "EdDSA", "RS256")} <= reasons


def test_a_bundle_about_one_key_brings_all_that_proves_it(story):
    places = [n for n, each in enumerate(story) if each["uid"] in _told["key"]]
    told = verdict(make_bundle(MemoryLog(story), places))
    assert told["approvals"] == {"verified": 5, "weaker": 0, "unprovable": 0}
    assert (told["keys"]["verified"], told["keys"]["unprovable"]) == (2, 0)  # the key, and its renewal
    assert len(places) < len(story) / 2


def test_what_lies_outside_a_bundle_is_told_as_not_provable_and_is_no_finding(story):
    def told_without(*actions: str) -> dict[str, Any]:
        places = [n for n, each in enumerate(story) if each["uid"] in _told["key"] and each["action"] not in actions]
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


def _sign(
    events: list[Payload],
    given: Payload,
    statement: dict[str, Any],
    device: SoftAuthenticator | None = None,
    **said: Any,
) -> None:
    """Put a statement into a decision and sign it, and all others of that passkey too, with a key of our own that is enrolled.

    So nothing is wrong but the statement, or what the device does: a rule that is missing would let it pass.
    """
    device = device or SoftAuthenticator()
    credential = given["change"]["assertion"][1]["id"]
    honest = SoftAuthenticator()
    honest.key = device.key
    for each in events:
        assertion = each["change"].get("assertion", [None, None])[1] if each["action"] == "approval.given" else None
        if assertion is None or assertion["id"] != credential:
            continue
        text = canonical_json(statement) if each is given else each["change"]["statement"][1].encode()
        options = {"challenge": b64(hashlib.sha256(text).digest())}
        answer = json.loads(device.get(options, **said) if each is given else honest.get(options))
        each["change"]["statement"][1] = text.decode()
        each["change"]["assertion"][1] = assertion | {"response": answer["response"]}
    enrolled = next(each for each in events if _credential(each) == credential)
    enrolled["change"]["public_key"][1] = "\\x" + device.public_key().hex()


def _credential(event: Payload) -> str:
    if event["action"] != "passkey.enrolled":
        return ""
    return b64(bytes.fromhex(event["change"]["credential_id"][1].removeprefix("\\x")))


def _statement(given: Payload) -> dict[str, Any]:
    return dict(json.loads(given["change"]["statement"][1]))


FIRST = 0  # Bob's first decision: the request was edited afterwards, so nothing else hangs on it


def test_a_site_that_enrols_a_key_of_its_own_for_a_person_is_not_found(story):
    """Expected: the enrolment event stands for the person. It is in the log, where the person and auditors can see it."""
    given = of(story, "approval.given", FIRST)
    _sign(story, given, _statement(given))
    assert verdict(make_bundle(MemoryLog(story)))["approvals"]["verified"] == 8


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("decision", "deny"),
        ("request", "00000000-0000-4000-8000-000000000000"),
        ("content_digest", {"alg": "sha-256", "hex": "0" * 64}),
        ("approver", "00000000-0000-4000-8000-000000000000"),
        ("expires_at", "2020-01-01T00:00:00.000000Z"),
        ("nonce", "short"),
        ("version", "keystead-approval-2"),
        ("more", "words"),
    ],
)
def test_a_signed_statement_about_something_else_is_refused(story, name, value):
    given = of(story, "approval.given", FIRST)
    words = found(story, lambda events: _sign(events, given, _statement(given) | {name: value}))
    about = "had expired" if name == "expires_at" else "the statement that was signed is about something else"
    assert words.startswith(f"approval: event {story.index(given)}: ")
    assert about in words


def _reuse(events: list[Payload]) -> None:
    first, second = of(events, "approval.given", 0), of(events, "approval.given", 1)
    _sign(events, second, _statement(second) | {"nonce": _statement(first)["nonce"]})


def _swap_key(events: list[Payload]) -> None:
    of(events, "passkey.enrolled")["change"]["public_key"][1] = "\\x" + SoftAuthenticator().public_key().hex()


def _enrol_twice(events: list[Payload]) -> None:
    enrolled = of(events, "passkey.enrolled")
    place = events.index(enrolled)
    again = copy.deepcopy(enrolled) | {"target": {"type": "passkey", "id": "0" * 8, "version": ""}}
    again["change"]["public_key"][1] = "\\x" + SoftAuthenticator().public_key().hex()
    events.insert(place + 1, again)


def _remove_key(events: list[Payload]) -> None:
    enrolled = of(events, "passkey.enrolled")
    removal = copy.deepcopy(enrolled) | {
        "action": "passkey.removed",
        "change": {"removed_at": [None, enrolled["time"]]},
    }
    events.insert(events.index(enrolled) + 1, removal)


def _give_key_to_another(events: list[Payload]) -> None:
    bob, carol = of(events, "passkey.enrolled", 0), of(events, "passkey.enrolled", 1)
    for where in (bob["change"]["user_id"], carol["change"]["user_id"]):
        assert where
    bob["change"]["user_id"], carol["change"]["user_id"] = carol["change"]["user_id"], bob["change"]["user_id"]
    bob["details"], carol["details"] = carol["details"], bob["details"]


def _too_new(events: list[Payload]) -> None:
    of(events, "passkey.enrolled")["change"]["approves_from"][1] = "2100-01-01T00:00:00.000000Z"


def _other_site(events: list[Payload]) -> None:
    of(events, "passkey.enrolled")["details"]["rp_id"] = "keystead.example"


def _no_enrolment(events: list[Payload]) -> None:
    events.remove(of(events, "passkey.enrolled"))


def _other_author(events: list[Payload]) -> None:
    of(events, "approval.given")["actor"]["id"] = "somebody"


def _signature_bent(events: list[Payload]) -> None:
    response = of(events, "approval.given")["change"]["assertion"][1]["response"]
    data = response["authenticatorData"]
    response["authenticatorData"] = data[:-2] + ("AA" if data[-2:] != "AA" else "BA")


def _by(**said: Any) -> Callable[[list[Payload]], None]:
    def change(events: list[Payload]) -> None:
        given = of(events, "approval.given")
        _sign(events, given, _statement(given), **said)

    return change


def _flagged(flags: int) -> Callable[[list[Payload]], None]:
    def change(events: list[Payload]) -> None:
        given, device = of(events, "approval.given"), SoftAuthenticator()
        device.flags = flags
        _sign(events, given, _statement(given), device)

    return change


def _on_another_site(events: list[Payload]) -> None:
    given = of(events, "approval.given")
    _sign(events, given, _statement(given), SoftAuthenticator(rp_id="elsewhere"))


def _enrolled_for_two(events: list[Payload]) -> None:
    of(events, "passkey.enrolled")["details"]["person"] = "somebody"


def _at_another_time(events: list[Payload]) -> None:
    of(events, "approval.given")["time"] = "2026-01-01T00:00:00.000Z"


def _code_with_signature(events: list[Payload]) -> None:
    of(events, "approval.given")["change"]["method"][1] = "totp"


def _about_nothing(events: list[Payload]) -> None:
    given = of(events, "approval.given")
    other = "00000000-0000-4000-8000-000000000000"
    given["change"]["request_id"][1] = other
    _sign(events, given, _statement(given) | {"request": other})


def _about_other_content(events: list[Payload]) -> None:
    given = of(events, "approval.given")
    given["change"]["digest"][1] = "0" * 64
    _sign(events, given, _statement(given) | {"content_digest": {"alg": "sha-256", "hex": "0" * 64}})


def _nobody_asked(events: list[Payload]) -> None:
    events.remove(
        next(each for each in events if each["action"] == "request.submitted" and each["environment"] == "dev")
    )


def _after_the_end(events: list[Payload]) -> None:
    last = [each for each in events if each["action"] == "approval.given"][-1]
    events.remove(last)
    approved = [each for each in events if each["action"] == "request.approved"][-1]
    events.insert(events.index(approved) + 1, last)
    approved["approvals"].remove(last["target"]["id"])
    for each in events:
        if each["action"] == "policy.versioned" and each["change"]["approvals_required"][1] == 2:
            each["change"]["approvals_required"][1] = 1


def _not_verified(events: list[Payload]) -> None:
    given = of(events, "approval.given")
    device = SoftAuthenticator()
    device.flags = 0x01
    _sign(events, given, _statement(given), device)


def _elsewhere(events: list[Payload]) -> None:
    given = of(events, "approval.given")
    _sign(events, given, _statement(given), SoftAuthenticator(origin="https://localhost.evil.example"))


def _own_request(events: list[Payload]) -> None:
    given, asked = of(events, "approval.given"), of(events, "request.submitted")
    asked["change"]["requester_id"][1] = given["change"]["person_id"][1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_reuse, "the statement was used before"),
        (_swap_key, "the passkey did not sign it"),
        (_enrol_twice, "this passkey was enrolled before"),
        (_remove_key, "had been removed"),
        (_give_key_to_another, "the passkey that signed is of another person"),
        (_too_new, "too new to approve with"),
        (_other_site, "it was signed at 'http://localhost:8000'"),
        (_no_enrolment, "nobody enrolled the passkey that signed"),
        (_other_author, "somebody else than its person"),
        (_signature_bent, "the passkey did not sign it"),
        (_not_verified, "did not verify its user"),
        (_elsewhere, "it was signed at 'https://localhost.evil.example'"),
        (_by(type="webauthn.create"), "it is no assertion"),
        (_by(challenge=b64(b"0" * 32)), "another statement was signed"),
        (_by(crossOrigin=True), "inside another site's page"),
        (_by(topOrigin="https://evil.example"), "inside another site's page"),
        (_flagged(0x04), "did not verify its user"),
        (_flagged(0x15), "contradict themselves"),
        (_on_another_site, "the passkey is of another site"),
        (_enrolled_for_two, "the passkey is of another person than the event says"),
        (_at_another_time, "the decision has another time than its event"),
        (_code_with_signature, "a decision without a passkey has a signature"),
        (_about_nothing, "it is about a request that is not open"),
        (_about_other_content, "about another content than the request had then"),
        (_nobody_asked, "nobody submitted this request"),
        (_after_the_end, "the request was approved before"),
        (_own_request, "the approver is the request's requester"),
    ],
)
def test_what_a_compromised_site_cannot_make_up_is_found(story, change, words):
    assert words in found(story, change)


def _column(name: str, value: Any) -> Callable[[list[Payload]], None]:
    def change(events: list[Payload]) -> None:
        of(events, "key.created")["change"][name] = [None, value]

    return change


def _other_service(events: list[Payload]) -> None:
    """The approvers saw one service's name; the request and the key carry another's id."""
    other = next(
        each for each in events if each["action"] == "service.created" and each["change"]["slug"][1] == "keystead"
    )
    for each in events:
        if "service_id" in each["change"] and each["action"] in ("request.submitted", "key.created"):
            each["change"]["service_id"][1] = other["target"]["id"]


def _second_key(events: list[Payload]) -> None:
    created = of(events, "key.created")
    again = copy.deepcopy(created)
    again["target"]["id"] = "00000000-0000-4000-8000-000000000000"
    events.insert(events.index(created) + 1, again)


def _not_approved(events: list[Payload]) -> None:
    events.remove(of(events, "request.approved"))


def _lower_policy(events: list[Payload]) -> None:
    of(events, "request.approved")["approvals"].pop()


def _made_up_approval(events: list[Payload]) -> None:
    of(events, "request.approved")["approvals"].append("00000000-0000-4000-8000-000000000000")


def _voided(events: list[Payload]) -> None:
    events.remove(of(events, "approval.voided"))


def _content(events: list[Payload]) -> None:
    of(events, "request.submitted")["change"]["content"][1]["scopes"].append("orders:cancel")


def _longer_renewal(events: list[Payload]) -> None:
    of(events, "key.renewed")["change"]["authorised_until"][1] = "2100-01-01T00:00:00.000000Z"


def _renewed_other(events: list[Payload]) -> None:
    other = of(events, "key.created", 1)
    of(events, "key.renewed")["target"]["id"] = other["target"]["id"]


def _wider_later(events: list[Payload]) -> None:
    created = of(events, "key.created")
    wider = copy.deepcopy(created) | {
        "action": "key.shortened",
        "change": {"scopes": [["orders:read"], ["orders:write"]]},
    }
    events.insert(events.index(created) + 1, wider)


def _longer_later(events: list[Payload]) -> None:
    created = of(events, "key.created")
    end = created["change"]["authorised_until"][1]
    longer = {"authorised_until": [end, "2100-01-01T00:00:00.000000Z"]}
    events.insert(events.index(created) + 1, copy.deepcopy(created) | {"action": "key.shortened", "change": longer})


def _version_longer_later(events: list[Payload]) -> None:
    issued = of(events, "version.issued")
    longer = {"expires_at": [issued["change"]["expires_at"][1], "2100-01-01T00:00:00.000000Z"]}
    events.insert(events.index(issued) + 1, copy.deepcopy(issued) | {"action": "version.shortened", "change": longer})


def _same_key_twice(events: list[Payload]) -> None:
    created = of(events, "key.created")
    events.insert(events.index(created) + 1, copy.deepcopy(created))


def _submitted_twice(events: list[Payload]) -> None:
    asked = of(events, "request.submitted")
    events.insert(events.index(asked) + 1, copy.deepcopy(asked))


def _never_submitted(events: list[Payload]) -> None:
    events.remove(of(events, "request.submitted"))


def _rewritten_history(events: list[Payload]) -> None:
    of(events, "request.edited")["change"]["digest"][0] = "0" * 64


def _no_request(events: list[Payload]) -> None:
    of(events, "key.created")["change"]["request_id"][1] = "00000000-0000-4000-8000-000000000000"


def _other_content_approved(events: list[Payload]) -> None:
    """The content is changed after the approvals, and they are not voided."""
    approved = of(events, "request.approved")
    pk = approved["target"]["id"]
    facts = [each["change"] for each in events if each["target"]["id"] == pk and "content" in each["change"]][-1]
    content = copy.deepcopy(facts["content"][1]) | {"scopes": ["orders:cancel"]}
    digest = hashlib.sha256(canonical_json(content)).hexdigest()
    edit = {"content": [facts["content"][1], content], "digest": [facts["digest"][1], digest]}
    events.insert(
        events.index(approved), copy.deepcopy(approved) | {"action": "request.edited", "change": edit, "approvals": []}
    )
    of(events, "key.created")["change"]["scopes"] = [None, ["orders:cancel"]]


def _longer_version(events: list[Payload]) -> None:
    of(events, "version.issued")["change"]["expires_at"][1] = "2100-01-01T00:00:00.000000Z"


def _other_claimant(events: list[Payload]) -> None:
    of(events, "version.issued")["change"]["claimed_by_id"][1] = "00000000-0000-4000-8000-000000000000"


def _fetched_unasked(events: list[Payload]) -> None:
    """The client took the secret itself, though nobody approved that."""
    issued = of(events, "version.issued")
    issued["action"] = "version.activated"
    del issued["change"]["claimed_by_id"]


NOT_APPROVED = "what was issued is not what was approved: "


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_column("scopes", ["orders:read", "orders:cancel"]), f"{NOT_APPROVED}scopes"),
        (_column("networks", ["0.0.0.0/0"]), f"{NOT_APPROVED}networks"),
        (_column("authorised_until", "2100-01-01T00:00:00.000000Z"), f"{NOT_APPROVED}authorised_until"),
        (_column("cryptoperiod_days", 365), f"{NOT_APPROVED}cryptoperiod_days"),
        (_column("consumer", "another"), f"{NOT_APPROVED}consumer"),
        (_column("recipient_id", "00000000-0000-4000-8000-000000000000"), f"{NOT_APPROVED}recipient"),
        (_column("owner_team_id", "00000000-0000-4000-8000-000000000000"), f"{NOT_APPROVED}owner_team_id"),
        (_column("environment_id", "00000000-0000-4000-8000-000000000000"), f"{NOT_APPROVED}environment_id"),
        (_column("service_id", "00000000-0000-4000-8000-000000000000"), f"{NOT_APPROVED}service_id"),
        (_column("self_fetch", True), f"{NOT_APPROVED}self_fetch"),
        (_column("request_id", None), "the key names no request"),
        (_other_service, "orders was approved, and keystead was issued"),
        (_second_key, "a second key came of one request"),
        (_not_approved, "the request was not approved"),
        (_lower_policy, "1 approvals count, and the policy asks for 2"),
        (_made_up_approval, "it counts a decision that is not there or was voided"),
        (_voided, "this person or seat decided before"),
        (_content, "the content of the request is not what its digest says"),
        (_longer_renewal, f"{NOT_APPROVED}authorised_until"),
        (_renewed_other, f"{NOT_APPROVED}renews"),
        (_wider_later, "gives a key what only a request may: scopes"),
        (_longer_later, "key.shortened makes a key last longer"),
        (_version_longer_later, "version.shortened makes a version last longer"),
        (_same_key_twice, "this key was there before"),
        (_submitted_twice, "this request was there before"),
        (_never_submitted, "a request that is not open"),
        (_rewritten_history, "digest was not what the event says it was before"),
        (_no_request, "there is no such request"),
        (_other_content_approved, "it counts a decision about another content"),
        (_longer_version, "ends at another time than its key's approval says"),
        (_other_claimant, "was claimed by another person than the recipient"),
        (_fetched_unasked, "was fetched by its client, which was not approved"),
    ],
)
def test_issuing_something_else_than_was_approved_is_found(story, change, words):
    assert words in found(story, change)


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
