"""A secret shows itself only when asked by name."""

import copy
import dataclasses
import io
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable

import pytest
import structlog

from keys.crypto.digests import digest
from keys.crypto.errors import CryptoError
from keys.crypto.key_text import KeyText, mint, parse
from keys.crypto.keyring import Keyring
from keys.crypto.secrets import HIDDEN, Secret

CANARY = "canary-5f1e0c9b-in-a-coal-mine"


@dataclasses.dataclass
class Holder:
    name: str
    secret: Secret


def _logged(secret: Secret) -> str:
    stream = io.StringIO()
    logger = logging.Logger("canary")  # noqa: LOG001  # apart from the tree of loggers on purpose
    logger.addHandler(logging.StreamHandler(stream))
    logger.error("value %s %r", secret, secret, extra={"secret": secret})
    return stream.getvalue()


def _structured(secret: Secret) -> str:
    render = structlog.processors.JSONRenderer()
    return str(render(None, "info", {"event": "x", "secret": secret}))


def _traced(secret: Secret) -> str:
    try:
        raise ValueError(secret)
    except ValueError as error:
        return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


SHOWN: dict[str, Callable[[Secret], str]] = {
    "repr": repr,
    "str": str,
    "format": lambda secret: f"{secret} {secret!r} {secret!s} {secret:>40} {secret!a}",
    "percent": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031
    "dataclass": lambda secret: repr(Holder("x", secret)),
    "asdict": lambda secret: str(dataclasses.asdict(Holder("x", secret))),
    "pprint": lambda secret: pprint.pformat({"secret": [secret]}),
    "json with default": lambda secret: json.dumps({"secret": secret}, default=str),
    "logging": _logged,
    "structlog": _structured,
    "traceback": _traced,
    "copies": lambda secret: repr([copy.copy(secret), copy.deepcopy({"secret": secret})]),
    "dir": lambda secret: str(dir(secret)),
    "exception": lambda secret: str(ValueError(secret)),
}


@pytest.mark.parametrize("way", SHOWN)
def test_a_secret_stays_hidden_when_it_is_shown_as(way: str) -> None:
    shown = SHOWN[way](Secret(CANARY))
    assert CANARY not in shown
    assert way == "dir" or HIDDEN in shown


REFUSED: dict[str, Callable[[Secret], object]] = {
    "json": json.dumps,
    "pickle 0": lambda secret: pickle.dumps(secret, protocol=0),
    "pickle 5": lambda secret: pickle.dumps(secret, protocol=5),
    "pickle inside": lambda secret: pickle.dumps({"a": [secret]}),
    "getstate": lambda secret: secret.__getstate__(),
    "vars": vars,
    "hash": hash,
    "bytes": bytes,  # type: ignore[dict-item]
    "iterate": list,  # type: ignore[dict-item]
    "length": len,  # type: ignore[dict-item]
    "concatenate": lambda secret: "x" + secret,  # type: ignore[operator]
}


@pytest.mark.parametrize("way", REFUSED)
def test_a_secret_refuses_to(way: str) -> None:
    with pytest.raises(TypeError) as refusal:
        REFUSED[way](Secret(CANARY))
    assert CANARY not in str(refusal.value)


def test_a_secret_is_revealed_by_name_as_text_or_bytes() -> None:
    assert Secret(CANARY).reveal() == CANARY
    assert Secret(CANARY.encode()).reveal_bytes() == CANARY.encode()


def test_secrets_compare_with_secrets_only() -> None:
    assert Secret(CANARY) == Secret(CANARY.encode())
    assert Secret(CANARY) != Secret("other")
    assert Secret(CANARY) != CANARY


def test_a_secret_neither_changes_nor_grows() -> None:
    secret = Secret(CANARY)
    for name in ("_Secret__value", "value"):
        with pytest.raises(AttributeError):
            setattr(secret, name, b"other")
        with pytest.raises(AttributeError):
            delattr(secret, name)
    assert secret.reveal() == CANARY


def test_an_empty_secret_is_refused() -> None:
    for empty in ("", b""):
        with pytest.raises(ValueError, match="never empty"):
            Secret(empty)


def test_a_new_key_and_a_keyring_hide_their_secrets(keyring: Keyring) -> None:
    key = mint("prod")
    text = key.secret.reveal()
    assert text not in repr(key)
    assert text.removeprefix(key.prefix + "_") not in repr(dataclasses.asdict(key))
    assert "Secret" in repr(keyring.primary("pepper"))
    assert repr(keyring).count("Secret") == 0
    for whole in (key, keyring, keyring.primary("pepper")):
        with pytest.raises(TypeError):
            pickle.dumps(whole)


@pytest.mark.parametrize(
    "refuse",
    [
        lambda key: parse(Secret(key.secret.reveal()[:-1] + "~")),
        lambda key: parse(key.secret.reveal()[:-1] + "~"),
        lambda key: digest(key.secret, "md5"),
        lambda key: digest(key.secret.reveal(), "md5"),
    ],
)
def test_a_refusal_keeps_no_secret_in_its_frames(refuse: Callable[[KeyText], object]) -> None:
    key = mint("dev")
    secret_part = key.secret.reveal().rpartition("_")[2][:40]
    with pytest.raises(CryptoError) as refusal:
        refuse(key)
    frames = traceback.TracebackException.from_exception(refusal.value, capture_locals=True)
    ours = [frame for frame in frames.stack if "/tests/" not in frame.filename]
    assert ours
    assert all(secret_part not in value for frame in ours for value in (frame.locals or {}).values())
