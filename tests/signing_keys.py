"""Issue keys that sign: a policy that allows them, a claim with or without a public key."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connections

from audit import clock
from audit.actor import Actor
from keys.catalogue.policies import add_version, current_policy, rules_of
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.issuance import create_key
from keys.models import Environment, KeyVersion, ManagedKey, Service
from keys.nonces import spending
from keys.operations import operation
from tests.people import SYSTEM, World, acting, approved
from tests.signing import Call, Sign, by_hmac, by_pair, pem_of

KINDS = ("bearer", "hmac-sha256", "ed25519")


@operation
def allow_signing(
    world: World, *, service: str = "orders", environment: str = "prod", actor: Actor = SYSTEM, **rules: Any
) -> None:
    """Put rules in force for a service that allow every kind of key."""
    place, opened = Environment.objects.get(tag=environment), Service.objects.get(slug=service)
    policy = current_policy(opened, place)
    assert policy is not None
    changed = replace(rules_of(policy), **{"kinds": KINDS, **rules})
    add_version(opened, place, changed, actor=actor, at=clock.now())


@dataclass(frozen=True, kw_only=True)
class Signer:
    """A key that signs, and what its program knows."""

    key: ManagedKey
    version: KeyVersion
    sign: Sign
    secret: str = ""

    def headers(self, call: Call, *, created: int, nonce: str = "") -> dict[str, str]:
        """Sign a call."""
        kind = self.key.kind
        return call.signed(self.sign, kid=self.version.kid, algorithm=kind, created=created, nonce=nonce)


def signer_of(world: World, kind: str, **changes: Any) -> Signer:
    """A living key of Alice's that signs."""
    key = approved(world, kind=kind, **changes)
    return claimed_signer(key, acting(world.alice, "claim"))


def claimed_signer(key: ManagedKey, actor: Actor) -> Signer:
    """Claim the newest version of a key that signs."""
    version = key.versions.order_by("-sequence")[0]
    if key.kind == "ed25519":
        pair = Ed25519PrivateKey.generate()
        claim = claim_secret(version, public_key=pem_of(pair), actor=actor)
        return Signer(key=key, version=claim.version, sign=by_pair(pair))
    claim = claim_secret(version, actor=actor)
    assert claim.secret is not None
    return Signer(key=key, version=claim.version, sign=by_hmac(claim.secret.reveal()), secret=claim.secret.reveal())


@operation
def _program_key(world: World, kind: str, *, scopes: tuple[str, ...], actor: Actor) -> ManagedKey:
    at = clock.now()
    return create_key(
        claim_until=at + timedelta(hours=1),
        actor=actor,
        at=at,
        name="Signing pipeline",
        owner_team=world.reporting,
        recipient=world.alice,
        consumer="pipeline",
        service=Service.objects.get(slug="keystead"),
        environment=Environment.objects.get(tag="prod"),
        origin="bootstrap",
        kind=kind,
        scopes=list(scopes),
        cryptoperiod_days=30,
        authorised_until=at + timedelta(days=30),
    )


def program_signer(world: World, kind: str, *, scopes: tuple[str, ...] = ("keys:read",)) -> Signer:
    """A program of Alice's team that signs what it asks of Keystead itself."""
    key = _program_key(world, kind, scopes=scopes, actor=SYSTEM)
    return claimed_signer(key, acting(world.alice, "claim"))


def settle_nonces(valkey: Any) -> None:
    """Let both stores have been in force for an hour, as in an installation that runs."""
    spending.nonces.cache_clear()
    valkey.eval("return redis.call('SET', 'keystead:nonces:start', redis.call('TIME')[1] - 3600)", 0)
    with connections["verifier"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO keys_noncestore (id, store, since) VALUES (1, 'valkey', clock_timestamp() - interval '1 hour')"
            " ON CONFLICT (id) DO UPDATE SET store = 'valkey', since = clock_timestamp() - interval '1 hour'"
        )
    valkey.script_load(spending.NoncesInValkey.script)
