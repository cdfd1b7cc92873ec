"""Keys that sign: the kind is approved and never changes, a shared secret is stored sealed, a private key nowhere."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.db import IntegrityError, connection, transaction

from audit.models import AuditEvent
from keys.approvals.content import content_of
from keys.approvals.submission import request_renewal, submit_request
from keys.crypto.errors import IntegrityFailed
from keys.crypto.public_keys import read_public_key
from keys.errors import Denied, Invalid
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.destruction import destroy_version
from keys.lifecycle.revocation import revoke_key
from keys.lifecycle.rotation import start_rotation
from keys.models import KeyRequest, KeyVersion
from keys.sealing import mac_holds, open_secret
from keys.states import Overlap, RevocationReason, RotationCause, VersionState
from tests.people import World, acting, approved, draft, issued
from tests.signing import pem_of
from tests.signing_keys import allow_signing, claimed_signer, signer_of

pytestmark = pytest.mark.django_db


def refused(code: str) -> pytest.RaisesExc[Invalid]:
    return pytest.RaisesExc(Invalid, check=lambda error: {each[0] for each in error.fields.values()} == {code})


def opened(version: KeyVersion, **changes: object) -> str:
    place = {"version_id": version.pk, "kid": version.kid, "environment": "prod"} | changes
    return open_secret(version.sealed_secret, **place).reveal()  # type: ignore[arg-type]


def test_a_shared_secret_is_shown_once_and_stored_sealed_for_its_row_alone(world: World) -> None:
    allow_signing(world)
    signer, other = signer_of(world, "hmac-sha256"), signer_of(world, "hmac-sha256", name="Another")
    row = KeyVersion.objects.get(pk=signer.version.pk)
    assert signer.secret not in row.sealed_secret
    assert opened(row) == signer.secret
    assert mac_holds(row)
    for changes in ({"version_id": other.version.pk}, {"kid": other.version.kid}):
        with pytest.raises(IntegrityFailed):
            opened(row, **changes)
    told = b"".join(bytes(event.payload) for event in AuditEvent.objects.all())
    assert row.sealed_secret.encode() not in told
    assert signer.secret.encode() not in told


def test_a_pair_has_no_secret_and_its_public_key_is_on_record(world: World) -> None:
    allow_signing(world)
    pair = Ed25519PrivateKey.generate()
    version = approved(world, kind="ed25519").versions.get()
    claim = claim_secret(version, public_key=pem_of(pair), actor=acting(world.alice, "claim"))
    assert claim.secret is None
    row = KeyVersion.objects.get(pk=version.pk)
    assert (row.state, row.public_key, row.sealed_secret) == (VersionState.ACTIVE, read_public_key(pem_of(pair)), "")
    assert mac_holds(row)
    issued_event = AuditEvent.objects.get(action="version.issued", target_id=str(row.pk))
    assert row.public_key.encode() in bytes(issued_event.payload)


def test_a_private_key_is_refused_before_anything_happens(world: World) -> None:
    allow_signing(world)
    pair = Ed25519PrivateKey.generate()
    private = pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with refused("private_key_refused"):
        submit_request(draft(world, kind="ed25519", public_key=private), actor=acting(world.alice))
    assert not KeyRequest.objects.exists()
    version = approved(world, kind="ed25519").versions.get()
    before = AuditEvent.objects.count()
    for text, code in ((private, "private_key_refused"), ("", "required"), ("x", "public_key_form")):
        with refused(code):
            claim_secret(version, public_key=text, actor=acting(world.alice, "claim"))
    assert AuditEvent.objects.count() == before
    assert claim_secret(version, public_key=pem_of(pair), actor=acting(world.alice, "claim")).version.public_key


def test_the_approvers_see_the_public_key_and_the_claim_takes_no_other(world: World) -> None:
    allow_signing(world)
    pair, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    key = approved(world, kind="ed25519", public_key=pem_of(pair))
    assert key.request is not None
    assert content_of(key.request.content).public_key == read_public_key(pem_of(pair)) == key.public_key
    with refused("not_the_approved_key"):
        claim_secret(key.versions.get(), public_key=pem_of(other), actor=acting(world.alice, "claim"))
    claim = claim_secret(key.versions.get(), actor=acting(world.alice, "claim"))
    assert claim.version.public_key == key.public_key
    renewal = request_renewal(key, authorised_days=200, purpose="It goes on as before.", actor=acting(world.alice))
    assert (renewal.content["kind"], renewal.content["public_key"]) == ("ed25519", key.public_key)


def test_another_public_key_is_another_digest(world: World) -> None:
    allow_signing(world)
    one = content_of(approved(world, kind="ed25519", public_key=pem_of(Ed25519PrivateKey.generate())).request.content)  # type: ignore[union-attr]
    assert len({one.digest, replace(one, public_key="A" * 43).digest, replace(one, kind="hmac-sha256").digest}) == 3


def test_only_whoever_receives_the_key_brings_its_public_key(world: World) -> None:
    allow_signing(world)
    version = approved(world, kind="ed25519").versions.get()
    for person in (world.bob, world.mallory):
        with pytest.raises(Denied):
            claim_secret(version, public_key=pem_of(Ed25519PrivateKey.generate()), actor=acting(person, "claim"))
    assert KeyVersion.objects.get(pk=version.pk).public_key == ""


def test_a_bearer_key_takes_no_public_key(world: World) -> None:
    pem = pem_of(Ed25519PrivateKey.generate())
    with refused("no_public_key_here"):
        submit_request(draft(world, public_key=pem), actor=acting(world.alice))
    with refused("no_public_key_here"):
        claim_secret(approved(world).versions.get(), public_key=pem, actor=acting(world.alice, "claim"))


@pytest.mark.parametrize("kind", ["hmac-sha256", "ed25519"])
def test_a_rotation_brings_new_material_and_the_old_works_beside_it(world: World, kind: str) -> None:
    allow_signing(world)
    first = signer_of(world, kind)
    start_rotation(first.key, overlap=Overlap.HOUR, cause=RotationCause.DEMAND, actor=acting(world.alice, "*"))
    if kind == "ed25519":
        waiting = first.key.versions.get(sequence=2)
        again = first.version.public_key
        pem = "-----BEGIN PUBLIC KEY-----\n" + _spki(again) + "\n-----END PUBLIC KEY-----\n"
        with refused("public_key_used"):
            claim_secret(waiting, public_key=pem, actor=acting(world.alice, "claim"))
    second = claimed_signer(first.key, acting(world.alice, "claim"))
    rows = {row.sequence: row for row in first.key.versions.all()}
    assert [rows[each].state for each in (1, 2)] == ["active", "active"]
    assert rows[1].retire_at is not None
    assert all(mac_holds(row) for row in rows.values())
    assert (rows[1].public_key, rows[1].sealed_secret) != (rows[2].public_key, rows[2].sealed_secret)
    assert second.version.sequence == 2


def _spki(public_key: str) -> str:
    raw = base64.urlsafe_b64decode(public_key + "=")
    return base64.b64encode(bytes.fromhex("302a300506032b6570032100") + raw).decode()


def test_destroying_a_version_destroys_its_sealed_secret(world: World) -> None:
    allow_signing(world)
    signer = signer_of(world, "hmac-sha256")
    revoke_key(signer.key, actor=acting(world.alice, "revoke"), reason=RevocationReason.CESSATION_OF_OPERATION)
    assert KeyVersion.objects.get(pk=signer.version.pk).sealed_secret
    destroy_version(signer.version, actor=acting(world.admin, "revoke"))
    row = KeyVersion.objects.get(pk=signer.version.pk)
    assert (row.state, row.sealed_secret) == (VersionState.DESTROYED, "")
    assert row.digest is not None
    assert mac_holds(row)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE keys_managedkey SET kind = 'bearer'", "UPDATE keys_keyversion SET public_key = repeat('A', 43)"],
)
def test_the_kind_and_the_public_key_never_change(world: World, statement: str) -> None:
    allow_signing(world)
    signer_of(world, "ed25519")
    with pytest.raises(IntegrityError, match="set once"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_what_the_policy_wants_signed_cannot_be_asked_for_as_a_bearer_key(world: World) -> None:
    allow_signing(world, signed_scopes=("orders:write",))
    with refused("scopes_must_be_signed"):
        submit_request(draft(world, scopes=("orders:read", "orders:write")), actor=acting(world.alice))
    assert approved(world).kind == "bearer"
    assert approved(world, scopes=("orders:write",), kind="hmac-sha256", name="Writes").kind == "hmac-sha256"
    allow_signing(world, signature_required=True)
    with refused("signature_required"):
        submit_request(draft(world), actor=acting(world.alice))
    with refused("self_fetch_bearer_only"):
        submit_request(
            draft(world, kind="ed25519", self_fetch=True, networks=("10.0.0.0/8",)), actor=acting(world.alice)
        )


def test_a_bearer_key_of_before_is_as_it_was(world: World) -> None:
    key, version, _ = issued(world)
    assert (key.kind, key.public_key, version.public_key, version.sealed_secret) == ("bearer", "", "", "")
