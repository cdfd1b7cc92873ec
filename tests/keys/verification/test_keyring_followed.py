"""What verifies goes on through every step of the keyring without a restart, and believes nothing that a forgotten key made."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.actor import Actor
from keys.models import Verifier
from keys.rekeying.rewriting import rewrite
from keys.rekeying.steps import add_keys, forget_key, promote_keys, read_ring
from keys.verification.lookup import find
from keys.verification.memory.feed import Feed
from keys.verification.reasons import Reason
from keys.verification.signing_keys import SigningKeys
from tests.keys.verification.following import following, said
from tests.people import World, issued
from tests.signing_keys import allow_signing, signer_of

SHELL = Actor.operator("root")
pytestmark = pytest.mark.usefixtures("sealing", "ring_file")


def old_key() -> str:
    return read_ring().primary("row-mac").id


def reads(feed: Feed) -> list[str]:
    return list(Verifier.objects.get(pk=feed.holder.id).reads)


def test_a_door_reads_the_next_key_and_says_so_before_it_is_promoted(world: World) -> None:
    secret = issued(world)[2]
    feed, old = following(), old_key()
    resyncs = feed.resyncs
    [added] = add_keys(["row-mac"], actor=SHELL)
    assert added not in reads(feed)
    feed.tick()
    assert added in reads(feed)
    assert promote_keys(["row-mac"], actor=SHELL) == [added]
    made = issued(world, name="Made with the next key")[2]
    feed.tick()
    assert [said(feed, world, each) for each in (secret, made)] == [None, None]
    rewrite(actor=SHELL, told=lambda *_: None)
    forget_key("row-mac", old, actor=SHELL)
    feed.tick()
    assert old not in reads(feed)
    assert [said(feed, world, each) for each in (secret, made)] == [None, None]
    assert feed.resyncs == resyncs, "a million keys are not read again for it"


def test_what_only_a_forgotten_key_made_is_believed_no_more(world: World) -> None:
    forged = issued(world)[2]
    feed, old = following(), old_key()
    for step in (add_keys, promote_keys):
        step(["row-mac"], actor=SHELL)
        feed.tick()
    sound = issued(world, name="Made with the next key")[2]
    forget_key("row-mac", old, actor=SHELL, even_so=True)
    feed.tick()
    assert said(feed, world, forged) == Reason.INTEGRITY_FAILURE
    assert said(feed, world, sound) is None


def test_what_looked_forged_to_a_host_without_the_file_is_believed_when_it_comes(world: World, ring_file: Path) -> None:
    without = ring_file.read_bytes()
    for step in (add_keys, promote_keys):
        step(["row-mac"], actor=SHELL)
    secret, whole = issued(world)[2], ring_file.read_bytes()
    ring_file.write_bytes(without)
    feed = following()
    assert said(feed, world, secret) == Reason.INTEGRITY_FAILURE
    ring_file.write_bytes(whole)
    feed.tick()
    assert said(feed, world, secret) is None


@pytest.mark.parametrize("kind", ["ed25519", "hmac-sha256"])
def test_what_checks_signatures_is_judged_by_the_keyring_of_now(world: World, kind: str) -> None:
    allow_signing(world)
    found = find(signer_of(world, kind).version.kid)
    assert found is not None
    ready, old = SigningKeys(), old_key()
    assert ready.of(found)[1]
    add_keys(["row-mac"], actor=SHELL)
    promote_keys(["row-mac"], actor=SHELL)
    assert ready.of(found)[1]
    forget_key("row-mac", old, actor=SHELL, even_so=True)
    assert not ready.of(found)[1]
