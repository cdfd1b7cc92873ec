"""Say in words what the codes of this interface mean that no operation knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from keys.words import sentence_for

WORDS: Final[Mapping[str, str]] = {
    "body_too_large": "At most 64 KiB are read.",
    "claim_misused": "This secret was handed over before. The version is suspended and everyone concerned is told.",
    "claimed_already": "This secret was handed over a moment ago, and no secret is shown twice. Issue a new version.",
    "denied": "This is not allowed.",
    "idempotency_in_progress": "A request with this Idempotency-Key is running, or its end is not known. Look before you retry.",
    "idempotency_key_reused": "This Idempotency-Key belongs to another request. Use a new one.",
    "idempotency_not_offered": "This operation takes no Idempotency-Key: its answer holds a secret and is never kept.",
    "invalid_header": "The header cannot be read: 1 to 200 visible ASCII characters.",
    "invalid_parameter": "The value of this query parameter cannot be read.",
    "invalid_token": "The credential was not accepted.",
    "malformed_json": "This is not strict JSON.",
    "malformed_request": "The request cannot be read.",
    "method_not_allowed": "The Allow header says which methods are offered.",
    "not_acceptable": "Only application/json is offered.",
    "not_authenticated": "Send a managed key of the service keystead as a bearer token, or sign in with a second factor.",
    "repeated_parameter": "This query parameter may stand only once.",
    "replay": "This signature was accepted before. Sign each request anew, with a nonce of its own.",
    "signature_expired": "The signature is too old. `server_time` is the time here; sign anew.",
    "signature_in_future": "The signature is of a time that has not come. `server_time` is the time here; sign anew.",
    "signature_invalid": "The signature was not accepted.",
    "signature_malformed": "The request is not signed in the form that is read here; `fault` says what is not.",
    "two_credentials": "Send a bearer token or a signature, not both.",
    "unknown_field": "There is no such field.",
    "unknown_parameter": "There is no such query parameter here.",
    "unsupported_media_type": "Send application/json in UTF-8.",
}


def words_for(code: str, params: Mapping[str, object] | None = None) -> str:
    """Explain `code`, in the operations' words or in ours; "" for a code that neither knows."""
    return sentence_for(code, params) or WORDS.get(code, "")
