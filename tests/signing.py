"""Sign requests as a client does, by the text of the profile and without a line of Keystead's own."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Sign = Callable[[bytes], bytes]


def by_hmac(secret: str) -> Sign:
    """Sign with a shared secret: the bytes of the whole key text."""
    return lambda base: hmac.digest(secret.encode(), base, "sha256")


def by_pair(private_key: Ed25519PrivateKey) -> Sign:
    """Sign with a private key."""
    return private_key.sign


def pem_of(private_key: Ed25519PrivateKey) -> str:
    """Write the public half as a client sends it."""
    return private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def digest_of(body: bytes) -> str:
    """Write the header Content-Digest."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


@dataclass(kw_only=True)
class Call:
    """A request that a client is about to sign."""

    method: str = "GET"
    authority: str = "api.example.com"
    path: str = "/"
    query: str = ""
    body: bytes = b""
    content_type: str = "application/json"
    extra: dict[str, str] = field(default_factory=dict)

    def signed(self, sign: Sign, *, kid: str, algorithm: str, created: int, nonce: str = "") -> dict[str, str]:
        """Return the headers that a client adds."""
        lines = [
            f'"@method": {self.method}',
            f'"@authority": {self.authority.lower()}',
            f'"@path": {self.path}',
            f'"@query": ?{self.query}',
        ]
        headers = dict(self.extra)
        if self.body:
            headers |= {"content-type": self.content_type, "content-digest": digest_of(self.body)}
            lines += [f'"content-type": {self.content_type}', f'"content-digest": {digest_of(self.body)}']
        covered = " ".join(line.partition(":")[0] for line in lines)
        parameters = (
            f'({covered});created={created};keyid="{kid}";alg="{algorithm}"'
            f';nonce="{nonce or secrets.token_urlsafe(16)}";tag="keystead-v1"'
        )
        base = "\n".join([*lines, f'"@signature-params": {parameters}'])
        signature = base64.b64encode(sign(base.encode())).decode()
        return headers | {"signature-input": f"keystead={parameters}", "signature": f"keystead=:{signature}:"}
