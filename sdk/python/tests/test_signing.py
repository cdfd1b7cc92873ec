"""Signatures are byte for byte those of the vectors, which the portal's own verifier reads too."""

import re
import time

import httpx2
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fake_keystead import problem, vectors
from keystead_client import MalformedKey, Signer, Unsafe
from keystead_client.httpx_auth import SignatureAuth as HttpxSignatureAuth
from keystead_client.requests_auth import SignatureAuth

CASES = vectors("signed_requests")
SECRET = CASES["keys"]["hmac"]["secret"]
PAIR = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(CASES["keys"]["pair"]["private_seed_hex"]))
PEM = PAIR.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
SIGNERS = {"hmac": Signer.hmac(SECRET), "pair": Signer.ed25519(PEM, keyid=CASES["keys"]["pair"]["kid"])}


@pytest.mark.parametrize("case", CASES["accepted"], ids=lambda case: case["name"])
def test_a_request_is_signed_as_the_vectors_say(case):
    request, headers = case["request"], case["request"]["headers"]
    created, nonce = re.search(r'created=(\d+).*nonce="([^"]+)"', headers["signature-input"]).groups()
    url = f"{request['scheme']}://{request['authority']}{request['path']}" + (
        f"?{request['query']}" if request["query"] else ""
    )
    signed = SIGNERS[case["key"]].sign(
        request["method"], url, body=request["body"].encode(), content_type=headers.get("content-type", ""),
        nonce=nonce, created=int(created),
    )  # fmt: skip
    assert {name.lower(): value.strip() for name, value in signed.items()} == {
        name: value.strip() for name, value in headers.items() if request["body"] or not name.startswith("content")
    }


def test_every_attempt_has_a_nonce_of_its_own():
    signer = SIGNERS["hmac"]
    assert len({signer.sign("GET", "https://api.example.com/")["Signature"] for _ in range(50)}) == 50
    nonce = re.search(r'nonce="([^"]+)"', signer.sign("GET", "https://api.example.com/")["Signature-Input"])[1]
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", nonce)


def test_a_private_key_may_be_read_as_text():
    assert Signer.ed25519(PEM.decode(), keyid="x").sign("GET", "https://api.example.com/")


def test_what_cannot_be_signed_is_refused():
    with pytest.raises(ValueError, match="@path"):
        SIGNERS["hmac"].sign("GET", "https://api.example.com/caf\N{LATIN SMALL LETTER E WITH ACUTE}")
    with pytest.raises(MalformedKey):
        SIGNERS["hmac"].sign("GET", f"https://api.example.com/?key={SECRET}")
    with pytest.raises(MalformedKey):
        Signer.hmac("not a key").sign("GET", "https://api.example.com/")
    with pytest.raises((Unsafe, ValueError)):
        Signer.ed25519(b"-----BEGIN PUBLIC KEY-----", keyid="x")


@pytest.mark.parametrize("library", ["requests", "httpx2"])
@pytest.mark.parametrize("body", [b"", b'{"a":1}'])
def test_libraries_sign_what_they_send_and_learn_the_time_once(keystead, library, body):
    signer, theirs = Signer.hmac(SECRET), int(time.time()) + 3600

    def door(asked):
        created = int(re.search(r"created=(\d+)", asked.headers["signature-input"])[1])
        if created < theirs - 60:
            return problem("signature_expired", 401, server_time=theirs)
        return 200, {"bearer": asked.bearer}

    keystead.on("POST /x?b=2&a=%20", door)
    url = f"{keystead.url}/x?b=2&a=%20"
    headers = {"Content-Type": "application/json"} if body else {}
    if library == "requests":
        answers = [
            requests.post(url, data=body, headers=headers, auth=SignatureAuth(signer), timeout=60) for _ in range(2)
        ]
    else:
        answers = [httpx2.post(url, content=body, headers=headers, auth=HttpxSignatureAuth(signer)) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len(keystead.asked) == 3  # the first was signed once more; then the clock was known
    for asked in keystead.asked:
        assert asked.bearer == ""
        assert ("content-digest" in asked.headers) == bool(body)
        nonce, created = re.search(r'created=(\d+).*nonce="([^"]+)"', asked.headers["signature-input"]).groups()[::-1]
        again = signer.sign(
            "POST", url, body=body, content_type="application/json" if body else "", nonce=nonce, created=int(created)
        )
        assert again["Signature"] == asked.headers["signature"]


def test_a_clock_that_stays_wrong_is_not_tried_for_ever(keystead):
    keystead.on("GET /x", problem("signature_expired", 401, server_time=int(time.time()) - 3600))
    assert requests.get(f"{keystead.url}/x", auth=SignatureAuth(Signer.hmac(SECRET)), timeout=60).status_code == 401
    assert len(keystead.asked) == 2


def created_for(signer, url):
    return int(re.search(r"created=(\d+)", signer.sign("GET", url)["Signature-Input"])[1])


def test_a_host_sets_the_clock_for_itself_alone():
    """Else one host could have the requests for another refused, or signed for a time that has not come."""
    signer, now = Signer.hmac(SECRET), int(time.time())
    assert signer.learn_time("https://Wrong.example.com:443/a", code="signature_expired", server_time=now + 3600)
    assert created_for(signer, "https://wrong.example.com/b?c=d") >= now + 3600
    for other in ("https://api.example.com/", "https://wrong.example.com:8443/", "http://wrong.example.com:443/"):
        assert created_for(signer, other) < now + 60, other


def test_a_clock_that_nobody_can_have_is_not_learnt():
    signer, now = Signer.hmac(SECRET), int(time.time())
    url = "https://api.example.com/"
    for told in (now + 90_000, now - 90_000, 0, 4_000_000_000, 10**400, True, float(now), None):
        assert not signer.learn_time(url, code="signature_expired", server_time=told), told
        assert abs(created_for(signer, url) - now) < 60, told


def test_a_client_of_very_many_hosts_remembers_the_newest_clocks():
    signer, now = Signer.hmac(SECRET), int(time.time())
    for number in range(1100):
        signer.learn_time(f"https://{number}.example.com/", code="signature_in_future", server_time=now - 3600)
    shifted = [number for number in range(1100) if created_for(signer, f"https://{number}.example.com/") < now - 60]
    assert shifted == list(range(100, 1100))
