"""Be a passkey in software: make a credential and sign challenges, as a browser would hand them over."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa


def text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


class SoftAuthenticator:
    """One credential on one device, with user verification."""

    def __init__(
        self, origin: str = "http://localhost:8000", rp_id: str = "localhost", algorithm: str = "ES256"
    ) -> None:
        self.origin, self.rp_id, self.algorithm = origin, rp_id, algorithm
        self.key: Any = {
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
            "RS256": lambda: rsa.generate_private_key(65537, 2048),
        }[algorithm]()
        self.credential_id = os.urandom(32)
        self.sign_count = 0
        self.flags = 0x05  # present and verified

    def create(self, options: dict[str, Any]) -> str:
        """Answer `navigator.credentials.create`."""
        attested = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + self.public_key()
        authenticator_data = self._head(self.flags | 0x40) + attested
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": authenticator_data})
        return self._answer(
            clientDataJSON=text(self._client_data("webauthn.create", options["challenge"])),
            attestationObject=text(attestation),
            transports=["internal"],
        )

    def get(self, options: dict[str, Any], **changes: Any) -> str:
        """Answer `navigator.credentials.get`; `changes` alter the client data, as an attacker would."""
        self.sign_count += 1
        client_data = self._client_data("webauthn.get", options["challenge"], **changes)
        authenticator_data = self._head(self.flags)
        signed = authenticator_data + hashlib.sha256(client_data).digest()
        return self._answer(
            clientDataJSON=text(client_data),
            authenticatorData=text(authenticator_data),
            signature=text(self.sign(signed)),
        )

    def public_key(self) -> bytes:
        """Return the public key as COSE."""
        public = self.key.public_key()
        if self.algorithm == "EdDSA":
            return cbor2.dumps({1: 1, 3: -8, -1: 6, -2: public.public_bytes_raw()})
        numbers = public.public_numbers()
        if self.algorithm == "RS256":
            return cbor2.dumps({1: 3, 3: -257, -1: numbers.n.to_bytes(256, "big"), -2: b"\x01\x00\x01"})
        return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")})

    def sign(self, message: bytes) -> bytes:
        """Sign, with whatever the key is."""
        if self.algorithm == "EdDSA":
            return bytes(self.key.sign(message))
        if self.algorithm == "RS256":
            return bytes(self.key.sign(message, padding.PKCS1v15(), hashes.SHA256()))
        return bytes(self.key.sign(message, ec.ECDSA(hashes.SHA256())))

    def _head(self, flags: int) -> bytes:
        return hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags]) + self.sign_count.to_bytes(4, "big")

    def _client_data(self, kind: str, offered: str, **changes: Any) -> bytes:
        said = {"type": kind, "challenge": offered, "origin": self.origin, "crossOrigin": False} | changes
        return json.dumps(said).encode()

    def _answer(self, **response: Any) -> str:
        identity = text(self.credential_id)
        return json.dumps(
            {
                "id": identity,
                "rawId": identity,
                "type": "public-key",
                "response": response,
                "clientExtensionResults": {},
            }
        )
