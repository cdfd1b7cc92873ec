"""The signatures of passkeys, verified with integers alone: known vectors, odd forms, and the same answers as a library."""

from __future__ import annotations

import hashlib
import random

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from audit import verify
from keys.crypto import cose
from keys.crypto.errors import Malformed, UnknownAlgorithm
from tests.authenticator import SoftAuthenticator

# RFC 6979, A.2.5: P-256 with SHA-256.
KEY = (
    0x60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6,
    0x7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299,
)
RFC_6979 = (
    (b"sample", 0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
     0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8),
    (b"test", 0xF1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367,
     0x019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083),
)  # fmt: skip
N, Q = verify._N, verify._Q


@pytest.mark.parametrize(("message", "r", "s"), RFC_6979)
def test_p256_verifies_the_vectors_of_the_rfc_and_nothing_beside_them(message, r, s):
    for check in (verify.plain_es256, verify.es256):
        assert check(*KEY, encode_dss_signature(r, s), message)
        assert check(
            *KEY, encode_dss_signature(r, N - s), message
        )  # malleable, as ECDSA is; nonces are what is single use
        assert not check(*KEY, encode_dss_signature(r, s), message + b".")
        for odd in ((r, s + 1), (r + 1, s), (0, s), (r, 0), (r + N, s), (r, s + N), (N, s), (r, N), (s, r), (1, 1)):
            assert not check(*KEY, encode_dss_signature(*odd), message), odd
        assert not check(KEY[0], KEY[1] ^ 1, encode_dss_signature(r, s), message)  # not on the curve
        assert not check(0, 0, encode_dss_signature(r, s), message)
        assert not check(KEY[0] + Q, KEY[1], encode_dss_signature(r, s), message)


def test_p256_reads_der_in_one_form_only():
    message, r, s = RFC_6979[0]
    good = encode_dss_signature(r, s)
    a, b = good[2 : 4 + good[3]], good[4 + good[3] :]
    odd = [
        good + b"\x00", good[:-1], b"", b"\x30", b"\x30\x00", b"\x31" + good[1:], good[:1] + b"\x81" + good[1:],
        b"\x30\x80" + a + b + b"\x00\x00", bytes([0x30, len(a) + len(b) + 1]) + b"\x02" + bytes([a[1] + 1]) + b"\x00" + a[2:] + b,
        bytes([0x30, len(a)]) + a, bytes([0x30, 2 * len(a) + len(b)]) + a + a + b, good[:2] + b"\x03" + good[3:],
        bytes([0x30, 4 + len(b)]) + b"\x02\x02" + b"\x80\x01" + b, bytes([0x30, 2 + len(b)]) + b"\x02\x00" + b,
    ]  # fmt: skip
    for each in odd:
        assert not verify.plain_es256(*KEY, each, message), each.hex()
        assert not verify.es256(*KEY, each, message), each.hex()


def test_p256_agrees_with_the_library_on_random_and_on_small_values():
    dice = random.Random(6)
    for number in range(12):
        private = ec.generate_private_key(ec.SECP256R1())
        public = private.public_key().public_numbers()
        message = dice.randbytes(40)
        signature = private.sign(message, ec.ECDSA(hashes.SHA256()))
        assert verify.plain_es256(public.x, public.y, signature, message)
        r, s = decode_dss_signature(signature)
        bent = (
            encode_dss_signature(r ^ (1 << dice.randrange(250)), s)
            if number % 2
            else signature[:-1] + bytes([signature[-1] ^ 1])
        )
        assert verify.plain_es256(public.x, public.y, bent, message) == verify.es256(public.x, public.y, bent, message)
    # The generator as key, and its negative: sums of equal and of opposite points.
    for scalar in (1, 2, N - 1, N - 2):
        private = ec.derive_private_key(scalar, ec.SECP256R1())
        public = private.public_key().public_numbers()
        signature = private.sign(b"edge", ec.ECDSA(hashes.SHA256()))
        assert verify.plain_es256(public.x, public.y, signature, b"edge")
        assert not verify.plain_es256(public.x, public.y, signature, b"edges")
        forged = encode_dss_signature(1, 1)
        assert verify.plain_es256(public.x, public.y, forged, b"edge") == verify.es256(
            public.x, public.y, forged, b"edge"
        )


def test_a_signature_that_meets_the_point_at_infinity_is_none():
    """u1*G + u2*Q = 0: r = -e/d has no point behind it, whatever s."""
    private = ec.derive_private_key(7, ec.SECP256R1())
    public = private.public_key().public_numbers()
    e = int.from_bytes(hashlib.sha256(b"nothing").digest(), "big")
    r = -e * pow(7, -1, N) % N
    for s in (1, 2, N - 1):
        for check in (verify.plain_es256, verify.es256):
            assert not check(public.x, public.y, encode_dss_signature(r, s), b"nothing")


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def test_rsa_agrees_with_the_library(rsa_key):
    numbers = rsa_key.public_key().public_numbers()
    signature = rsa_key.sign(b"message", padding.PKCS1v15(), hashes.SHA256())
    assert verify.rs256(numbers.n, numbers.e, signature, b"message")
    assert not verify.rs256(numbers.n, numbers.e, signature, b"another")
    assert not verify.rs256(
        numbers.n, numbers.e, rsa_key.sign(b"message", padding.PKCS1v15(), hashes.SHA512()), b"message"
    )
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    assert not verify.rs256(numbers.n, numbers.e, rsa_key.sign(b"message", pss, hashes.SHA256()), b"message")
    for odd in (b"", b"\x00" + signature, signature[1:], signature + b"\x00", b"\x00" * 256, b"\xff" * 256):
        assert not verify.rs256(numbers.n, numbers.e, odd, b"message")
    larger = int.from_bytes(signature, "big") + numbers.n
    if larger.bit_length() <= 2048:
        assert not verify.rs256(numbers.n, numbers.e, larger.to_bytes(256, "big"), b"message")


def _padded(rsa_key: rsa.RSAPrivateKey, padded: bytes) -> bytes:
    """Sign any padding at all, as a forger who found a lenient verifier would like to."""
    private = rsa_key.private_numbers()
    return pow(int.from_bytes(padded, "big"), private.d, private.public_numbers.n).to_bytes(256, "big")


def test_rsa_accepts_one_padding_only(rsa_key):
    numbers = rsa_key.public_key().public_numbers()
    digest, info = hashlib.sha256(b"message").digest(), verify._SHA256_INFO
    good = b"\x00\x01" + b"\xff" * 202 + b"\x00" + info + digest
    assert verify.rs256(numbers.n, numbers.e, _padded(rsa_key, good), b"message")
    without_null = bytes.fromhex("302f300b0609608648016503040201") + b"\x04\x20"
    for odd in (
        b"\x00\x02" + good[2:],
        b"\x00\x01"
        + b"\xff" * 8
        + b"\x00"
        + info
        + digest
        + b"\x00" * 194,  # Bleichenbacher 2006: the rest is not looked at
        b"\x00\x01" + b"\xff" * 201 + b"\xfe\x00" + info + digest,
        b"\x00\x01" + b"\xff" * 203 + info + digest,
        b"\x00\x01" + b"\xff" * (253 - len(without_null) - 32) + b"\x00" + without_null + digest,
        b"\x00\x01" + b"\xff" * 221 + b"\x00" + digest,
    ):
        assert len(odd) == 256
        assert not verify.rs256(numbers.n, numbers.e, _padded(rsa_key, odd), b"message"), odd[:4].hex()


def test_weak_rsa_keys_are_refused(rsa_key):
    numbers = rsa_key.public_key().public_numbers()
    signature = rsa_key.sign(b"message", padding.PKCS1v15(), hashes.SHA256())
    assert not verify.rs256(numbers.n, 1, signature, b"message")
    assert not verify.rs256(numbers.n, 3, signature, b"message")
    assert not verify.rs256(numbers.n, 65538, signature, b"message")
    assert not verify.rs256(numbers.n + 1, 65537, signature, b"message")
    assert not verify.rs256(numbers.n >> 1024, 65537, signature[:128], b"message")
    assert not verify.rs256(0, 65537, b"", b"message")


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
def test_a_passkeys_key_chooses_the_algorithm_with_and_without_the_library(algorithm, monkeypatch):
    device = SoftAuthenticator(algorithm=algorithm)
    key, signature = device.public_key(), device.sign(b"said")
    for has_library in (True, False):
        monkeypatch.setattr(verify, "HAS_CRYPTOGRAPHY", has_library)
        assert verify.signed_with(key, signature, b"said") == algorithm
        assert verify.signed_with(key, signature, b"unsaid") == ""
        assert verify.signed_with(key, b"", b"said") == ""
        for other in ("ES256", "EdDSA", "RS256"):
            if other != algorithm:
                assert verify.signed_with(SoftAuthenticator(algorithm=other).public_key(), signature, b"said") == ""


def test_keys_that_the_site_would_refuse_are_refused_here_too():
    """What enrols and what verifies years later must not differ about what a key is."""
    x, y = KEY[0].to_bytes(32, "big"), KEY[1].to_bytes(32, "big")
    ed = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    message, r, s = RFC_6979[0]
    signature = encode_dss_signature(r, s)
    good = {1: 2, 3: -7, -1: 1, -2: x, -3: y}
    assert verify.signed_with(cbor2.dumps(good), signature, message) == "ES256"
    odd = [
        good | {3: -8}, good | {1: 1}, good | {-1: 2}, good | {-2: x[1:]}, good | {-3: b"\x00" + y}, good | {-2: 1}, {}, {1: 2},
        {1: 1, 3: -8, -1: 4, -2: ed}, good | {-3: bytes(32)}, good | {3: -47},
    ]  # fmt: skip
    for each in odd:
        assert verify.signed_with(cbor2.dumps(each), signature, message) == ""
        with pytest.raises((Malformed, UnknownAlgorithm)):
            cose.parse_cose_key(cbor2.dumps(each))
    encoded = cbor2.dumps(good)
    for torn in (
        encoded[:-1],
        encoded + b"\x00",
        b"",
        b"\xbf" + encoded[1:] + b"\xff",
        b"\xa6" + encoded[1:] + b"\x01\x02",
        b"\x9f",
    ):
        assert verify.signed_with(torn, signature, message) == ""
        with pytest.raises(Malformed):
            cose.parse_cose_key(torn)


def test_random_bytes_are_no_key_and_crash_nothing():
    dice = random.Random(8)
    good = bytearray(SoftAuthenticator().public_key())
    for _ in range(3_000):
        bent = bytearray(good)
        for _ in range(dice.randrange(1, 4)):
            bent[dice.randrange(len(bent))] = dice.randrange(256)
        verify.signed_with(bytes(bent[: dice.randrange(1, len(bent) + 1)]), b"\x30\x06\x02\x01\x01\x02\x01\x01", b"")
