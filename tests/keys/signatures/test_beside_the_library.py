"""The RFC's library and our fast path write the same bytes, whatever is signed; and no bytes make our reader fall over."""

import base64
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureAlgorithm,
    InvalidSignature,
    MappingKeyResolver,
    algorithms,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.crypto import base64url
from keys.crypto.request_signing import hmac_key, public_key
from keys.crypto.secrets import Secret
from keys.signatures.checking import holds
from keys.signatures.profile import TAG, WITH_BODY, WITHOUT_BODY, MalformedSignature
from keys.signatures.reading import SignedRequest, content_digest, read_signed
from tests.signing import Call, by_hmac

KID, SECRET = "8nbmcDHypESyDn", "ks_prod_8nbmcDHypESyDn_a-shared-secret-of-the-test"
PAIR = Ed25519PrivateKey.generate()
RESOLVER = MappingKeyResolver(
    public_keys={"hmac-sha256": SECRET.encode(), "ed25519": PAIR.public_key(), KID: SECRET.encode()},
    private_keys={"hmac-sha256": SECRET.encode(), "ed25519": PAIR},
)
KINDS: dict[str, type[HTTPSignatureAlgorithm]] = {
    "hmac-sha256": algorithms.HMAC_SHA256,
    "ed25519": algorithms.ED25519,
}
TEXT = st.text("abcXYZ012-._~!$&'()*+,;=:@", max_size=20) | st.sampled_from(["%2F", "%20", "%C3%A9"])
PATHS = st.lists(TEXT, max_size=5).map(lambda parts: "/" + "/".join(parts))
QUERIES = st.lists(TEXT, max_size=4).map("&".join)
HOSTS = st.sampled_from(
    ["api.example.com", "API.example.com", "localhost:8001", "api.example.com:443", "[2001:db8::1]"]
)
NONCES = st.binary(min_size=17, max_size=40).map(base64url.encode)
CREATED = st.integers(1_000_000_000, 9_999_999_999)


def sent(method: str, host: str, path: str, query: str, body: bytes) -> SimpleNamespace:
    """A message as the library reads it."""
    headers = {"Content-Type": "application/json"} if body else {}
    return SimpleNamespace(method=method, url=f"https://{host}{path}{'?' + query if query else ''}", headers=headers)


@given(
    st.sampled_from(["GET", "POST", "DELETE"]), HOSTS, PATHS, QUERIES, st.binary(max_size=30), NONCES, CREATED,
    st.sampled_from(sorted(KINDS)),
)  # fmt: skip
def test_what_the_library_signs_we_read_as_the_same_bytes(
    method: str, host: str, path: str, query: str, body: bytes, nonce: str, created: int, kind: str
) -> None:
    message = sent(method, host, path, query, body)
    signer = HTTPMessageSigner(signature_algorithm=KINDS[kind], key_resolver=RESOLVER)
    prepared = signer.prepare(
        message,
        key_id=KID,
        created=datetime.fromtimestamp(created, tz=UTC),
        nonce=nonce,
        label="keystead",
        tag=TAG,
        covered_component_ids=WITH_BODY if body else WITHOUT_BODY,
        body=body or None,
    )
    raw = KINDS[kind](private_key=RESOLVER.resolve_private_key(kind)).sign(prepared.signature_base)
    signer.apply(message, prepared, raw)
    ours = read_signed(
        SignedRequest(
            method=method,
            authority=host,
            path=path,
            query=query,
            headers={name.lower(): value for name, value in message.headers.items()},
            body_digest=content_digest(body) if body else None,
        )
    )
    assert ours.base == bytes(prepared.signature_base)
    key = hmac_key(Secret(SECRET)) if kind == "hmac-sha256" else _public()
    assert holds(ours, key)
    assert (ours.kid, ours.algorithm, ours.nonce, ours.created) == (KID, kind, nonce, created)


def _public() -> object:
    return public_key(base64url.encode(PAIR.public_key().public_bytes_raw()))


def test_what_our_clients_sign_the_library_accepts() -> None:
    call = Call(method="POST", path="/v1/withdrawals", query="a=1&b=2", body=b'{"amount":"12.50"}')
    created = int(datetime.now(tz=UTC).timestamp())
    message = sent(call.method, call.authority, call.path, call.query, call.body)
    message.headers = call.signed(by_hmac(SECRET), kid=KID, algorithm="hmac-sha256", created=created)
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=RESOLVER)
    assert verifier.verify(message, expect_tag=TAG, require_components=WITH_BODY, body=call.body)
    with pytest.raises(InvalidSignature):
        verifier.verify(message, expect_tag=TAG, require_components=WITH_BODY, body=b"another")


WRITTEN = Call(path="/v1/orders").signed(
    by_hmac(SECRET), kid=KID, algorithm="hmac-sha256", created=1_790_000_000, nonce="A" * 22
)
LINES = st.text(max_size=60) | st.sampled_from(
    ['"', ";", "(", ")", ",", "=", ":", "\\", "\n", "keystead=", '"@method"']
)


@st.composite
def mangled(draw: st.DrawFn, text: str) -> str:
    """The right header with something cut out and something else put in its place."""
    begin = draw(st.integers(0, len(text)))
    end = draw(st.integers(begin, min(len(text), begin + 20)))
    return text[:begin] + draw(LINES) + text[end:]


@settings(max_examples=400)
@given(
    mangled(WRITTEN["signature-input"]), mangled(WRITTEN["signature"]), st.sampled_from(["input", "signature", "both"])
)
def test_a_mangled_header_is_refused_or_still_the_same_and_never_an_error(one: str, other: str, which: str) -> None:
    headers = dict(WRITTEN)
    if which != "signature":
        headers["signature-input"] = one
    if which != "input":
        headers["signature"] = other
    try:
        presented = read_signed(SignedRequest("GET", "api.example.com", "/v1/orders", "", headers))
    except MalformedSignature:
        return
    if holds(presented, hmac_key(Secret(SECRET))):
        assert headers == WRITTEN, "a second spelling of a signature verifies"


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30), st.text(max_size=30), st.text(max_size=80))
def test_any_texts_are_refused_or_read(method: str, authority: str, path: str, query: str, header: str) -> None:
    headers = {**WRITTEN, "content-type": header, "content-digest": header}
    for digest in (None, content_digest(b"x")):
        try:
            read = read_signed(SignedRequest(method, authority, path, query, headers, digest))
        except MalformedSignature:
            continue
        assert read.base.count(b"\n") == 4


@pytest.mark.parametrize("value", ["+/" * 11, base64.b64encode(bytes(16)).decode(), "a b" * 10, 'x";created="1' * 3])
def test_a_nonce_is_a_plain_word(value: str) -> None:
    headers = {**WRITTEN, "signature-input": WRITTEN["signature-input"].replace("A" * 22, value)}
    with pytest.raises(MalformedSignature):
        read_signed(SignedRequest("GET", "api.example.com", "/v1/orders", "", headers))
