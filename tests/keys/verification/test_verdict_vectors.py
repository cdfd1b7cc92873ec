"""From a row, from memory and in a client's process the verdict is the same: the vectors that test every client test them too."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID, uuid5

import pytest

from keys.crypto.digests import CURRENT_ALGORITHM, digest
from keys.crypto.row_mac import VersionFields, row_mac
from keys.crypto.secrets import Secret
from keys.sealing import keyring
from keys.verification import signed
from keys.verification.lookup import Found
from keys.verification.memory.loading import Catalogue, entry_of
from keys.verification.memory.recall import name_of, why_refused, why_unknown
from keys.verification.memory.snapshot import Entry, Place
from keys.verification.programs import sharing
from keys.verification.reasons import Reason
from keys.verification.signed import judge_signed
from keys.verification.verifier import Binding, Client, Question, decide, kid_of, out_of_bounds
from tests.keys.signatures.test_vectors import request_of
from tests.servers import ROOT

VECTORS = json.loads((ROOT / "tests" / "vectors" / "verification.json").read_text())
NAMES = UUID("6f5d0b4e-52a7-4a53-9d5e-2f2f6c7b7d10")
TEXTS = {each["name"]: each["text"] for each in VECTORS["versions"]}
ASKS = VECTORS["asks_about"]


@dataclass(frozen=True)
class Held:
    """All versions of the vectors, as rows and as memory holds them."""

    rows: dict[str, Found]
    entries: dict[bytes, Entry]
    asks: Place


def instant(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)


def named(text: str) -> UUID:
    return uuid5(NAMES, text)


def found_of(version: dict[str, Any]) -> Found:
    """The row that a version of the vectors would be, found when the snapshot was taken."""
    public_key = version.get("public_key", "")
    fields = VersionFields(
        kid=version["kid"],
        key_id=str(named(version["kid"])),
        kind=version["kind"],
        digest=digest(Secret(version.get("text", public_key))),
        digest_algorithm=CURRENT_ALGORITHM,
        public_key=public_key,
        sealed_secret="sealed" if version["kind"] == "hmac-sha256" else "",
        service=str(named(version["service"])),
        environment=version["environment"],
        verifies=(),
        scopes=tuple(version["scopes"]),
        networks=tuple(version["networks"]),
        state=version["state"],
        activated_at=instant(version["activated_at"]),
        expires_at=instant(version["expires_at"]),
        retire_at=instant(version["retire_at"]),
        authorised_until=instant(version["authorised_until"]),
        sequence=1,
    )
    taken_at = instant(VECTORS["taken_at"])
    assert taken_at is not None
    return Found(
        at=taken_at,
        version_id=named(version["kid"] + ".1"),
        ended_reason=version["ended_reason"],
        row_mac=row_mac(fields, keyring()),
        fields=fields,
        key_id=named(version["kid"]),
        number=1,
        name=version["name"],
        consumer="",
        revoked_at=instant(version["revoked_at"]),
        owner_team_id=named("reporting"),
        owner_team="reporting",
        service_id=named(version["service"]),
        service=version["service"],
        environment_id=named(version["environment"]),
        verifies_service_id=None,
        verifies_environment_id=None,
        warned_since=instant(version["warned_since"]),
        signed_scopes=tuple(VECTORS["signed_scopes"]),
        signature_window_seconds=version.get("window", 60),
    )


@cache
def held() -> Held:
    catalogue = Catalogue()
    rows = {each["kid"]: found_of(each) for each in VECTORS["versions"]}
    for found in rows.values():
        place = catalogue.place(found.service_id, found.environment_id)
        place.service, place.environment = found.service, found.fields.environment
        place.signed_scopes = frozenset(VECTORS["signed_scopes"])
    entries = {digest(Secret(TEXTS[found.name])): entry_of(found, catalogue.grant_of(found)) for found in rows.values()}
    return Held(rows, entries, catalogue.place(named(ASKS["service"]), named(ASKS["environment"])))


def by_a_row(text: str, question: Question, at: datetime) -> Reason | None:
    """As keys.verification.verification asks, with the row as it would be read at that instant."""
    kid = kid_of(Secret(text or "-"))
    if kid is None:
        return Reason.MALFORMED
    found = held().rows.get(kid)
    binding = Binding(service_id=named(ASKS["service"]), environment_id=named(ASKS["environment"]))
    read = None if found is None else replace(found, at=at)
    return decide(read, Secret(text), binding=binding, question=question, keyring=keyring())


def from_memory(text: str, question: Question, at: datetime) -> Reason | None:
    entry = held().entries.get(name_of(text))
    if entry is None:
        return why_unknown(text)
    return why_refused(entry, asks=held().asks, question=question, at=at.timestamp())


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["says"])
@pytest.mark.parametrize("judge", [by_a_row, from_memory])
def test_the_verdict_is_that_of_the_vector(judge, case):
    text = TEXTS[case["presents"]] if "presents" in case else case["text"]
    question = Question(scopes=tuple(case["scopes"]), client=Client(address=case["address"]))
    assert str(judge(text, question, instant(case["at"])) or "valid") == case["verdict"]


class Spent(set[tuple[str, str]]):
    """Nonces that were spent."""

    def spend(self, kid: str, nonce: str, **_: Any) -> bool:
        is_first = (kid, nonce) not in self
        self.add((kid, nonce))
        return is_first


def judged(case: dict[str, Any]) -> tuple[str, str]:
    """The reason and the fault, with every signer of the vectors as a row."""
    told, signers = case["request"], {each["kid"]: found_of(each) for each in VECTORS["signers"]}
    verdict = judge_signed(
        request_of(told),
        find=signers.get,
        is_outside=lambda found: out_of_bounds(found, held().asks),
        question=Question(scopes=tuple(case["scopes"]), client=Client(address=case["address"])),
        now=case["at"] / 1000,
        warns=True,
    )
    return str(verdict.reason or "valid"), str(verdict.fault or "")


@pytest.mark.parametrize("case", VECTORS["signed_cases"], ids=lambda case: case["says"])
def test_the_verdict_about_a_signed_request_is_that_of_the_vector(monkeypatch, case):
    spent = Spent()
    monkeypatch.setattr(signed, "nonces", lambda: spent)
    if "after" in case:
        judged(next(each for each in VECTORS["signed_cases"] if each["says"] == case["after"]))
    assert judged(case) == (case["verdict"], case.get("fault", ""))


@pytest.mark.parametrize("version", VECTORS["versions"] + VECTORS["signers"], ids=lambda version: version["name"])
def test_a_snapshot_holds_of_a_version_what_the_vectors_say(version):
    found = found_of(version)
    here = (version["service"], version["environment"]) == (ASKS["service"], ASKS["environment"])
    shared = sharing.signs(found) if "public_key" in version else sharing.verifies(found)
    assert (shared and here) == bool(version["held"]), "snapshots are of one service and environment"
    assert not (sharing.signs(found) and sharing.verifies(found)), (
        "nothing that signs is shown, nor the other way round"
    )
    shared_secret = found_of({**version, "kind": "hmac-sha256"})
    assert not sharing.signs(shared_secret), "the kind decides, whatever else is in the row"
    if version["held"]:
        ends_at, retires = sharing.end_of(found)
        assert {
            "policy": sharing.policy_of(found),
            "ends_at": ends_at,
            "retires": retires,
            "warned": version["warned_since"],
        } == version["held"]
