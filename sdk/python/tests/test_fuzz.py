"""Whatever Keystead, or somebody in its place, sends: it is read or refused in the client's own words, and nothing falls over."""

import contextlib
import hashlib
import json
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fake_feed import POLICY, base64url, record
from hypothesis import example, given, settings
from hypothesis import strategies as st
from keystead_client import IntegrityError
from keystead_client.errors import KeysteadError, MalformedKey
from keystead_client.key_text import parse
from keystead_client.snapshots import MAGIC, read_snapshot
from keystead_client.transport import Reply, raise_for
from keystead_client.verdicts import read_verdict

PAIR = Ed25519PrivateKey.generate()
KEYS = {"snap-1": base64url(PAIR.public_key().public_bytes_raw())}
HEADER = {
    "kid": "snap-1", "service": "orders", "environment": "prod", "position": "1", "lease_ms": 3000, "count": 1,
    "policies": [POLICY], "warned": {}, "signers": base64url(record(bytes(32), "a" * 14)),
}  # fmt: skip
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=10), st.floats()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(HEADER)), inner, max_size=3),
    max_leaves=8,
)
PARTS = st.sampled_from(["ks", "prod", "dev", "", "5QoUduDDUQkGp2", "0" * 49, "z" * 49, "é" * 49, "\n"])
EXAMPLES = pytest.mark.parametrize("examples", [100, pytest.param(20_000, marks=pytest.mark.long)])


def written(header: bytes, records: bytes = record(bytes(32), "a" * 14), *, pair: Ed25519PrivateKey = PAIR) -> bytes:
    body = MAGIC + struct.pack("<I", len(header)) + header + records
    return body + pair.sign(b"keystead snapshot v1\n" + hashlib.sha256(body).digest())


SOUND = written(json.dumps(HEADER).encode())


def test_the_sound_one_is_read():
    assert read_snapshot(SOUND, keys=KEYS).count == 1


@EXAMPLES
def test_a_snapshot_that_was_changed_anywhere_is_refused(examples):
    @settings(max_examples=examples, deadline=None, database=None)
    @given(st.integers(0, len(SOUND)), st.integers(0, 40), st.binary(max_size=40))
    @example(8, 4, b"\xff\xff\xff\xff")
    def change(begin, cut, put):
        changed = SOUND[:begin] + put + SOUND[begin + cut :]
        if changed != SOUND:
            with pytest.raises(IntegrityError):
                read_snapshot(changed, keys=KEYS)

    change()


@EXAMPLES
def test_bytes_that_are_no_snapshot_are_refused(examples):
    @settings(max_examples=examples, deadline=None, database=None)
    @given(st.one_of(st.binary(max_size=200), JSON.map(lambda value: json.dumps(value).encode())))
    @example(b"[" * 100_000)
    @example(b'{"kid":' * 50_000)
    @example(b"9" * 5_000)
    def read(content):
        for each in (content, MAGIC + content, written(content, pair=Ed25519PrivateKey.generate())):
            with pytest.raises(IntegrityError):
                read_snapshot(each, keys=KEYS)

    read()


@EXAMPLES
def test_a_signed_one_of_another_shape_is_refused_too(examples):
    """A server of another release signs with the same key."""

    @settings(max_examples=examples, deadline=None, database=None)
    @given(st.sampled_from(sorted(set(HEADER) - {"kid", "service", "environment", "position"})), JSON, st.booleans())
    def read(name, value, gone):
        header = {key: each for key, each in HEADER.items() if key != name} if gone else HEADER | {name: value}
        try:
            snapshot = read_snapshot(written(json.dumps(header).encode()), keys=KEYS)
        except IntegrityError:
            return
        assert snapshot.find(b"\x01" * 32) is None
        assert snapshot.find_signer("b" * 14) is None

    read()


@EXAMPLES
def test_answers_are_verdicts_or_errors_of_the_client(examples):
    @settings(max_examples=examples, deadline=None, database=None)
    @given(
        st.one_of(st.binary(max_size=100), JSON.map(lambda value: json.dumps(value).encode())), st.integers(100, 599)
    )
    @example(b"[" * 100_000, 200)
    @example(b"[" * 100_000, 500)
    @example(b'{"valid": 1, "scopes": []}', 200)
    @example(b'{"code": "x", "errors": 1}', 422)
    @example(b'{"code": "x", "errors": [1]}', 422)
    def read(body, status):
        reply = Reply(status=status, headers={}, body=body)
        try:
            raise_for(reply)
            assert not read_verdict(reply.json()).valid or json.loads(body)["valid"] is True
        except KeysteadError:
            pass

    read()


@EXAMPLES
def test_texts_are_keys_or_malformed(examples):
    @settings(max_examples=examples, deadline=None, database=None)
    @given(st.one_of(st.text(max_size=100), st.lists(PARTS, max_size=6).map("_".join)))
    def read(text):
        with contextlib.suppress(MalformedKey):
            parse(text)

    read()
