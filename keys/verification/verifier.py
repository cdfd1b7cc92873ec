"""Decide about a presented key. Pure: everything it rests on is handed over; the first reason that holds is the answer.

A stranger (somebody without the secret) gets `malformed` or `unknown` and nothing else: a kid that does not exist and a
wrong secret for one that does take the same steps to the same answer. What comes after the digest is told only to
somebody who holds the secret.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

from keys.crypto.digests import ALGORITHMS, CURRENT_ALGORITHM, matches
from keys.crypto.errors import Malformed
from keys.crypto.key_text import parse
from keys.crypto.keyring import Keyring
from keys.crypto.row_mac import verify_row_mac
from keys.crypto.secrets import Secret
from keys.policy.addresses import outside_networks
from keys.states import KeyKind
from keys.verification.brownouts import is_browned_out
from keys.verification.lookup import Found
from keys.verification.reasons import Reason
from keys.verification.standing import standing_of

# Compared with when there is nothing to compare with, so that the absence of a row costs what a wrong secret costs.
_NOBODY: Final = bytes(32)


@dataclass(frozen=True, kw_only=True)
class Binding:
    """The one service and environment that a caller may ask about."""

    service_id: UUID
    environment_id: UUID


@dataclass(frozen=True, kw_only=True)
class Client:
    """Who presented the key to the service that asks, as far as that service knows."""

    address: str | None = None
    user_agent: str = ""
    instance: str = ""

    @property
    def seen_as(self) -> tuple[str | None, str, str]:
        """What it is counted by (keys.verification.counting.tallies)."""
        return self.address, self.user_agent, self.instance


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a service wants to know beyond "is it valid": enough scopes, from an allowed network."""

    scopes: tuple[str, ...] = ()
    method: str = ""
    client: Client = Client()


def kid_of(text: Secret) -> str | None:
    """Read the kid out of a key text, offline; None when it is not one of our texts."""
    try:
        return parse(text).kid
    except Malformed:
        return None


def is_genuine(found: Found | None, text: Secret) -> bool:
    """Whether `text` is the secret of that version; the same work whether there is one or not."""
    stored, algorithm = _NOBODY, CURRENT_ALGORITHM
    if found is not None and found.fields.digest is not None and found.fields.digest_algorithm in ALGORITHMS:
        stored, algorithm = found.fields.digest, found.fields.digest_algorithm
    return matches(text, stored, algorithm) and stored is not _NOBODY


def is_intact(found: Found, keyring: Keyring) -> bool:
    """Whether the row is what an operation last wrote."""
    return verify_row_mac(found.fields, found.row_mac, keyring)


class Bounds(Protocol):
    """A service in an environment."""

    @property
    def service_id(self) -> UUID: ...

    @property
    def environment_id(self) -> UUID: ...


def out_of_bounds(found: Found, binding: Bounds) -> Reason | None:
    """Why this key is none of the caller's."""
    if found.environment_id != binding.environment_id:
        return Reason.WRONG_ENVIRONMENT
    if found.service_id != binding.service_id:
        return Reason.WRONG_SERVICE
    return None


def not_in_force(found: Found) -> Reason | None:
    """Why this version does not verify at the instant `found.at`: by the clock, by its state, or by its key's end."""
    return standing_of(found).refusal(found.at)


def warned(found: Found) -> Reason | None:
    """Why an old version is refused for a moment before its end. Keystead's own callers are not: others wait for their answers."""
    at, retire_at = found.at, found.fields.retire_at
    return Reason.ROTATE_NOW if is_browned_out(at, retire_at=retire_at, both_since=found.warned_since) else None


def decide(
    found: Found | None, text: Secret, *, binding: Binding, question: Question, keyring: Keyring
) -> Reason | None:
    """Say why the key is refused, or None: it is valid."""
    if not is_genuine(found, text) or found is None:
        return Reason.UNKNOWN
    if not is_intact(found, keyring):
        return Reason.INTEGRITY_FAILURE
    refused = out_of_bounds(found, binding) or not_in_force(found) or warned(found)
    if refused is not None:
        return refused
    if must_be_signed(found, question.scopes):
        return Reason.SIGNATURE_REQUIRED
    if outside_networks(found.fields.networks, question.client.address):
        return Reason.NETWORK
    return lacks_scope(found, question)


def lacks_scope(found: Found, question: Question) -> Reason | None:
    """Why the key is not enough for what is asked of it."""
    return None if set(question.scopes) <= set(found.fields.scopes) else Reason.SCOPE


def must_be_signed(found: Found, scopes: Collection[str]) -> bool:
    """Whether the secret itself is not enough: the key signs, or the policy in force wants these scopes signed."""
    if found.fields.kind != KeyKind.BEARER or found.signature_required:
        return True
    return not set(found.signed_scopes).isdisjoint(scopes)


def scopes_unsigned(found: Found) -> tuple[str, ...]:
    """The scopes that whoever presents the secret of a bearer key has without a signature."""
    return tuple(scope for scope in found.fields.scopes if scope not in found.signed_scopes)
