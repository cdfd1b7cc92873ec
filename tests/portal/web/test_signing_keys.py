"""Ask for and claim a key that signs, in the browser: the public key goes in, a private one goes nowhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.test import Client

from keys.crypto.public_keys import fingerprint, read_public_key
from keys.models import KeyRequest, KeyVersion
from tests.people import World, approved
from tests.portal.web.test_asking import PRODUCTION, wish
from tests.signing import pem_of
from tests.signing_keys import allow_signing

pytestmark = pytest.mark.django_db
Browser = Callable[..., Client]


@pytest.fixture
def pair() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def private_of(pair: Ed25519PrivateKey) -> str:
    return pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_the_choice_is_there_where_the_policy_gives_one(world: World, as_: Browser) -> None:
    alice = as_("alice")
    assert "How it proves itself" not in alice.get(PRODUCTION).content.decode()
    allow_signing(world)
    page = alice.get(PRODUCTION).content.decode()
    assert "How it proves itself" in page
    assert "a private key that only it has (Ed25519)" in page


def test_a_public_key_comes_with_the_request_and_the_approvers_see_it(
    world: World, as_: Browser, pair: Ed25519PrivateKey
) -> None:
    allow_signing(world)
    alice = as_("alice")
    private = alice.post(PRODUCTION, wish(world, kind="ed25519", public_key=private_of(pair)))
    assert private.status_code == 422
    assert "This is a private key" in private.content.decode()
    assert "BEGIN PRIVATE" not in private.content.decode(), "what was typed does not come back"
    beside = alice.post(PRODUCTION, wish(world, kind="ed25519", public_key=private_of(pair), name=""))
    assert list(beside.context["form"].errors) == ["name", "public_key"]
    assert "BEGIN PRIVATE" not in beside.content.decode(), "nor beside another mistake"
    assert not KeyRequest.objects.exists()
    sent = alice.post(PRODUCTION, wish(world, kind="ed25519", public_key=pem_of(pair)))
    assert sent.status_code == 302, sent.content.decode()[-3000:]
    request = KeyRequest.objects.get()
    public_key = read_public_key(pem_of(pair))
    assert (request.content["kind"], request.content["public_key"]) == ("ed25519", public_key)
    assert fingerprint(public_key) in as_("bob").get(f"/requests/{request.number}/").content.decode()
    edited = alice.get(f"/requests/{request.number}/edit/").content.decode()
    assert "BEGIN PUBLIC KEY" in edited


def test_a_claim_takes_the_public_key_and_shows_no_secret(world: World, as_: Browser, pair: Ed25519PrivateKey) -> None:
    allow_signing(world)
    key = approved(world, kind="ed25519")
    address = f"/keys/{key.number}/claim/"
    alice = as_("alice", "claim")
    assert "There is no secret to see" in alice.get(address).content.decode()
    for page in (address, f"/keys/{key.number}/"):
        shown = alice.get(page).content.decode()
        assert ("to use" in shown, "Claim the secret" in shown, "It is shown once" in shown) == (True, False, False)
    for typed, words in ((private_of(pair), "This is a private key"), ("", "needed"), ("hello", "cannot be read")):
        refused = alice.post(address, {"version": "1", "public_key": typed})
        assert refused.status_code == 422
        assert words in refused.content.decode(), refused.content.decode()[-2500:]
        assert "BEGIN PRIVATE" not in refused.content.decode()
        assert KeyVersion.objects.get().state == "pre-activation"
    answer = alice.post(address, {"version": "1", "public_key": pem_of(pair)})
    page = answer.content.decode()
    version = KeyVersion.objects.get()
    assert (answer.status_code, version.state) == (200, "active")
    assert fingerprint(version.public_key) in page
    assert version.kid in page
    assert "ks_prod_" not in page
    assert fingerprint(version.public_key) in alice.get(f"/keys/{key.number}/").content.decode()
    assert as_("mallory").get(address).status_code == 404


def test_a_claim_of_an_approved_public_key_asks_for_nothing(
    world: World, as_: Browser, pair: Ed25519PrivateKey
) -> None:
    allow_signing(world)
    key = approved(world, kind="ed25519", public_key=pem_of(pair))
    alice = as_("alice", "claim")
    page = alice.get(f"/keys/{key.number}/claim/").content.decode()
    assert fingerprint(key.public_key) in page
    assert "<textarea" not in page
    assert alice.post(f"/keys/{key.number}/claim/", {"version": "1"}).status_code == 200
    assert KeyVersion.objects.get().public_key == key.public_key


def test_a_shared_secret_is_shown_once_with_how_to_sign(world: World, as_: Browser) -> None:
    allow_signing(world)
    key = approved(world, kind="hmac-sha256")
    alice = as_("alice", "claim")
    page = alice.post(f"/keys/{key.number}/claim/", {"version": "1"}).content.decode()
    assert page.count(f"ks_prod_{KeyVersion.objects.get().kid}_") >= 1
    assert "Authorization: Bearer" not in page
    assert "How a program signs with it" in page
