"""Whatever is issued beside what was approved, its bundle does not verify."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from audit.canonical import canonical_json
from tests.keys.reports.evidence_story import Payload, found, of


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
