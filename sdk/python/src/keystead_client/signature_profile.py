"""Fix the one form of a signed request (RFC 9421) that there is: what is covered, in which order, for how long.

Whoever signs and whoever checks read it here; the same vectors hold it against Keystead's own.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

LABEL: Final = "keystead"
TAG: Final = "keystead-v1"
WITHOUT_BODY: Final = ("@method", "@authority", "@path", "@query")
WITH_BODY: Final = (*WITHOUT_BODY, "content-type", "content-digest")
PARAMETERS: Final = ("created", "keyid", "alg", "nonce", "tag")
HMAC_SHA256: Final = "hmac-sha256"
ED25519: Final = "ed25519"
ALGORITHMS: Final = (HMAC_SHA256, ED25519)

FUTURE_SKEW_SECONDS: Final = 5
LONGEST_WINDOW_SECONDS: Final = 120  # of any policy
LONGEST_HEADER: Final = 1024
LONGEST_TARGET: Final = 16 * 1024
DEFAULT_PORTS: Final = {"https": ":443", "http": ":80"}


def list_of(components: tuple[str, ...]) -> str:
    """Write components as Signature-Input lists them."""
    return "(" + " ".join(f'"{each}"' for each in components) + ")"


class Fault(StrEnum):
    """What in a signature, or in what it covers, has not that form."""

    HEADER_MISSING = "header_missing"
    HEADER_REPEATED = "header_repeated"
    SIGNATURE_INPUT_FORM = "signature_input_form"
    SIGNATURE_FORM = "signature_form"
    LABEL = "label"
    COMPONENTS = "components"
    PARAMETERS = "parameters"
    CREATED = "created"
    KEYID = "keyid"
    ALG = "alg"
    NONCE = "nonce"
    TAG = "tag"
    CONTENT_TYPE = "content_type"
    CONTENT_DIGEST = "content_digest"
    DIGEST_MISMATCH = "digest_mismatch"
    UNEXPECTED_BODY = "unexpected_body"
    TARGET = "target"


class MalformedSignature(Exception):
    """The request is not signed in that form; `fault` says what is wrong. Nothing is quoted."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault
