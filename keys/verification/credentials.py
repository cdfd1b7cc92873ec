"""Recognise a program by a managed key of Keystead's own service: callers of the verification door and of the API."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from keys.catalogue.own_service import OWN_SERVICE, VERIFY_SCOPE
from keys.crypto.secrets import Secret
from keys.policy.addresses import outside_networks
from keys.sealing import keyring
from keys.signatures.reading import SignedRequest
from keys.states import VALID
from keys.verification.counting.sightings import note_use
from keys.verification.lookup import Found, find
from keys.verification.reasons import Reason
from keys.verification.signed import SignedVerdict, judge_signed
from keys.verification.verifier import (
    Binding,
    Client,
    Question,
    is_genuine,
    is_intact,
    kid_of,
    must_be_signed,
    not_in_force,
    scopes_unsigned,
)


@dataclass(frozen=True, kw_only=True)
class Credential:
    """A program that proved who it is. `asks_about` is set when it may verify keys: of one service and environment."""

    key_id: UUID
    kid: str
    name: str
    environment: str
    scopes: frozenset[str]
    asks_about: Binding | None
    lasts: float = math.inf  # seconds from when it was asked about, until it ends by the clock


def authenticate_credential(
    text: str, *, address: str | None, user_agent: str = "", note: Callable[..., None] = note_use
) -> Credential | None:
    """The program that presents `text` from `address`, or None: an answer that tells a stranger nothing. `note` counts it."""
    secret = Secret(text or "-")
    del text
    kid = kid_of(secret)
    if kid is None:
        return None
    found = find(kid)
    if not is_genuine(found, secret) or found is None:
        return None
    refused = _refusal(found, address)
    client = Client(address=address, user_agent=user_agent[:200])
    note(found.version_id, outcome=str(refused or VALID), client=client)
    return None if refused else _credential(found, scopes=scopes_unsigned(found))


def authenticate_signed(
    request: SignedRequest, *, address: str | None, user_agent: str = "", now: float
) -> tuple[SignedVerdict, Credential | None]:
    """The program that signed `request`, or None and why. The same program as by its bearer token, proved anew each time."""
    client = Client(address=address, user_agent=user_agent[:200])
    question = Question(client=client)
    verdict = judge_signed(request, find=find, is_outside=_is_not_ours, question=question, now=now)
    if verdict.signer is not None:
        note_use(verdict.signer.version_id, outcome=str(verdict.reason or VALID), client=client)
    if verdict.reason is not None or verdict.signer is None:
        return verdict, None
    return verdict, _credential(verdict.signer, scopes=verdict.signer.fields.scopes)


def _is_not_ours(found: Found) -> Reason | None:
    return None if found.service == OWN_SERVICE else Reason.WRONG_SERVICE


def _refusal(found: Found, address: str | None) -> Reason | None:
    if not is_intact(found, keyring()):
        return Reason.INTEGRITY_FAILURE
    refused = _is_not_ours(found) or not_in_force(found)
    if refused is None and must_be_signed(found, ()):
        return Reason.SIGNATURE_REQUIRED
    if refused is None and outside_networks(found.fields.networks, address):
        return Reason.NETWORK
    return refused


def _credential(found: Found, *, scopes: tuple[str, ...]) -> Credential:
    asks_about = None
    if VERIFY_SCOPE in scopes and found.verifies_service_id is not None and found.verifies_environment_id is not None:
        asks_about = Binding(
            service_id=found.verifies_service_id,
            environment_id=found.verifies_environment_id,
        )
    return Credential(
        key_id=found.key_id,
        kid=found.fields.kid,
        name=found.name,
        environment=found.fields.environment,
        scopes=frozenset(scopes),
        asks_about=asks_about,
        lasts=math.inf if found.ends_at is None else (found.ends_at - found.at).total_seconds(),
    )
