"""Read a signed request and write its signature base (RFC 9421, section 2.5).

One regular expression accepts the one spelling of the profile, so that the text that was sent is its own canonical form
and nothing is parsed to be written again. Whatever it does not accept is refused; `diagnosis` only finds the words.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from keys.signatures.diagnosis import CREATED, KEYID, NONCE, SIGNATURES, fault_of_input, fault_of_signature
from keys.signatures.profile import (
    DEFAULT_PORTS,
    LABEL,
    LONGEST_HEADER,
    LONGEST_TARGET,
    TAG,
    WITH_BODY,
    WITHOUT_BODY,
    Algorithm,
    Fault,
    MalformedSignature,
)

Header = str | Sequence[str] | None
HEADERS: Final = ("signature-input", "signature", "content-type", "content-digest")


def _list_of(components: tuple[str, ...]) -> str:
    return "(" + " ".join(f'"{each}"' for each in components) + ")"


_BARE: Final = f"{LABEL}={_list_of(WITHOUT_BODY)};"
_FULL: Final = f"{LABEL}={_list_of(WITH_BODY)};"
_AFTER_LABEL: Final = len(LABEL) + 1
_ALGORITHMS: Final = "|".join(Algorithm)
_PARAMETERS: Final = re.compile(
    rf'created=({CREATED});keyid="({KEYID})";alg="({_ALGORITHMS})";nonce="({NONCE})";tag="{TAG}"', re.ASCII
)
_TARGET: Final = re.compile(
    r'"@method": [A-Z]{1,20}\n"@authority": [a-z0-9.:\[\]_-]+\n"@path": /[!-"$->@-~]*\n"@query": \?[!-"$-~]*\n',
    re.ASCII,
)
_ANY_DEFAULT_PORT: Final = tuple(DEFAULT_PORTS.values())
_CONTENT_DIGEST: Final = re.compile(r"sha-256=:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=:", re.ASCII)


@dataclass(slots=True)
class SignedRequest:
    """A request as the one who received it saw it.

    `query` stands without its question mark. `body_digest` is what the receiver computed of the bytes that came (see
    `content_digest`), None when there were none: never the header that the client sent.
    """

    method: str
    authority: str
    path: str
    query: str
    headers: Mapping[str, Header]
    body_digest: str | None = None
    scheme: str = "https"


class Presented(NamedTuple):
    """A signature in its right form, about a request: nothing says yet whether it is true."""

    kid: str
    algorithm: str
    created: int
    nonce: str
    base: bytes
    signature: str


def content_digest(body: bytes) -> str:
    """Write the digest of a body as the header Content-Digest does (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode('ascii')}:"


def is_content_digest(text: str) -> bool:
    """Whether a text is what `content_digest` writes."""
    return bool(_CONTENT_DIGEST.fullmatch(text))


def read_signed(request: SignedRequest) -> Presented:
    """Read the signature of a request; raises MalformedSignature for whatever is not the one form."""
    headers, body_digest = request.headers, request.body_digest
    written, signature = headers.get("signature-input"), headers.get("signature")
    if type(written) is not str or type(signature) is not str or not written or not signature:
        written, signature = _one(written), _one(signature)
    prefix = _BARE if body_digest is None else _FULL
    match = _PARAMETERS.fullmatch(written, len(prefix)) if written.startswith(prefix) else None
    if match is None or len(written) > LONGEST_HEADER:
        raise MalformedSignature(fault_of_input(written, has_body=body_digest is not None))
    created, kid, algorithm, nonce = match.groups()
    if not SIGNATURES[algorithm].fullmatch(signature):
        raise MalformedSignature(fault_of_signature(signature))
    body = "" if body_digest is None else _body(headers, body_digest)
    base = f'{_target(request)}{body}"@signature-params": {written[_AFTER_LABEL:]}'
    return Presented(kid, algorithm, int(created), nonce, base.encode("ascii"), signature)


def _one(header: Header) -> str:
    """The one line of a header: a list that holds another number of lines was sent twice, or joined from two."""
    if header is None or header == "":
        raise MalformedSignature(Fault.HEADER_MISSING)
    if isinstance(header, str):
        return header
    if len(header) != 1:
        raise MalformedSignature(Fault.HEADER_REPEATED if header else Fault.HEADER_MISSING)
    return _one(header[0])


def _target(request: SignedRequest) -> str:
    authority = request.authority.lower()
    if authority.endswith(_ANY_DEFAULT_PORT) and authority.endswith(DEFAULT_PORTS.get(request.scheme, "\n")):
        authority = authority[: authority.rindex(":")]
    target = f'"@method": {request.method}\n"@authority": {authority}\n"@path": {request.path or "/"}\n"@query": ?{request.query}\n'
    # No value may hold a line break: one component would speak for the next.
    if not _TARGET.fullmatch(target) or len(target) > LONGEST_TARGET:
        raise MalformedSignature(Fault.TARGET)
    return target


def _body(headers: Mapping[str, Header], body_digest: str) -> str:
    content_type, told = headers.get("content-type"), headers.get("content-digest")
    if type(content_type) is not str or type(told) is not str:
        content_type, told = _one_of_body(content_type, Fault.CONTENT_TYPE), _one_of_body(told, Fault.CONTENT_DIGEST)
    content_type, told = content_type.strip(" \t"), told.strip(" \t")
    if not content_type or not content_type.isascii() or not content_type.isprintable():
        raise MalformedSignature(Fault.CONTENT_TYPE)
    if not _CONTENT_DIGEST.fullmatch(told):
        raise MalformedSignature(Fault.CONTENT_DIGEST)
    if told != body_digest:
        raise MalformedSignature(Fault.DIGEST_MISMATCH)
    return f'"content-type": {content_type}\n"content-digest": {told}\n'


def _one_of_body(header: Header, fault: Fault) -> str:
    if header is None or header == "":
        raise MalformedSignature(fault)
    return _one(header)
