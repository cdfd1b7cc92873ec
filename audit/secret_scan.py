"""Find what looks like a secret in bytes that are about to be written for ever.

The scan is the last net: events carry allow-listed facts, and a secret's type has no encoder. It names the kind, never
the text. Each pattern has a literal that must be there first, so that a clean payload costs a few searches of memory.
"""

import re

_PATTERNS: tuple[tuple[str, bytes, re.Pattern[bytes]], ...] = tuple(
    (kind, literal, re.compile(pattern))
    for kind, literal, pattern in (
        ("keystead-key", b"ks_", rb"ks_[a-z]{2,8}_[0-9A-Za-z]{12,16}_[0-9A-Za-z]{40,}"),
        ("private-key", b"PRIVATE KEY", rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----"),
        ("otp-seed", b"otpauth://", rb"otpauth://"),
        ("aws-key", b"AKIA", rb"\bAKIA[A-Z2-7]{16}\b"),
        ("aws-key", b"ASIA", rb"\bASIA[A-Z2-7]{16}\b"),
        ("github-token", b"gh", rb"\bgh[pousr]_[0-9A-Za-z]{36,}"),
        ("github-token", b"github_pat_", rb"\bgithub_pat_[0-9A-Za-z_]{50,}"),
        ("gitlab-token", b"glpat-", rb"\bglpat-[0-9A-Za-z_-]{20,}"),
        ("slack-token", b"xox", rb"\bxox[abeoprs]-[0-9A-Za-z-]{10,}"),
        ("slack-token", b"xapp-", rb"\bxapp-[0-9A-Za-z-]{20,}"),
        ("stripe-key", b"k_live_", rb"\b[rs]k_live_[0-9A-Za-z]{16,}"),
        ("google-key", b"AIza", rb"\bAIza[0-9A-Za-z_-]{35}"),
        ("npm-token", b"npm_", rb"\bnpm_[0-9A-Za-z]{36}"),
        ("pypi-token", b"pypi-", rb"\bpypi-[0-9A-Za-z_-]{50,}"),
        ("vault-token", b"hv", rb"\bhv[bsr]\.[0-9A-Za-z_-]{24,}"),
        ("model-api-key", b"sk-", rb"\bsk-[0-9A-Za-z_-]{32,}"),
        ("json-web-token", b"eyJ", rb"\beyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{16,}"),
        ("password-in-url", b"://", rb"://[^/\s:@\"\\]{1,64}:[^/\s@\"\\]{1,128}@"),
    )
)


def find_secret(text: bytes) -> str | None:
    """Return the kind of the first secret found in `text`, or None."""
    for kind, literal, pattern in _PATTERNS:
        if literal in text and pattern.search(text):
            return kind
    return None
