"""Verify API keys of Keystead, sign requests, and survive rotations without code of your own."""

from __future__ import annotations

from keystead_client.async_verifier import AsyncVerifier
from keystead_client.credentials import Credential
from keystead_client.errors import (
    Busy,
    IntegrityError,
    KeysteadError,
    MalformedKey,
    MissingExtra,
    Refused,
    Unreachable,
    Unsafe,
)
from keystead_client.key_text import ParsedKey, digest, find_keys, kid_of, parse
from keystead_client.local import LocalVerifier
from keystead_client.nonces import MemoryNonces, NonceStore
from keystead_client.rotation import RotatingCredential
from keystead_client.secret import Secret
from keystead_client.signing import SignedRequest, Signer, content_digest
from keystead_client.stores import FileStore, KeyringStore, MemoryStore
from keystead_client.valkey_nonces import ValkeyNonces
from keystead_client.verdicts import Client, Reason, Verdict
from keystead_client.verifier import Question, Verifier

__all__ = [
    "AsyncVerifier",
    "Busy",
    "Client",
    "Credential",
    "FileStore",
    "IntegrityError",
    "KeyringStore",
    "KeysteadError",
    "LocalVerifier",
    "MalformedKey",
    "MemoryNonces",
    "MemoryStore",
    "MissingExtra",
    "NonceStore",
    "ParsedKey",
    "Question",
    "Reason",
    "Refused",
    "RotatingCredential",
    "Secret",
    "SignedRequest",
    "Signer",
    "Unreachable",
    "Unsafe",
    "ValkeyNonces",
    "Verdict",
    "Verifier",
    "content_digest",
    "digest",
    "find_keys",
    "kid_of",
    "parse",
]
__version__ = "0.1.0"
