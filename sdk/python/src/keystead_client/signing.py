"""Sign requests by RFC 9421 in Keystead's one profile: what is signed, in which order, is fixed, so nothing can be chosen badly."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from binascii import b2a_base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import urlsplit

from keystead_client.credentials import AnyCredential, as_credential
from keystead_client.ed25519 import signer_of
from keystead_client.errors import MalformedKey
from keystead_client.key_text import SECRET_PATTERN, parse
from keystead_client.signature_profile import (
    DEFAULT_PORTS,
    ED25519,
    HMAC_SHA256,
    LABEL,
    TAG,
    WITH_BODY,
    WITHOUT_BODY,
    list_of,
)

_WITHOUT_BODY: Final = list_of(WITHOUT_BODY)
_WITH_BODY: Final = list_of(WITH_BODY)
_ASCII: Final = frozenset(map(chr, range(0x20, 0x7F)))
CLOCK_FAULTS: Final = ("signature_expired", "signature_in_future")
# More is no clock that is wrong: whoever could have requests signed for another day would keep them until they are good.
LARGEST_SHIFT_SECONDS: Final = 24 * 60 * 60
MOST_CLOCKS: Final = 1000


@dataclass(kw_only=True, repr=False, slots=True)
class SignedRequest:
    """A signed request as a service received it, for `verify_signature` of any verifier.

    `headers` are in lower case, each with every value that came; `path` and `query` as they were on the wire. Give the `body`,
    or, of one that is not held whole, the `body_digest` that you computed over what came (`content_digest`): never the
    client's own header. Neither means that there was no body.
    """

    method: str
    authority: str
    path: str
    query: str = ""
    scheme: str = "https"
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    body: bytes = b""
    body_digest: str = ""

    @property
    def received_digest(self) -> str:
        """What the header Content-Digest must say; empty when there was no body."""
        return content_digest(self.body) if self.body else self.body_digest

    def as_json(self) -> dict[str, Any]:
        """Write what `/v1/verify-signature` reads; the body itself stays here, its digest is made from what was received."""
        wanted = ("signature-input", "signature", "content-type", "content-digest")
        return {
            "method": self.method,
            "scheme": self.scheme,
            "authority": self.authority,
            "path": self.path,
            "query": self.query,
            "headers": {name: _lines(self.headers[name]) for name in wanted if self.headers.get(name)},
            "body_digest": self.received_digest or None,
        }


class Signer:
    """Signs requests with an HMAC secret or an Ed25519 key. Thread-safe; make one with `hmac` or `ed25519`."""

    def __init__(self, key: Callable[[], tuple[str, Callable[[bytes], bytes]]], algorithm: str) -> None:
        self._key, self._algorithm = key, algorithm
        # Of each host's clock to ours, learnt from its refusals; replaced and never changed, for the sake of other threads.
        self._offsets: dict[str, int] = {}

    @classmethod
    def hmac(cls, credential: AnyCredential) -> Self:
        """Sign with a key of the kind `hmac-sha256`, whose text never travels. A RotatingCredential may be given."""
        known = as_credential(credential)

        def key() -> tuple[str, Callable[[bytes], bytes]]:
            secret = known.current()
            return parse(secret).kid, lambda message: hmac.digest(secret.reveal().encode(), message, "sha256")

        return cls(key, HMAC_SHA256)

    @classmethod
    def ed25519(cls, private_key_pem: bytes | str, *, keyid: str) -> Self:
        """Sign with your own private key; Keystead knows only its public half, under the kid `keyid`."""
        sign = signer_of(private_key_pem)
        return cls(lambda: (keyid, sign), ED25519)

    def sign(
        self, method: str, url: str, *, body: bytes = b"", content_type: str = "", nonce: str = "", created: int = 0
    ) -> dict[str, str]:
        """Return the headers to add. `url` and `body` must be what goes over the wire, byte for byte.

        A retry is signed anew: a signature is accepted once. `nonce` and `created` are for test vectors.
        """
        keyid, sign = self._key()
        lines = _target_lines(method, url)
        created = created or int(time.time()) + self._offsets.get(_authority(url), 0)
        parameters = (
            f';created={created};keyid="{keyid}";alg="{self._algorithm}"'
            f';nonce="{nonce or secrets.token_urlsafe(16)}";tag="{TAG}"'
        )
        headers = {"Content-Digest": content_digest(body)} if body else {}
        covered = (_WITH_BODY if body else _WITHOUT_BODY) + parameters
        if body:
            lines += [
                ("content-type", (content_type or "application/octet-stream").strip()),
                ("content-digest", headers["Content-Digest"]),
            ]
            headers["Content-Type"] = content_type or "application/octet-stream"
        base = signature_base(lines, covered)
        return {
            **headers,
            "Signature-Input": f"{LABEL}={covered}",
            "Signature": f"{LABEL}=:{base64.b64encode(sign(base)).decode()}:",
        }

    def learn_time(self, url: str, *, code: str, server_time: object) -> bool:
        """Correct the clock for the host of `url` after its refusal about time; whether signing once more makes sense."""
        if code not in CLOCK_FAULTS or type(server_time) is not int:
            return False
        shift = server_time - int(time.time())
        if abs(shift) > LARGEST_SHIFT_SECONDS:
            return False
        newest = list(self._offsets.items())[1 - MOST_CLOCKS :]
        self._offsets = {**dict(newest), _authority(url): shift}
        return True


def _lines(header: Sequence[str]) -> list[str]:
    return [header] if isinstance(header, str) else list(header)  # a text is a sequence of letters too


def content_digest(body: bytes) -> str:
    """Write the digest of a body by RFC 9530."""
    return f"sha-256=:{b2a_base64(hashlib.sha256(body).digest(), newline=False).decode()}:"


def signature_base(lines: Sequence[tuple[str, str]], covered: str) -> bytes:
    """Write the bytes that are signed (RFC 9421, 2.5)."""
    for name, value in lines:
        if not _ASCII.issuperset(value):
            raise ValueError(f"{name} holds characters that cannot be signed; encode them as the wire does")
    return "\n".join([f'"{name}": {value}' for name, value in lines] + [f'"@signature-params": {covered}']).encode()


def _target_lines(method: str, url: str) -> list[tuple[str, str]]:
    if SECRET_PATTERN.search(url):
        raise MalformedKey("A key stands in the address, where logs and histories keep it.", code="key_in_address")
    parts = urlsplit(url)
    return [
        ("@method", method.upper()),
        ("@authority", _authority(url)),
        ("@path", parts.path or "/"),
        ("@query", f"?{parts.query}"),
    ]


def _authority(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2].lower().removesuffix(DEFAULT_PORTS.get(parts.scheme, ":"))
