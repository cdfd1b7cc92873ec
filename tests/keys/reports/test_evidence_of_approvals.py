"""Whatever a compromised site makes up about an approval, its bundle does not verify."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from audit.canonical import canonical_json
from tests.audit.bundles import MemoryLog, make_bundle, verdict
from tests.authenticator import SoftAuthenticator
from tests.authenticator import text as base64url
from tests.keys.reports.evidence_story import Payload, found, of


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
        options = {"challenge": base64url(hashlib.sha256(text).digest())}
        answer = json.loads(device.get(options, **said) if each is given else honest.get(options))
        each["change"]["statement"][1] = text.decode()
        each["change"]["assertion"][1] = assertion | {"response": answer["response"]}
    enrolled = next(each for each in events if _credential(each) == credential)
    enrolled["change"]["public_key"][1] = "\\x" + device.public_key().hex()


def _credential(event: Payload) -> str:
    if event["action"] != "passkey.enrolled":
        return ""
    return base64url(bytes.fromhex(event["change"]["credential_id"][1].removeprefix("\\x")))


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
    assert words.startswith(f"approval: event {story.index(given)} (approval.given): ")
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
        (_flagged(0x01), "did not verify its user"),
        (_elsewhere, "it was signed at 'https://localhost.evil.example'"),
        (_by(type="webauthn.create"), "it is no assertion"),
        (_by(challenge=base64url(b"0" * 32)), "another statement was signed"),
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
