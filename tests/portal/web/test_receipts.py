"""Receipts of decisions: who is given one, what it proves without Keystead, and what it never holds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from django.test import Client

from audit import verify
from audit.models import AuditCheckpoint, AuditCosignature, AuditEvent
from audit.notes import COSIGNATURE, Note, Signer
from tests.audit.sealing import make_sealer
from tests.people import World, approved
from tests.portal.doorway import details, last_event, signed_in

Browser = Callable[..., Client]
WITNESS = Signer.generate("w1.example", COSIGNATURE)


@pytest.fixture
def sealed(committed_db: None, world: World, tmp_path: Path) -> tuple[World, int, str, Signer]:
    key = approved(world)
    sealer = make_sealer(tmp_path / "sealer")
    sealer.seal()
    event = AuditEvent.objects.get(action="request.approved")
    return world, key.request.number, str(event.uid), sealer.signer


def address(number: int, uid: object, ending: str = "tlog-proof") -> str:
    return f"/requests/{number}/receipts/{uid}.{ending}"


def test_a_receipt_verifies_in_an_interpreter_without_any_package(
    sealed: tuple[World, int, str, Signer], tmp_path: Path
) -> None:
    world, number, uid, signer = sealed
    head = AuditCheckpoint.objects.latest("size")
    line = WITNESS.signature_line(Note.parse(head.note).body, at=1_800_000_000).rstrip()
    AuditCosignature.objects.using("sealer").create(
        checkpoint=head, witness=WITNESS.name, signature=line, signed_at="2027-01-15T08:00:00Z"
    )
    requester = signed_in(world.alice)
    answer = requester.get(address(number, uid))
    assert answer.status_code == 200
    assert answer["Content-Disposition"].startswith(f'attachment; filename="REQ-{number}-request.approved-')
    entry = requester.get(address(number, uid, "json"))
    assert json.loads(entry.content)["action"] == "request.approved"
    receipt, payload = tmp_path / "r.tlog-proof", tmp_path / "r.json"
    receipt.write_bytes(answer.content)
    payload.write_bytes(entry.content)
    pins = ["--key", signer.verifier.text(), "--witness", WITNESS.verifier.text()]
    for words in ([], ["--entry", str(payload)]):
        done = subprocess.run(
            [sys.executable, "-I", "-S", verify.__file__, "proof", str(receipt), *words, *pins, "--json"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        found = json.loads(done.stdout)
        assert (done.returncode, found["size"], found["witnesses"]) == (0, head.size, ["w1.example"])
    for wrong in (["--entry", verify.__file__, *pins], ["--key", Signer.generate(signer.name).verifier.text()]):
        assert verify.main(["proof", str(receipt), *wrong]) == 1
    receipt.write_text(answer.content.decode().replace("extra eyJ", "extra eyK"))
    assert verify.main(["proof", str(receipt), *pins]) == 1
    taken = details(last_event("request.receipt-taken"))
    assert taken == {"event": uid, "size": head.size}


def test_it_holds_no_private_part(sealed: tuple[World, int, str, Signer]) -> None:
    world, number, _, _ = sealed
    alice = signed_in(world.alice)
    for event in AuditEvent.objects.filter(action__in=["request.approved", "approval.given", "key.created"]):
        answer = alice.get(address(number, event.uid, "json"))
        assert answer.status_code == 200
        private = event.private.facts() if hasattr(event, "private") else {}
        text = answer.content.decode()
        assert bytes(event.payload) == answer.content
        for value in private.values():
            assert not (isinstance(value, str) and len(value) > 3 and value in text)


@pytest.mark.parametrize(
    ("name", "status"), [("alice", 200), ("bob", 200), ("auditor", 200), ("ben", 403), ("mallory", 404)]
)
def test_who_is_given_a_receipt(sealed: tuple[World, int, str, Signer], name: str, status: int) -> None:
    world, number, uid, _ = sealed
    browser = signed_in(getattr(world, name))
    assert browser.get(address(number, uid)).status_code == status
    page = browser.get(f"/requests/{number}/")
    assert (uid in page.content.decode()) == (status == 200)
    if status == 403:
        assert last_event("access.denied").envelope()["reason"] == "receipt_of_others"


def test_what_is_not_sealed_yet_is_said_kindly(sealed: tuple[World, int, str, Signer]) -> None:
    world, _, _, _ = sealed
    key = approved(world, name="another")
    event = AuditEvent.objects.filter(action="request.approved").latest("id")
    alice = signed_in(world.alice)
    page = alice.get(f"/requests/{key.request.number}/")
    assert "Not sealed yet" in page.content.decode()
    answer = alice.get(address(key.request.number, event.uid))
    assert answer.status_code == 409
    assert "Not sealed yet" in answer.content.decode()
    assert not AuditEvent.objects.filter(action="request.receipt-taken").exists()


def test_only_what_decided_this_request_has_a_receipt(sealed: tuple[World, int, str, Signer]) -> None:
    world, number, uid, _ = sealed
    other = approved(world, name="another")
    alice = signed_in(world.alice)
    submitted = AuditEvent.objects.filter(action="request.submitted").earliest("id")
    for wrong in (uuid4(), submitted.uid):
        assert alice.get(address(number, wrong)).status_code == 404
    assert alice.get(address(other.request.number, uid)).status_code == 404
    assert alice.get(f"/requests/{number}/receipts/nonsense.tlog-proof").status_code == 404
    assert Client().get(address(number, uid)).status_code == 302
