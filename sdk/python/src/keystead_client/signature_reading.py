"""Read a signed request and write its signature base (RFC 9421, 2.5), as Keystead's door does.

One regular expression accepts the one spelling that there is, so what was sent is its own canonical form and nothing is parsed
to be written again. Whatever it does not accept is refused; `signature_diagnosis` only finds the words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from keystead_client.signature_diagnosis import CREATED, KEYID, NONCE, SIGNATURES, fault_of_input, fault_of_signature
from keystead_client.signature_profile import (
    ALGORITHMS,
    DEFAULT_PORTS,
    LABEL,
    LONGEST_HEADER,
    LONGEST_TARGET,
    TAG,
    WITH_BODY,
    WITHOUT_BODY,
    Fault,
    MalformedSignature,
    list_of,
)
from keystead_client.signing import SignedRequest

Header = str | Sequence[str] | None
_BARE: Final = f"{LABEL}={list_of(WITHOUT_BODY)};"
_FULL: Final = f"{LABEL}={list_of(WITH_BODY)};"
_AFTER_LABEL: Final = len(LABEL) + 1
_PARAMETERS: Final = re.compile(
    rf'created=({CREATED});keyid="({KEYID})";alg="({"|".join(ALGORITHMS)})";nonce="({NONCE})";tag="{TAG}"', re.ASCII
)
_TARGET: Final = re.compile(
    r'"@method": [A-Z]{1,20}\n"@authority": [a-z0-9.:\[\]_-]+\n"@path": /[!-"$->@-~]*\n"@query": \?[!-"$-~]*\n',
    re.ASCII,
)
_ANY_DEFAULT_PORT: Final = tuple(DEFAULT_PORTS.values())
_CONTENT_DIGEST: Final = re.compile(r"sha-256=:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=:", re.ASCII)


class Presented(NamedTuple):
    """A signature in its right form, about a request: nothing says yet whether it is true."""

    kid: str
    algorithm: str
    created: int
    nonce: str
    base: bytes
    signature: str  # as the header has it: `keystead=:<base64>:`


def read_signed(request: SignedRequest) -> Presented:
    """Read the signature of a request; raises MalformedSignature for whatever is not the one form."""
    headers, body_digest = request.headers, request.received_digest
    written, signature = _one(headers.get("signature-input")), _one(headers.get("signature"))
    prefix = _FULL if body_digest else _BARE
    match = _PARAMETERS.fullmatch(written, len(prefix)) if written.startswith(prefix) else None
    if match is None or len(written) > LONGEST_HEADER:
        raise MalformedSignature(fault_of_input(written, has_body=bool(body_digest)))
    created, kid, algorithm, nonce = match.groups()
    if not SIGNATURES[algorithm].fullmatch(signature):
        raise MalformedSignature(fault_of_signature(signature))
    body = _body(headers, body_digest) if body_digest else ""
    base = f'{_target(request)}{body}"@signature-params": {written[_AFTER_LABEL:]}'
    return Presented(kid, algorithm, int(created), nonce, base.encode("ascii"), signature)


def _one(header: Header, missing: Fault = Fault.HEADER_MISSING) -> str:
    """The one line of a header: a list that holds another number of lines was sent twice, or joined from two."""
    if not header:
        raise MalformedSignature(missing)
    if isinstance(header, str):
        return header
    if len(header) != 1:
        raise MalformedSignature(Fault.HEADER_REPEATED)
    if not header[0]:
        raise MalformedSignature(Fault.HEADER_MISSING)
    return header[0]


def _target(request: SignedRequest) -> str:
    authority = request.authority.lower()
    if authority.endswith(_ANY_DEFAULT_PORT) and authority.endswith(DEFAULT_PORTS.get(request.scheme, "\n")):
        authority = authority[: authority.rindex(":")]
    target = f'"@method": {request.method}\n"@authority": {authority}\n"@path": {request.path or "/"}\n"@query": ?{request.query}\n'
    # No value may hold a line break: one component would speak for the next.
    if not _TARGET.fullmatch(target) or len(target) > LONGEST_TARGET:
        raise MalformedSignature(Fault.TARGET)
    return target


def _body(headers: Mapping[str, Sequence[str]], body_digest: str) -> str:
    content_type = _one(headers.get("content-type"), Fault.CONTENT_TYPE).strip(" \t")
    told = _one(headers.get("content-digest"), Fault.CONTENT_DIGEST).strip(" \t")
    if not content_type or not content_type.isascii() or not content_type.isprintable():
        raise MalformedSignature(Fault.CONTENT_TYPE)
    if not _CONTENT_DIGEST.fullmatch(told):
        raise MalformedSignature(Fault.CONTENT_DIGEST)
    if told != body_digest:
        raise MalformedSignature(Fault.DIGEST_MISMATCH)
    return f'"content-type": {content_type}\n"content-digest": {told}\n'
