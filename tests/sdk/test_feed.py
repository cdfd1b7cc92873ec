"""Over the wire, with the process of the doorbell: a revocation is in every program before it could have asked by itself."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from contextlib import ExitStack

from keystead_client import LocalVerifier

from keys.lifecycle.revocation import revoke_key
from keys.models import UsageCount, Verifier
from keys.states import RevocationReason
from keys.verification.receipts import How, stop_with_receipt
from tests.people import acting, issued, verifying_credential
from tests.sdk.cookbook import until
from tests.sdk.node import CLIENT, need_node

PROGRAM = """
import { LocalVerifier } from %r;
const [url, credential, key] = process.argv.slice(2);
const verifier = await new LocalVerifier({ url, credential, name: "node" }).start();
const told = (words) => process.stdout.write(words + "\\n");
told(verifier.verify(key).valid ? "valid" : "no");
const timer = setInterval(() => {
  const verdict = verifier.verify(key);
  if (verdict.valid) return;
  told(verdict.reason);
  clearInterval(timer);
  verifier.close().then(() => told("closed"));
}, 1);
"""


def stop(world, key):
    """What every door does: commit, then wait until it is everywhere."""
    revoke_key(key, actor=acting(world.responder, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
    return stop_with_receipt(key, action="revoked")


def test_the_doorbell_brings_a_revocation_to_programs_of_both_languages(portal_server, feed, world, tmp_path):
    need_node()
    credential = verifying_credential(world).reveal()
    keys = [issued(world, name=f"Key {number}") for number in range(4)]
    script = tmp_path / "program.mjs"
    script.write_text(PROGRAM % str(CLIENT / "dist" / "src" / "index.js"))
    url = portal_server.url.replace("localhost", "127.0.0.1")
    command = ["node", str(script), url, credential, keys[0][2].reveal()]
    with ExitStack() as stack:
        verifiers = [stack.enter_context(LocalVerifier(url, credential=credential, name=f"v{n}")) for n in range(3)]
        node = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert node.stdout is not None
        assert node.stdout.readline() == "valid\n"
        until(lambda: all(each._bell is not None and each.verify(keys[0][2].reveal()) for each in verifiers))
        told = 0
        for key, _, secret in keys:
            until(lambda: all(each.lease_seconds > 2.2 for each in verifiers))  # none is about to ask by itself
            began = time.monotonic()
            receipt = stop(world, key)
            took = time.monotonic() - began
            assert not any(each.verify(secret.reveal()) for each in verifiers)
            assert {word["how"] for word in receipt.verifiers} <= {How.ACKNOWLEDGED, How.STOPPED}
            assert took < 0.7, "it waited until they asked by themselves"
            leases = Verifier.objects.filter(name__startswith="v").values_list("renewed_at", flat=True)
            told += sum(renewed_at < receipt.committed_at for renewed_at in leases)
        assert told, "the change comes with its ring, and is confirmed without a renewal"
        assert node.stdout.readline() == "unknown\n"
        assert node.stdout.readline() == "closed\n"
        assert node.wait(10) == 0
    assert not Verifier.objects.filter(stopped_at=None).exists()
    told = UsageCount.objects.filter(version=keys[0][1], outcome="valid").values_list("count", flat=True)
    assert sum(told) >= 4, "what was verified in process was reported to the site at the end"


def test_without_the_doorbell_programs_poll_as_before(portal_server, world):
    """Nobody listens where the site says that the doorbell is."""
    key, _, secret = issued(world)
    url = portal_server.url.replace("localhost", "127.0.0.1")
    with LocalVerifier(url, credential=verifying_credential(world).reveal(), name="alone") as verifier:
        assert verifier.verify(secret.reveal())
        receipt = stop(world, key)
        assert not verifier.verify(secret.reveal())
    assert [word["how"] for word in receipt.verifiers] == [How.ACKNOWLEDGED]


def test_a_feed_answers_whether_it_is_well(feed):
    for path, words in (("/healthz", b"alive\n"), ("/readyz", b"fresh\n")):
        until(lambda path=path, words=words: urllib.request.urlopen(feed + path, timeout=5).read() == words)
