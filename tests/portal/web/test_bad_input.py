"""Whatever is typed into a form or an address, the answer is a page and nothing changes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
from django.test import Client

from keys.models import Approval, KeyRequest, ManagedKey
from tests.people import World, approved, submitted

pytestmark = pytest.mark.django_db
Browser = Callable[..., Client]
ODD = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "\u202e",
    "\u200b",
    "\ufeff",
    "\r\n",
    "\ud800".encode("utf-8", "surrogatepass").decode("utf-8", "replace"),
    "\uff11\uff12",
    "-1",
    "0",
    "99999999999999999999",
    "1e5",
    "NaN",
    "null",
    "{}",
    "[]",
    "[" * 500,
    json.dumps({"id": "a", "type": "public-key", "response": {}}),
    json.dumps({"id": {}, "type": "public-key", "response": []}),
    "'; DROP TABLE keys_managedkey; --",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "x" * 5000,
    "0.0.0.0/0",
    "::ffff:127.0.0.1/128",
    "10.0.0.0/8%eth0",
]
FIELDS = {
    "/requests/new/?service=orders&environment=prod": [
        "name", "consumer", "owner_team", "recipient", "scopes", "template", "cryptoperiod_days", "authorised_days",
        "networks", "purpose", "ticket",
    ],
    "/requests/{request}/edit/": ["name", "recipient", "scopes", "networks", "purpose", "authorised_days"],
    "/requests/{request}/decide/": [
        "decision", "digest", "comment", "scopes", "networks", "cryptoperiod_days", "authorised_days", "nonce",
        "assertion", "code",
    ],
    "/requests/{request}/statement/": ["decision", "digest", "comment", "scopes", "networks", "cryptoperiod_days"],
    "/keys/{key}/renew/": ["authorised_days", "purpose", "ticket"],
    "/keys/{key}/suspend/": ["reason", "code", "assertion"],
    "/keys/{key}/revoke/": ["reason", "phrase", "code", "assertion"],
    "/keys/{key}/claim/": ["version", "code", "assertion"],
    "/keys/{key}/hand-over/": ["to_team", "comment", "code"],
}  # fmt: skip


# Each form meets every third value in all of its fields at once, and all of the values where there is time.
APART = [3, pytest.param(1, marks=pytest.mark.long)]


@pytest.mark.parametrize("apart", APART)
@pytest.mark.parametrize("path", FIELDS)
def test_odd_values_in_forms_are_answered_and_change_nothing(world: World, as_: Browser, path: str, apart: int) -> None:
    key, request = approved(world), submitted(world)
    keys, requests = ManagedKey.objects.count(), KeyRequest.objects.count()
    content = request.content
    who = "bob" if "decide" in path or "statement" in path else "alice"
    browser = as_(who)
    sound: dict[str, object] = {
        "name": "Report", "consumer": "builder", "owner_team": "reporting", "recipient": str(world.alice.pk),
        "scopes": content["scopes"], "cryptoperiod_days": 30, "authorised_days": 90, "purpose": "Build the report.",
        "decision": "approve", "digest": request.digest, "reason": "superseded", "phrase": str(key),
    }  # fmt: skip
    fields = FIELDS[path]
    everywhere = [dict.fromkeys(fields, value) for value in ODD[list(FIELDS).index(path) % apart :: apart]]
    # One field after another is odd while the rest is sound; each field meets other values in turn.
    alone = [sound | {field: value} for place, field in enumerate(fields) for value in ODD[place % 14 :: 14]]
    for form in (*everywhere, *alone):
        odd = {"owner_team": "nobody-knows", "code": "000000", "authorised_days": "9999"} | form
        if path.startswith("/requests/new") or "edit" in path:
            odd["owner_team"] = "nobody-knows"
        if "renew" in path:
            odd["authorised_days"] = "9999"
        answer = browser.post(path.format(key=key.number, request=request.number), odd)
        assert answer.status_code == 200 or 400 <= answer.status_code < 500, (form, answer.status_code)
    assert (ManagedKey.objects.count(), KeyRequest.objects.count(), Approval.objects.count()) == (keys, requests, 2)


def cursors() -> list[str]:
    def packed(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    shapes: list[object] = [
        None,
        1,
        [],
        [0],
        [0, "x", "y"],
        [2, "x", "y"],
        [0, "\x00", "y"],
        [0, {}, []],
        [0, "x", "1"],
    ]
    return [packed(shape) for shape in shapes] + ["=", "====", "%", "a" * 400, "\u00fc"]


@pytest.mark.parametrize("apart", APART)
@pytest.mark.parametrize(("place", "path"), list(enumerate(["/", "/keys/", "/requests/", "/inbox/", "/services/"])))
def test_odd_addresses_are_answered(world: World, as_: Browser, place: int, path: str, apart: int) -> None:
    submitted(world)
    browser = as_("admin")
    names = ("q", "state", "environment", "service", "team", "whose", "sort", "view")
    for value in ODD[place % apart :: apart]:
        assert browser.get(path, dict.fromkeys(names, value)).status_code in {200, 400}, value
    for number, cursor in enumerate(cursors()):
        sort = ("", "-created_at")[number % 2]
        assert browser.get(path, {"sort": sort, "cursor": cursor}).status_code in {200, 400}, (sort, cursor)
