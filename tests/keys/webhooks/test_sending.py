"""One attempt: signed as the standard says, into no private network, and over in time."""

import socket
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import requests
from standardwebhooks import Webhook, WebhookVerificationError

from keys.errors import Invalid
from keys.webhooks import sending
from keys.webhooks.addresses import checked_address, place_of
from keys.webhooks.guard import guarded_session
from keys.webhooks.secrets import mint
from keys.webhooks.sending import Answer, Parcel, safe_text, send
from tests.keys.webhooks.receivers import receiving

BODY = '{"type":"key.revoked","data":{"uid":"1"}}'
SECRET = mint()


pytestmark = pytest.mark.usefixtures("loopback")


def parcel(url: str, *, secrets: Any = (SECRET,)) -> Parcel:
    return Parcel(
        delivery_id=uuid4(),
        endpoint_id=uuid4(),
        message_id="msg_1",
        action="key.revoked",
        url=url,
        body=BODY,
        secrets=secrets,
        attempt=1,
        lease_until=datetime.now(tz=UTC),
    )


def test_a_receiver_verifies_it_with_the_library_of_the_standard() -> None:
    with receiving() as receiver:
        answer = send(parcel(receiver.url))
    assert (answer.outcome, answer.status_code) == ("accepted", 204)
    (came,) = receiver.came
    assert Webhook(SECRET.reveal()).verify(came.body, came.headers)["type"] == "key.revoked"
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET.reveal()).verify(came.body + " ", came.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(mint().reveal()).verify(came.body, came.headers)
    assert not {"x-forwarded-for", "cookie", "authorization"} & set(came.headers)


def test_while_a_secret_is_replaced_both_verify() -> None:
    old, new = mint(), mint()
    with receiving() as receiver:
        send(parcel(receiver.url, secrets=(new, old)))
    (came,) = receiver.came
    assert came.headers["webhook-signature"].count("v1,") == 2
    for secret in (old, new):
        Webhook(secret.reveal()).verify(came.body, came.headers)


def test_without_a_secret_nothing_is_sent() -> None:
    with receiving() as receiver:
        assert send(parcel(receiver.url, secrets=())) == Answer(outcome="secret-unreadable")
    assert receiver.came == []


@pytest.mark.parametrize(
    ("status", "outcome"), [(200, "accepted"), (302, "redirected"), (404, "refused"), (410, "gone"), (503, "refused")]
)
def test_the_status_is_the_answer_and_a_redirect_is_not_followed(status: int, outcome: str) -> None:
    with receiving() as receiver, receiving() as elsewhere:
        receiver.status, receiver.headers = status, {"Location": elsewhere.url}
        assert send(parcel(receiver.url)).outcome == outcome
        assert elsewhere.came == []


def test_little_of_an_answer_is_read_and_less_is_kept() -> None:
    with receiving() as receiver:
        receiver.status, receiver.says = 500, b"<b>No\x00\n\r" + b"x" * 10_000_000
        answer = send(parcel(receiver.url))
    assert answer.text.startswith("<b>No x")
    assert len(answer.text) == 200


@pytest.mark.parametrize("said", [b"got ghp_" + b"a" * 40, b"your secret is whsec_abc", b"-----BEGIN PRIVATE KEY-----"])
def test_an_answer_that_seems_to_hold_a_secret_is_not_kept(said: bytes) -> None:
    assert safe_text(said) == "(withheld)"


def test_nobody_there_a_slow_one_and_one_that_trickles(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver:
        pass
    assert send(parcel(receiver.url)).outcome == "unreachable"
    monkeypatch.setattr(sending, "LONGEST_SECONDS", 0.4)
    with receiving() as receiver:
        receiver.delay = 2
        slow = send(parcel(receiver.url))
        receiver.delay, receiver.trickles = 0, True  # each byte comes in time, so that no single read times out
        trickling = send(parcel(receiver.url))
    assert (slow.outcome, trickling.outcome) == ("timed-out", "timed-out")
    assert slow.latency_ms < 1500
    assert trickling.latency_ms < 1500


PRIVATE = [
    "https://127.0.0.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://0/",
    "https://0.0.0.0/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:169.254.169.254]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b:1::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:808:808::]/",
    "https://[fd00::1]/",
    "https://[fe80::1]/",
    "https://[fec0::1]/",
    "https://169.254.169.254/latest/meta-data/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://192.0.0.8/",
    "https://224.0.0.1/",
    "https://localhost/",
]


@pytest.mark.parametrize("url", PRIVATE)
def test_an_address_of_our_own_network_is_refused_when_it_is_typed_and_when_it_is_sent_to(
    settings: Any, url: str
) -> None:
    settings.KEYSTEAD_WEBHOOK_LOOPBACK = False
    with pytest.raises(Invalid) as refused:
        checked_address(url)
    assert refused.value.fields["url"][0] == "address_not_public"
    assert send(parcel(url)).outcome == "address-refused"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://hooks.example.com/", "https_only"),
        ("https://user:word@hooks.example.com/", "address_without_sign_in"),
        ("https://hooks.example.com/#part", "address_without_sign_in"),
        ("ftp://hooks.example.com/", "not_a_web_address"),
        ("file:///etc/passwd", "not_a_web_address"),
        ("https://hooks.example.com:99999/", "not_a_web_address"),
        ("https://hooks.example.com:0/", "not_a_web_address"),
        ("https://hooks.example.com\\@127.0.0.1/", "not_a_web_address"),
        ("https://a b.example.com/", "not_a_web_address"),
        ("https:///path", "not_a_web_address"),
        ("https://[::1", "not_a_web_address"),
        ("https://intranet/", "address_not_public"),
        ("https://höoks.example.com/", "address_not_public"),
        ("", "required"),
        ("https://hooks.example.com/" + "x" * 500, "too_long"),
    ],
)
def test_what_is_no_public_https_address_is_refused(url: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        checked_address(url)
    assert refused.value.fields["url"][0] == code


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/keystead?team=a",
        "https://hooks.example.com:8443/",
        "https://8.8.8.8/",
        "https://xn--hks-5qa.example/",
    ],
)
def test_public_addresses_are_taken(settings: Any, url: str) -> None:
    settings.KEYSTEAD_WEBHOOK_LOOPBACK = False
    assert checked_address(url) == url


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Let every name resolve to these addresses; returns the names that were asked for."""
    asked: list[str] = []

    def answer(host: str, *_: object, **__: object) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 0)) for each in answers]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked


@pytest.mark.parametrize("answers", [("10.0.0.7",), ("93.184.216.34", "127.0.0.1"), ("169.254.169.254",)])
def test_a_name_that_leads_into_our_network_is_refused_whatever_else_it_says(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[str, ...]
) -> None:
    resolving(monkeypatch, *answers)
    assert send(parcel("https://hooks.example.com/")).outcome == "address-refused"


def test_the_address_that_was_judged_is_the_one_that_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolving(monkeypatch, "93.184.216.34")
    with guarded_session(loopback=False) as session:
        adapter: Any = session.get_adapter("https://hooks.example.com/")
        request = requests.Request("POST", "https://hooks.example.com/").prepare()
        host, lines = adapter.build_connection_pool_key_attributes(request, True)
    assert host["host"] == "93.184.216.34"
    assert (lines["server_hostname"], lines["assert_hostname"]) == ("hooks.example.com", "hooks.example.com")
    assert asked == ["hooks.example.com"]


def test_plain_http_reaches_nobody_but_this_machine(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "93.184.216.34")
    assert send(parcel("http://hooks.example.com/")).outcome == "address-refused"
    settings.KEYSTEAD_WEBHOOK_LOOPBACK = False
    assert send(parcel("http://127.0.0.1:1/")).outcome == "address-refused"


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver, receiving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert send(parcel(receiver.url)).outcome == "accepted"
        assert proxy.came == []


def test_the_path_of_an_address_is_not_shown_to_everybody() -> None:
    assert place_of("https://hooks.example.com/T0/secret?x=1") == "https://hooks.example.com/…"
    assert place_of("https://hooks.example.com") == "https://hooks.example.com/"
