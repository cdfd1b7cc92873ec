"""Read the public key of a passkey (COSE_Key, RFC 9052 section 7) and verify a signature with it.

Only what such a key can hold is read: one CBOR map from whole numbers to whole numbers, bytes or text. Stands
alone beside `cryptography`.
"""

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from keys.crypto.errors import Malformed, UnknownAlgorithm

ES256: Final = -7
EDDSA: Final = -8
RS256: Final = -257
ALGORITHM_NAMES: Final = {ES256: "ES256", EDDSA: "EdDSA", RS256: "RS256"}
_KTY, _ALG, _CRV, _X, _Y = 1, 3, -1, -2, -3
_RSA_N, _RSA_E = -1, -2
_OKP, _EC2, _RSA = 1, 2, 3
_P256, _ED25519 = 1, 6
_LARGEST: Final = 2048
_SMALLEST_RSA: Final = 2048
_LARGEST_RSA: Final = 8192

CoseValue = int | bytes | str


@dataclass(frozen=True, kw_only=True, slots=True)
class CosePublicKey:
    """A public key and the one algorithm it may be used with; the signature never chooses."""

    algorithm: int
    key: ec.EllipticCurvePublicKey | Ed25519PublicKey | rsa.RSAPublicKey

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Say whether the holder of the private key signed the message."""
        try:
            if isinstance(self.key, Ed25519PublicKey):
                self.key.verify(signature, message)
            elif isinstance(self.key, ec.EllipticCurvePublicKey):
                self.key.verify(signature, message, ec.ECDSA(SHA256()))
            else:
                self.key.verify(signature, message, padding.PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        return True


def parse_cose_key(encoded: bytes) -> CosePublicKey:
    """Read an ES256 (P-256), EdDSA (Ed25519) or RS256 (2048 bits and more) public key.

    All else is refused.
    """
    fields = _read_map(encoded)
    algorithm = fields.get(_ALG)
    try:
        if algorithm == ES256:
            _require(fields, {_KTY: _EC2, _CRV: _P256})
            numbers = ec.EllipticCurvePublicNumbers(
                int.from_bytes(_bytes(fields, _X, 32), "big"),
                int.from_bytes(_bytes(fields, _Y, 32), "big"),
                ec.SECP256R1(),
            )
            return CosePublicKey(algorithm=ES256, key=numbers.public_key())
        if algorithm == EDDSA:
            _require(fields, {_KTY: _OKP, _CRV: _ED25519})
            return CosePublicKey(algorithm=EDDSA, key=Ed25519PublicKey.from_public_bytes(_bytes(fields, _X, 32)))
        if algorithm == RS256:
            _require(fields, {_KTY: _RSA})
            modulus = int.from_bytes(_bytes(fields, _RSA_N), "big")
            exponent = int.from_bytes(_bytes(fields, _RSA_E), "big")
            if not _SMALLEST_RSA <= modulus.bit_length() <= _LARGEST_RSA or not 65537 <= exponent < 2**32:
                raise Malformed("cose_key")
            return CosePublicKey(algorithm=RS256, key=rsa.RSAPublicNumbers(exponent, modulus).public_key())
    except ValueError:
        # A point that is not on the curve, an even modulus.
        raise Malformed("cose_key") from None
    raise UnknownAlgorithm("a passkey signs with ES256, EdDSA or RS256")


def _require(fields: dict[int, CoseValue], expected: dict[int, int]) -> None:
    if any(fields.get(label) != value for label, value in expected.items()):
        raise Malformed("cose_key")


def _bytes(fields: dict[int, CoseValue], label: int, length: int | None = None) -> bytes:
    value = fields.get(label)
    if not isinstance(value, bytes) or not value or (length is not None and len(value) != length):
        raise Malformed("cose_key")
    return value


def _read_map(encoded: bytes) -> dict[int, CoseValue]:
    if not 0 < len(encoded) <= _LARGEST:
        raise Malformed("cose_key")
    major, pairs, position = _read_head(encoded, 0)
    if major != 5 or pairs > 16:
        raise Malformed("cose_key")
    fields: dict[int, CoseValue] = {}
    for _ in range(pairs):
        label, position = _read_item(encoded, position)
        value, position = _read_item(encoded, position)
        if not isinstance(label, int) or label in fields:
            raise Malformed("cose_key")
        fields[label] = value
    if position != len(encoded):
        raise Malformed("cose_key")
    return fields


def _read_item(encoded: bytes, position: int) -> tuple[CoseValue, int]:
    major, argument, position = _read_head(encoded, position)
    if major == 0:
        return argument, position
    if major == 1:
        return -1 - argument, position
    if major not in (2, 3) or position + argument > len(encoded):
        raise Malformed("cose_key")
    body = encoded[position : position + argument]
    try:
        return (body if major == 2 else body.decode()), position + argument
    except UnicodeDecodeError:
        raise Malformed("cose_key") from None


def _read_head(encoded: bytes, position: int) -> tuple[int, int, int]:
    """Return major type, argument and the position after it (RFC 8949, section 3); no indefinite lengths."""
    if position >= len(encoded):
        raise Malformed("cose_key")
    major, short = encoded[position] >> 5, encoded[position] & 0x1F
    position += 1
    if short < 24:
        return major, short, position
    length = {24: 1, 25: 2, 26: 4}.get(short)
    if length is None or position + length > len(encoded):
        raise Malformed("cose_key")
    return major, int.from_bytes(encoded[position : position + length], "big"), position + length
