"""Fix the profile of RFC 9421 (application requirements, section 1.4): what is covered, in which order, for how long.

A verifier that knows exactly one form has nothing to choose, so there is nothing for an attacker to choose either.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

LABEL: Final = "keystead"
TAG: Final = "keystead-v1"
WITHOUT_BODY: Final = ("@method", "@authority", "@path", "@query")
WITH_BODY: Final = (*WITHOUT_BODY, "content-type", "content-digest")
PARAMETERS: Final = ("created", "keyid", "alg", "nonce", "tag")

FUTURE_SKEW_SECONDS: Final = 5
SHORTEST_WINDOW_SECONDS: Final = 30
LONGEST_WINDOW_SECONDS: Final = 120

LONGEST_HEADER: Final = 1024
LONGEST_TARGET: Final = 16 * 1024
DEFAULT_PORTS: Final = {"https": ":443", "http": ":80"}


class Algorithm(StrEnum):
    """The signature algorithms, by their names in RFC 9421; the kind of a key is one of them."""

    HMAC_SHA256 = "hmac-sha256"
    ED25519 = "ed25519"


class Fault(StrEnum):
    """What in a signature, or in what it covers, has not the form of the profile."""

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
    """The request is not signed in the one form that there is; `fault` says what is wrong. Nothing is quoted."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault
