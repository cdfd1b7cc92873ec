"""The client reads key texts as the portal does: the same vectors test both."""

import pickle

import pytest
from fake_keystead import vectors
from keystead_client import MalformedKey, Secret, digest, find_keys, kid_of, parse

TEXTS = vectors("key_text")
DIGESTS = [each for each in vectors("key_digest")["digests"] if each["algorithm"] == "sha256-ks1"]
ONE = TEXTS["valid"][2]["text"]


@pytest.mark.parametrize("case", TEXTS["valid"], ids=lambda case: case["kid"])
def test_a_valid_text_says_its_environment_and_kid(case):
    parsed = parse(case["text"])
    assert (parsed.environment, parsed.kid) == (case["environment"], case["kid"])
    assert case["text"].startswith(parsed.prefix + "_")
    assert kid_of(Secret(case["text"])) == case["kid"]


@pytest.mark.parametrize("case", TEXTS["invalid"], ids=range(len(TEXTS["invalid"])))
def test_anything_else_is_malformed_and_never_quoted(case):
    with pytest.raises(MalformedKey) as raised:
        parse(case["text"])
    assert raised.value.code == case["code"]
    assert not case["text"] or case["text"] not in str(raised.value)
    assert kid_of(case["text"]) is None


@pytest.mark.parametrize("case", DIGESTS, ids=range(len(DIGESTS)))
def test_digests_are_those_that_keystead_stores(case):
    assert digest(case["text"]).hex() == case["digest"]


def test_keys_are_found_inside_a_longer_text_but_not_inside_a_longer_word():
    text = f"export KEY={ONE}; x{ONE} {ONE}0 '{ONE}' {ONE[:-1]}0"
    assert [text[each.start : each.end] for each in find_keys(text)] == [ONE, ONE]


def test_a_secret_shows_itself_only_when_asked():
    secret = Secret(ONE)
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>80}", repr([secret])):
        assert ONE not in shown
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(AttributeError):
        secret.x = 1
    assert secret.reveal() == ONE
    assert secret == Secret(ONE)
