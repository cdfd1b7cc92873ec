"""Every key of the keyring is replaced under programs that verify: what lives stays valid for them, what was stopped does not come back."""

from __future__ import annotations

import json
import subprocess
import threading
from contextlib import ExitStack, contextmanager
from functools import partial
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from keystead_client import LocalVerifier, Verifier

from keys.crypto.keyring import PURPOSES
from keys.lifecycle.revocation import revoke_key
from keys.rekeying.steps import read_ring
from keys.states import RevocationReason
from tests.engines import layout_of_worker
from tests.people import acting, issued, verifying_credential
from tests.sdk.cookbook import until
from tests.sdk.node import CLIENT, need_node
from tests.servers import PortalServer, free_port, serving

ASKING = """
import { LocalVerifier } from %s;
const [url, credential, key] = process.argv.slice(2);
const verifier = await new LocalVerifier({ url, credential, name: "node" }).start();
let was = "";
setInterval(() => {
  const verdict = verifier.verify(key);
  const is = verdict.valid ? "valid" : verdict.reason;
  if (is !== was) process.stdout.write(is + "\\n");
  was = is;
}, 5);
"""


class Heard:
    """What a program says of a key, each time it is something else."""

    def __init__(self):
        self.words = []

    def add(self, word):
        if self.words[-1:] != [word]:
            self.words.append(word)


def all_say(word, heard):
    return all(each.words[-1:] == [word] for each in heard)


@contextmanager
def asking(url, credential, secret, folder):
    """Two programs, one in Python and one in Node, that ask all the time; what each heard."""
    script = folder / "asking.mjs"
    script.write_text(ASKING % json.dumps((CLIENT / "dist/src/index.js").as_uri()))
    heard, over = (Heard(), Heard()), threading.Event()

    def in_python():
        with LocalVerifier(url, credential=credential, name="python") as verifier:
            while not over.wait(0.005):
                verdict = verifier.verify(secret)
                heard[0].add("valid" if verdict else str(verdict.reason))

    def in_node():
        for line in node.stdout:
            heard[1].add(line.strip())

    with subprocess.Popen(["node", script, url, credential, secret], stdout=subprocess.PIPE, text=True) as node:
        threads = [threading.Thread(target=work) for work in (in_python, in_node)]
        try:
            for thread in threads:
                thread.start()
            yield heard
        finally:
            over.set()
            node.terminate()
            for thread in threads:
                thread.join()


def keyring(*arguments):
    """Take a step at the shell; False while a door does not hold the next key."""
    try:
        call_command("keyring", *arguments, stdout=StringIO())
    except CommandError:
        return False
    return True


@contextmanager
def running(site, folder):
    """All of Keystead that programs ask; the address of its door."""
    site.start()
    with ExitStack() as stack:
        stack.callback(site.stop)
        stack.enter_context(serving("portal.verify.feed", "KEYSTEAD_FEED_BIND", site.feed_port, folder))
        yield stack.enter_context(serving("portal.verify", "KEYSTEAD_VERIFY_BIND", free_port(), folder))


@pytest.mark.long
def test_programs_go_on_through_a_rotation_of_every_key_without_a_restart(
    world, sealing, ring_file, monkeypatch, tmp_path
):
    need_node()
    monkeypatch.setenv("KEYSTEAD_KEYRING_FILE", str(ring_file))
    credential = verifying_credential(world).reveal()
    key, _, secret = issued(world)
    old = {purpose: read_ring().primary(purpose).id for purpose in PURPOSES}
    steps = [partial(keyring, "add", *PURPOSES), partial(keyring, "promote", *PURPOSES), partial(keyring, "rewrite")]
    steps += [partial(keyring, "forget", purpose, name) for purpose, name in old.items()]
    site = PortalServer(layout_of_worker())
    with (
        running(site, tmp_path) as door,
        Verifier(door, credential=credential) as remote,
        asking(site.url, credential, secret.reveal(), tmp_path) as heard,
    ):
        until(partial(all_say, "valid", heard), seconds=60)
        for step in steps:
            until(step)
            made = issued(world, name="Made by now")[2].reveal()
            until(partial(remote.verify, made))
            assert remote.verify(secret.reveal()).valid
        revoke_key(key, actor=acting(world.alice, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
        until(partial(all_say, "unknown", heard), seconds=60)
    assert [each.words for each in heard] == [["valid", "unknown"]] * 2
    assert not set(old.values()) & set(read_ring().key_ids)
