"""Over the wire, with the process of the doorbell: a revocation is in every program before it could have asked by itself."""

from __future__ import annotations

import json
import random
import re
import subprocess
import threading
import urllib.request
from contextlib import ExitStack

import pytest
from keystead_client import LocalVerifier
from keystead_client.events import reaches

from keys.lifecycle.revocation import revoke_key
from keys.models import UsageCount, Verifier
from keys.states import RevocationReason
from keys.verification.watching.receipts import How, stop_with_receipt
from tests.keys.verification.following import behind_the_back
from tests.people import acting, issued, verifying_credential
from tests.sdk.cookbook import nginx, until
from tests.sdk.node import CLIENT, need_node
from tests.servers import ROOT, running

STALENESS = "UPDATE keys_environment SET max_staleness_ms = %s WHERE tag = 'prod'"
# Milliseconds of a lease. Under the long one nobody asks by itself for twenty seconds: what is everywhere sooner came with a ring.
# Under the short one somebody asks every second one, and a machine that stands still for a moment ends none.
LONG, SHORT = 60_000, 6000
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


def test_the_doorbell_brings_a_revocation_to_programs_of_both_languages(
    portal_server, feed, world, superuser, tmp_path
):
    need_node()
    behind_the_back(superuser, STALENESS, LONG)
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
            receipt = stop(world, key)
            assert not any(each.verify(secret.reveal()) for each in verifiers)
            assert {word["how"] for word in receipt.verifiers} <= {How.ACKNOWLEDGED, How.STOPPED}
            leases = Verifier.objects.filter(name__startswith="v").values_list("renewed_at", flat=True)
            told += sum(renewed_at < receipt.committed_at for renewed_at in leases)
        assert told, "the change comes with its ring, and is confirmed without a renewal"
        assert node.stdout.readline() == "unknown\n"
        assert node.stdout.readline() == "closed\n"
        assert node.wait(60) == 0
    assert not Verifier.objects.filter(stopped_at=None).exists()
    told = UsageCount.objects.filter(version=keys[0][1], outcome="valid").values_list("count", flat=True)
    assert sum(told) >= 4, "what was verified in process was reported to the site at the end"


@pytest.mark.parametrize("hears", [True, False], ids=["as our docs say", "that keeps a request until it is whole"])
def test_a_revocation_comes_through_a_gateway(
    portal_server, hidden_feed, world, superuser, tmp_path, monkeypatch, hears
):
    behind_the_back(superuser, STALENESS, LONG)
    monkeypatch.setattr("keystead_client.feed._SILENCE", 1.5)
    serves = "server { listen 127.0.0.1:%d; %s }"
    route = gateway_route() if hears else "location / { proxy_pass http://127.0.0.1:8200; proxy_buffering off; }"
    route = route.replace("http://127.0.0.1:8200", hidden_feed)
    command = nginx(tmp_path, serves=serves % (portal_server.feed_port, route))
    keys = [issued(world, name=f"Key {number}") for number in range(3)]
    url = portal_server.url.replace("localhost", "127.0.0.1")
    with (
        running(command, port=portal_server.feed_port, log=tmp_path / "nginx.log", cwd=tmp_path),
        LocalVerifier(url, credential=verifying_credential(world).reveal(), name="v") as verifier,
    ):
        until(lambda: verifier._bell is not None)
        assert verifier._bell.speaks == hears
        told = False
        for key, _, secret in keys:
            receipt = stop(world, key)
            assert not verifier.verify(secret.reveal())
            told |= Verifier.objects.get().renewed_at < receipt.committed_at
        assert told, "the change came with its ring, and was confirmed without a renewal"


def gateway_route() -> str:
    """What our docs say that a gateway needs for the feed."""
    (route,) = re.findall(
        r"```nginx\n(location /v1/feed .*?)```", (ROOT / "docs" / "verification.md").read_text(), re.DOTALL
    )
    return route


def test_a_stop_waits_for_no_renewal_that_is_on_its_way(portal_server, feed, world, superuser, monkeypatch):
    behind_the_back(superuser, STALENESS, LONG)
    key, _, secret = issued(world)
    url = portal_server.url.replace("localhost", "127.0.0.1")
    asked, arrives = threading.Event(), threading.Event()
    with LocalVerifier(url, credential=verifying_credential(world).reveal(), name="v") as verifier:
        until(lambda: verifier._bell is not None and verifier.verify(secret.reveal()))
        ask = verifier._feed._ask

        def ask_and_wait(applied):
            answer = ask(applied)
            asked.set()
            assert arrives.wait(50)
            return answer

        monkeypatch.setattr(verifier._feed, "_ask", ask_and_wait)
        verifier._ring.set()
        assert asked.wait(20)
        receipt = stop(world, key)
        assert [word["how"] for word in receipt.verifiers] == [How.ACKNOWLEDGED]
        assert verifier.verify(secret.reveal()).reason == "unknown"
        ends = verifier._feed.belief.until
        arrives.set()
        until(lambda: verifier._feed.belief.until > ends)
        assert verifier.verify(secret.reveal()).reason == "unknown", "what it brings is of before"


WATCHING = """
import { LocalVerifier } from %s;
const [url, credential, key] = process.argv.slice(2);
const told = (words) => process.stdout.write(words + String.fromCharCode(10));
const ask = globalThis.fetch;
let leases = 0;
globalThis.fetch = async (address, how) => {
  const answer = await ask(address, how);
  const word = /[/](lease|applied)$/.exec(String(address))?.[1];
  if (word === "lease" && ++leases > 3) {  // two at the start, and one for the ring with which a line begins
    told("asked");
    await new Promise((arrive) => process.stdin.once("data", arrive));
  }
  if (word !== undefined && answer.ok) told(word);
  return answer;
};
const verifier = await new LocalVerifier({ url, credential, name: "node" }).start();
let was = true;
setInterval(() => {
  const is = verifier.verify(key).valid;
  if (is !== was) told(is ? "back" : "gone");
  was = is;
}, 1);
process.on("SIGTERM", () => verifier.close().then(() => process.exit()));
"""


def test_a_ring_brings_programs_in_node_the_revocation_itself(portal_server, feed, world, superuser, tmp_path):
    """It is applied, and confirmed in a word, though a renewal is on its way; what that brings is old news."""
    need_node()
    behind_the_back(superuser, STALENESS, SHORT)
    key, _, secret = issued(world)
    script = tmp_path / "watching.mjs"
    script.write_text(WATCHING % json.dumps((CLIENT / "dist/src/index.js").as_uri()))
    url = portal_server.url.replace("localhost", "127.0.0.1")
    command = ["node", script, url, verifying_credential(world).reveal(), secret.reveal()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as node:
        assert node.stdin is not None
        assert node.stdout is not None
        told = iter(node.stdout.readline, "")
        assert "asked\n" in told
        receipt = stop(world, key)
        assert [word["how"] for word in receipt.verifiers] == [How.ACKNOWLEDGED]
        assert {next(told), next(told)} == {"gone\n", "applied\n"}
        node.stdin.write("let it arrive\n")
        assert [next(told), next(told)] == ["lease\n", "asked\n"]
        node.stdin.write("and the next\n")
        assert next(told) == "lease\n"
        node.terminate()


def test_both_clients_know_alike_which_position_shows_more(tmp_path):
    need_node()
    chosen = random.Random(20_261_122)  # the same ones each time

    def position() -> str:
        first = chosen.choice((1, 2**63 - 12))
        end = first + chosen.randrange(10)
        still_open = [number for number in range(first, end) if chosen.random() < 0.3]
        past = chosen.choice(("0123456789abcdef",) * 9 + ("fedcba9876543210",))
        return f"{still_open[0] if still_open else end}:{end}:{','.join(map(str, still_open))}@{past}"

    pairs = [(position(), position()) for _ in range(3000)]
    script = tmp_path / "reaches.mjs"
    script.write_text(
        f"import {{ reaches }} from {json.dumps((CLIENT / 'dist/src/events.js').as_uri())};\n"
        f"console.log(JSON.stringify({json.dumps(pairs)}.map(([here, there]) => reaches(here, there))));\n"
    )
    done = subprocess.run(["node", script], capture_output=True, text=True, timeout=60, check=True)
    told = json.loads(done.stdout)
    assert told == [reaches(here, there) for here, there in pairs]
    assert {True, False} == set(told)


def test_without_the_doorbell_programs_poll_as_before(portal_server, world, superuser):
    """Nobody listens where the site says that the doorbell is."""
    behind_the_back(superuser, STALENESS, SHORT)
    key, _, secret = issued(world)
    url = portal_server.url.replace("localhost", "127.0.0.1")
    with LocalVerifier(url, credential=verifying_credential(world).reveal(), name="alone") as verifier:
        assert verifier.verify(secret.reveal())
        receipt = stop(world, key)
        assert not verifier.verify(secret.reveal())
    assert [word["how"] for word in receipt.verifiers] == [How.ACKNOWLEDGED]


def test_a_feed_answers_whether_it_is_well(feed):
    for path, words in (("/healthz", b"alive\n"), ("/readyz", b"fresh\n")):
        until(lambda path=path, words=words: urllib.request.urlopen(feed + path, timeout=30).read() == words)
