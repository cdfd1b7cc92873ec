"""What an auditor downloads about one event verifies without Keystead, and only readers of the log download it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from audit.notes import Verifier
from tests.portal.doorway import details, events, last_event, signed_in

VERIFY = Path(__file__).resolve().parents[3] / "audit" / "verify.py"


def _doors(event):
    return [
        reverse("audit_event_proof", args=[event.uid]),
        reverse("audit_event_entry", args=[event.uid]),
        reverse("audit_verify"),
        reverse("audit_verifier"),
        reverse("audit_log_key"),
        reverse("audit_checkpoint"),
    ]


@pytest.fixture
def sealed(sealing, world, settings):
    settings.KEYSTEAD_SEALER_FOLDER = sealing.sealer.folder.path
    sealing.settle()
    return world


def test_the_downloads_of_an_event_verify_in_an_interpreter_without_packages(sealed, tmp_path):
    event = last_event("team.created")
    client = signed_in(sealed.auditor)
    page = client.get(reverse("audit_event", args=[event.uid])).content.decode()
    for address in _doors(event):
        answer = client.get(address)
        assert answer.status_code == 200
        if address != reverse("audit_verify"):
            assert answer["Content-Disposition"].startswith("attachment")
    assert reverse("audit_event_proof", args=[event.uid]) in page
    proof, entry, _page, verifier, key, note = (client.get(address).content for address in _doors(event))
    assert verifier == VERIFY.read_bytes()
    for name, content in (("proof", proof), ("entry", entry), ("verify.py", verifier), ("log.vkey", key)):
        (tmp_path / name).write_bytes(content)
    command = [sys.executable, "-I", "verify.py", "proof", "proof", "--entry", "entry", "--key", "log.vkey"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    (tmp_path / "entry").write_bytes(entry.replace(b"success", b"failure"))
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 1
    assert note.decode() in proof.decode() or note.startswith(b"keystead/")
    told = [details(each)["searched"] for each in events(action="audit.log-read")]
    assert {"proof": str(event.uid)} in told
    assert {"entry": str(event.uid)} in told


@pytest.mark.parametrize("who", ["alice", "bob", "mallory", "responder"])
def test_nobody_else_downloads_anything(sealed, who):
    client = signed_in(getattr(sealed, who), "*")
    for address in _doors(last_event("team.created")):
        assert client.get(address).status_code == 404, address
    assert len(events(action="access.denied", actor_id=str(getattr(sealed, who).pk))) == 6


def test_strangers_are_sent_to_sign_in(sealed):
    for address in _doors(last_event("team.created")):
        assert Client().get(address)["location"].startswith("/sign-in/")


def test_of_an_event_that_is_not_sealed_or_not_there_is_no_proof(world, settings, tmp_path):
    settings.KEYSTEAD_SEALER_FOLDER = tmp_path
    client = signed_in(world.auditor)
    event = last_event("team.created")
    assert client.get(reverse("audit_event_proof", args=[event.uid])).status_code == 409
    assert "Not sealed yet" in client.get(reverse("audit_event", args=[event.uid])).content.decode()
    assert client.get(reverse("audit_event_proof", args=[world.alice.pk])).status_code == 404
    assert client.get(reverse("audit_event_entry", args=[world.alice.pk])).status_code == 404
    assert client.get(reverse("audit_checkpoint")).status_code == 404


def test_a_site_that_does_not_know_the_key_says_so(world, settings, tmp_path):
    settings.KEYSTEAD_SEALER_FOLDER = tmp_path
    settings.KEYSTEAD_LOG_KEYS = []
    client = signed_in(world.auditor)
    assert "This site does not know the key" in client.get(reverse("audit_verify")).content.decode()
    assert client.get(reverse("audit_log_key")).status_code == 404
    key = Verifier(name="log.example", key=bytes(range(32)))
    settings.KEYSTEAD_LOG_KEYS = [key.text()]
    assert key.text() in client.get(reverse("audit_verify")).content.decode()
    assert client.get(reverse("audit_log_key")).content == f"{key.text()}\n".encode()


def test_the_life_of_a_key_leads_to_the_event_and_the_proof_of_each_step(sealed, sealing):
    from keys.lifecycle.revocation import revoke_key
    from keys.states import RevocationReason
    from tests.people import acting, issued

    key, _version, _secret = issued(sealed)
    revoke_key(key, actor=acting(sealed.admin, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
    sealing.settle()
    page = signed_in(sealed.auditor).get(reverse("key_life", args=[key.number]))
    text = page.content.decode()
    for action in (
        "request.submitted",
        "request.approved",
        "approval.given",
        "key.created",
        "version.issued",
        "key.revoked",
    ):
        for event in events(action=action):
            links = text.count(f'"{reverse("audit_event", args=[event.uid])}"')
            assert links == 2, f"{action}: in its own line, and in the list"
            assert reverse("audit_event_proof", args=[event.uid]) in text
    assert all(row.seal for row in page.context["rows"])
