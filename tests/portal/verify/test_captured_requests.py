"""Whoever captured a signed request has nothing: not with anything of it changed, and not in another spelling."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.portal.verify.signed_questions import CHANGES, Question, alter, of_each_kind, received, told
from tests.signing_keys import signer_of

pytestmark = pytest.mark.usefixtures("sealing", "settled_nonces")


def _respell(question: Question, spell: Callable[[str], str]) -> None:
    """Write the same signature in other characters."""
    text = question["headers"]["signature"].removeprefix("keystead=:").removesuffix(":")
    question["headers"]["signature"] = f"keystead=:{spell(text)}:"


def _last_bits(text: str) -> str:
    """The bits behind the last byte, which a lenient decoder drops."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    body = text.rstrip("=")
    return body[:-1] + alphabet[alphabet.index(body[-1]) + 1] + "=" * (len(text) - len(body))


def _swap(question: Question, one: str, other: str) -> None:
    """Let two neighbours change places."""
    text = question["headers"]["signature-input"]
    before, _, rest = text.partition(one)
    first, _, rest = rest.partition(other)
    second, _, after = rest.partition(";tag=")
    question["headers"]["signature-input"] = f"{before}{other}{second}{one}{first};tag={after}"


# Each decodes to the same signature somewhere, or reads as the same header.
SPELLINGS: dict[str, Callable[[Question], None]] = {
    "no padding": lambda question: _respell(question, lambda text: text.rstrip("=")),
    "more padding": lambda question: _respell(question, lambda text: text + "="),
    "the other alphabet": lambda question: _respell(question, lambda text: "-" + text[1:].replace("/", "_")),
    "bits behind the last byte": lambda question: _respell(question, _last_bits),
    "a blank inside": lambda question: _respell(question, lambda text: text[:8] + " " + text[8:]),
    "a line feed inside": lambda question: _respell(question, lambda text: text[:8] + "\n" + text[8:]),
    "percent-encoded": lambda question: _respell(question, lambda text: text.replace("=", "%3D")),
    "a parameter of the signature": lambda question: question["headers"].update(
        signature=question["headers"]["signature"] + ";a=1"
    ),
    "a blank after a semicolon": lambda question: alter(question, ";keyid", "; keyid"),
    "parameters in another order": lambda question: _swap(question, ";alg=", ";nonce="),
    "a nonce with padding": lambda question: alter(question, '";tag=', '==";tag='),
    "another label": lambda question: question["headers"].update(
        {
            name: question["headers"][name].replace("keystead=", "keystead2=")
            for name in ("signature-input", "signature")
        }
    ),
}


@of_each_kind
def test_another_spelling_of_a_captured_request_is_no_other_request(door, signer):
    for name, respell in SPELLINGS.items():
        question = received(signer)
        respelled = json.loads(json.dumps(question))
        respell(respelled)
        assert respelled != question, name
        assert told(door, question) == "valid"
        answer = door.ask("/v1/verify-signature", respelled)
        assert (answer.status, answer.json["valid"]) == (200, False), name
        assert answer.json["reason"] in {"signature_malformed", "signature_invalid", "replay"}, name


def test_a_captured_request_names_no_other_key(door, signer, world):
    """Nor one of the same kind that works: whose signature it is stands in what is signed."""
    other = signer_of(world, signer.key.kind, name="Another")
    door.feed.tick()
    question = received(signer)
    alter(question, f'keyid="{signer.version.kid}"', f'keyid="{other.version.kid}"')
    assert told(door, question) == "signature_invalid"
    assert told(door, received(other)) == "valid"


@of_each_kind
def test_with_anything_changed_it_is_refused_whether_it_was_used_or_not(door, signer):
    for name, change in CHANGES.items():
        for captured in (False, True):
            question = received(signer)
            changed = json.loads(json.dumps(question))
            change(changed)
            assert changed != question, name
            if captured:
                assert told(door, question) == "valid"
            answer = door.ask("/v1/verify-signature", changed)
            assert (answer.status, answer.json["valid"]) == (200, False), name
            assert answer.json["reason"] in {"signature_invalid", "signature_malformed"}, name
            assert ("fault" in answer.json) == (answer.json["reason"] == "signature_malformed"), name
