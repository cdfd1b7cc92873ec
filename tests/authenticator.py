"""Be a passkey in software: make a credential and sign challenges, as a browser would hand them over."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec


def text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


class SoftAuthenticator:
    """One credential on one device, with user verification."""

    def __init__(self, origin: str = "http://localhost:8000", rp_id: str = "localhost") -> None:
        self.origin, self.rp_id = origin, rp_id
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.credential_id = os.urandom(32)
        self.sign_count = 0
        self.flags = 0x05  # present and verified

    def create(self, options: dict[str, Any]) -> str:
        """Answer `navigator.credentials.create`."""
        numbers = self.key.public_key().public_numbers()
        public_key = cbor2.dumps(
            {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        )
        attested = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + public_key
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
            signature=text(self.key.sign(signed, ec.ECDSA(hashes.SHA256()))),
        )

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
