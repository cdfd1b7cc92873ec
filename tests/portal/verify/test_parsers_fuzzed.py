"""Whatever comes, the data plane answers it: no question makes it fall over, and no parser raises what it does not say."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keys.signatures.reading import HEADERS
from portal.verify.app import ENDPOINTS
from portal.verify.forward_auth import _key_in, _scopes_in
from portal.verify.introspection import _token, address_in
from portal.verify.quick.introspection import QuickIntrospection
from portal.verify.quick.verdicts import QuickVerdicts
from portal.verify.reading import Refused, read_question
from portal.verify.signed import read_signed_question
from tests.people import issued, verifying_credential
from tests.portal.verify.doors import FORM, JSON
from tests.portal.verify.knocking import Door

KEY = "THE KEY"
GATEWAYS_OWN = ("/v1/forward-auth", "invalid_caller")
LATIN = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=60)
WORDS = st.sampled_from(["", "Bearer", "Bearer x", "Basic YTpi", "Basic YR==", f"Bearer {KEY}", KEY, ",", "GET", "::1"])
TEXTS = st.one_of(WORDS, LATIN, st.text(max_size=30), st.sampled_from(["\u202e", "\ud800", "\uff11", "\0", "a" * 600]))
NAMES = st.sampled_from([
    "key", "keys", "scopes", "method", "client", "address", "user_agent", "instance", "token", "headers", "authority", "path",
    "query", "scheme", "body_digest", *HEADERS, "odd",
])  # fmt: skip
VALUES = st.recursive(
    st.one_of(TEXTS, st.none(), st.booleans(), st.integers(), st.floats()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.one_of(NAMES, TEXTS), inner, max_size=4),
    max_leaves=12,
)
MEMBERS = st.dictionaries(NAMES, VALUES, max_size=5).map(lambda value: json.dumps(value).encode())
FORMS = st.lists(
    st.sampled_from([b"token", b"=", b"&", b"%", b"%00", b"+", b";", b"a", b"token_type_hint"]), max_size=8
)
BODIES = st.one_of(
    st.binary(max_size=200), MEMBERS, VALUES.map(lambda value: json.dumps(value).encode()), FORMS.map(b"".join)
)
KINDS = st.one_of(st.sampled_from([JSON, FORM, "", f"{JSON}; charset=utf-8", "text/plain"]), LATIN)
OTHERS = st.dictionaries(
    st.sampled_from([
        "HTTP_AUTHORIZATION", "HTTP_X_API_KEY", "HTTP_KEYSTEAD_CREDENTIAL", "HTTP_KEYSTEAD_SCOPES", "HTTP_USER_AGENT",
        "HTTP_KEYSTEAD_CLIENT_ADDRESS", "HTTP_CONTENT_ENCODING", "HTTP_X_FORWARDED_FOR", "CONTENT_LENGTH", "QUERY_STRING",
    ]),
    st.one_of(WORDS, LATIN),
    max_size=4,
)  # fmt: skip
EXAMPLES = pytest.mark.parametrize(
    "examples", [60, pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)


def fuzzing(examples):
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)


@EXAMPLES
def test_readers_refuse_or_read(examples):
    @fuzzing(examples)
    @given(BODIES, KINDS, LATIN)
    def read(body, kind, header):
        for reader in (read_question, read_signed_question, _token):
            with contextlib.suppress(Refused):
                reader(body, kind)
        for place in ("HTTP_AUTHORIZATION", "HTTP_X_API_KEY"):
            with contextlib.suppress(Refused):
                _key_in({place: header})
        for of_header in (_scopes_in, address_in):
            with contextlib.suppress(Refused):
                of_header(header)

    read()


@EXAMPLES
@pytest.mark.usefixtures("sealing")
def test_every_question_is_answered(tmp_path, world, examples):
    secret, credential = issued(world)[2].reveal(), verifying_credential(world).reveal()
    door = Door(tmp_path, credential)
    methods = st.sampled_from(["POST", "POST", "POST", "GET", "HEAD", "PUT"])
    paths = st.sampled_from([*ENDPOINTS, "/v1/other", "/"])
    codes = set()

    @fuzzing(examples)
    @given(paths, methods, BODIES, KINDS, OTHERS)
    def ask(path, method, body, kind, others):
        body = body.replace(KEY.encode(), secret.encode())
        sent = {name: value.replace(KEY, credential) for name, value in {"CONTENT_TYPE": kind, **others}.items()}
        answer = door.ask(path, body, method=method, **sent)
        told = answer.json if answer.body else {}
        codes.add(told.get("code"))
        # A gateway's own credential, not the client's input; the answer to HEAD cannot say so.
        assert answer.status < 500 or (path, told.get("code", "invalid_caller")) == GATEWAYS_OWN, (answer.status, told)
        assert secret not in answer.body.decode()
        assert credential not in answer.body.decode()

    ask()
    assert len(codes) > 3, "the questions were all alike"


@EXAMPLES
def test_the_quick_readers_say_nothing_or_read(examples):
    verdicts = QuickVerdicts.__new__(QuickVerdicts)  # their reading needs nothing of what they decide by
    verdicts._around = {}
    introspection = QuickIntrospection.__new__(QuickIntrospection)

    @fuzzing(examples)
    @given(BODIES)
    def read(body):
        plain = verdicts.read(body, {})
        # A text that may be escaped is no key's: nothing is found by it, and the careful way reads it again.
        if plain is not None and plain[0].replace(b"_", b"").isalnum():
            assert json.loads(body)["key"].encode() == plain[0]
        plain = introspection.read(body, {})
        if plain is not None:
            assert _token(body, FORM).encode() == plain[0]

    read()
