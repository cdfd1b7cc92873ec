"""Find the words for a signature that is not in the one form: strict reading of structured fields (RFC 8941), for people.

Nothing that comes out of here is ever accepted; it only tells the author of a client what to look at.
"""

from __future__ import annotations

import re
from typing import Final

from keystead_client.signature_profile import (
    ALGORITHMS,
    ED25519,
    HMAC_SHA256,
    LABEL,
    LONGEST_HEADER,
    PARAMETERS,
    TAG,
    WITH_BODY,
    WITHOUT_BODY,
    Fault,
)

CREATED: Final = "[1-9][0-9]{9}"
KEYID: Final = "[0-9A-Za-z]{12,16}"
# At least 128 random bits in base64url. Compared as text, never decoded: so there is no second spelling of the same nonce.
NONCE: Final = "[A-Za-z0-9_-]{22,64}"

_KEY: Final = r"[a-z*][a-z0-9_.*-]{0,63}"
_TEXT: Final = r'"(?:[ !#-\[\]-~]|\\["\\]){0,300}"'
_MEMBER: Final = re.compile(rf"({_KEY})=\(([^()]{{0,600}})\)((?:;.*)?)", re.ASCII)
_COMPONENT: Final = re.compile(rf"({_TEXT})((?:;{_KEY}(?:={_TEXT})?){{0,8}})", re.ASCII)
_PARAMETER: Final = re.compile(rf";({_KEY})(?:=({_TEXT}|[^;,\"]{{0,100}}))?", re.ASCII)
_VALUES: Final = {
    "created": re.compile(CREATED, re.ASCII),
    "keyid": re.compile(f'"{KEYID}"', re.ASCII),
    "alg": re.compile('"(?:' + "|".join(ALGORITHMS) + ')"', re.ASCII),
    "nonce": re.compile(f'"{NONCE}"', re.ASCII),
    "tag": re.compile(f'"{TAG}"', re.ASCII),
}
# Standard base64 of 32 or 64 bytes in its one spelling: the last character before the padding carries no spare bits.
SIGNATURES: Final = {
    HMAC_SHA256: re.compile(rf"{LABEL}=:[A-Za-z0-9+/]{{42}}[AEIMQUYcgkosw048]=:", re.ASCII),
    ED25519: re.compile(rf"{LABEL}=:[A-Za-z0-9+/]{{85}}[AQgw]==:", re.ASCII),
}
_ANY_LABEL: Final = re.compile(rf"({_KEY})=.*", re.ASCII)


def fault_of_signature(written: str) -> Fault:
    """What is wrong with the header Signature, which is not in its one form."""
    if "," in written:
        return Fault.HEADER_REPEATED  # two members, or two header lines that somebody joined
    label = _ANY_LABEL.fullmatch(written)
    return Fault.LABEL if label is not None and label[1] != LABEL else Fault.SIGNATURE_FORM


def fault_of_input(written: str, *, has_body: bool) -> Fault:  # noqa: PLR0911 - one question a line
    """What is wrong with the header Signature-Input."""
    if len(written) > LONGEST_HEADER or not written.isascii() or not written.isprintable():
        return Fault.SIGNATURE_INPUT_FORM
    member = _MEMBER.fullmatch(written)
    if member is None:
        return Fault.SIGNATURE_INPUT_FORM
    found = _parameters(member[3])
    if found is None:
        return Fault.HEADER_REPEATED if "," in member[3] else Fault.SIGNATURE_INPUT_FORM
    if member[1] != LABEL:
        return Fault.LABEL
    fault = _fault_of_components(member[2], has_body=has_body)
    if fault is not None:
        return fault
    if tuple(name for name, _ in found) != PARAMETERS:
        return Fault.PARAMETERS
    for name, value in found:
        if not _VALUES[name].fullmatch(value):
            return Fault(name)
    return Fault.SIGNATURE_INPUT_FORM


def _parameters(written: str) -> list[tuple[str, str]] | None:
    found, place = [], 0
    while place < len(written):
        match = _PARAMETER.match(written, place)
        if match is None:
            return None
        found.append((match[1], match[2] or ""))
        place = match.end()
    return found


def _fault_of_components(written: str, *, has_body: bool) -> Fault | None:
    parts = written.split(" ")
    if not all(_COMPONENT.fullmatch(part) for part in parts):
        return Fault.COMPONENTS
    names = tuple(part[1:-1] for part in parts)
    if names == (WITH_BODY if has_body else WITHOUT_BODY):
        return None
    if names == WITHOUT_BODY:
        return Fault.UNEXPECTED_BODY  # one came all the same, and nobody signed it
    return Fault.DIGEST_MISMATCH if names == WITH_BODY else Fault.COMPONENTS
