"""Show what the data plane is asked and what it answers: the examples of its OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from portal.verify.problems import TITLES

Example = dict[str, Any]  # Any: nested JSON
_KEY: Final = f"ks_prod_8nbmcDHypESyDn_{'0' * 49}"
_OF_KEY: Final[Example] = {
    "valid": True,
    "kid": "8nbmcDHypESyDn",
    "key": "KEY-1007",
    "name": "Nightly report",
    "consumer": "report-builder",
    "expires_at": "2026-12-22T09:00:00.000Z",
    "service": "orders",
    "environment": "prod",
    "scopes": ["orders:read"],
    "owner_team": "reporting",
}
_AT: Final[Example] = {"verified_at": "2026-11-22T09:00:00.000Z"}
_QUESTION: Final[Example] = {
    "key": _KEY,
    "scopes": ["orders:read"],
    "method": "GET",
    "client": {"address": "192.0.2.7", "user_agent": "report-builder/2", "instance": "pod-7"},
}
_DIGEST: Final = "sha-256=:eSHkOBgYZHFHK+5TMFLDBQ1z4kYMXfkwiMQZ5WVvN2I=:"
_SIGNED: Final[Example] = {
    "method": "POST",
    "authority": "api.example.com",
    "path": "/v1/withdrawals",
    "query": "dry=0",
    "headers": {
        "signature-input": 'keystead=("@method" "@authority" "@path" "@query" "content-type" "content-digest")'
        ';created=1790000000;keyid="8nbmcDHypESyDn";alg="ed25519";nonce="b6hXQ2c0o0WmRvbYb1x7dA";tag="keystead-v1"',
        "signature": f"keystead=:{'A' * 86}==:",
        "content-type": "application/json",
        "content-digest": _DIGEST,
    },
    "body_digest": _DIGEST,
    "scopes": ["orders:write"],
    "client": {"address": "192.0.2.7"},
}
_YES: Final[Example] = _OF_KEY | _AT
_NO: Final[Example] = {"valid": False, "reason": "expired"}
_TIME: Final[Example] = {"server_time": 1790000003}

# By the names of the shapes (portal/verify/contract/shapes.py).
EXAMPLES: Final[dict[str, dict[str, Example]]] = {
    "Question": {"question": _QUESTION},
    "Verdict": {"valid": _YES, "refused": _NO},
    "Batch": {"two": {"keys": [_QUESTION, {"key": _KEY}]}},
    "Verdicts": {"two": {"results": [_YES, _NO]}},
    "SignedQuestion": {"withdrawal": _SIGNED},
    "SignedVerdict": {
        "valid": _OF_KEY | {"kind": "ed25519"} | _AT,
        "replay": {"valid": False, "reason": "replay"} | _TIME,
        "expired": {"valid": False, "reason": "signature_expired"} | _TIME,
        "malformed": {"valid": False, "reason": "signature_malformed", "fault": "components"} | _TIME,
        "invalid": {"valid": False, "reason": "signature_invalid"} | _TIME,
    },
    "Introspection": {"inactive": {"active": False}},
}


def problem_examples(status: int, codes: tuple[str, ...]) -> dict[str, dict[str, Example]]:
    """One problem for each code."""
    return {
        code: {
            "value": {
                "type": f"urn:keystead:problem:{code}",
                "title": TITLES[code],
                "status": status,
                "code": code,
                "request_id": "9f1c0e4a5b7d4a52a1f2b8f6f7c3e0d1",
            }
        }
        for code in codes
    }
