"""A few keys and how they came about, with passkeys of every kind: what an evidence bundle is made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from audit import verify
from audit.models import AuditEvent
from keys.approvals.content import content_of
from keys.approvals.decisions import Narrowing, approve_request, deny_request, narrow_request, narrowed
from keys.approvals.submission import edit_request, request_renewal
from keys.lifecycle.claiming import claim_secret
from keys.models import KeyRequest, ManagedKey, Person
from keys.reports.evidence import selection_of
from keys.reports.searches import LogSearch, Subject
from tests.audit.bundles import MemoryLog, make_bundle, verdict
from tests.authenticator import SoftAuthenticator
from tests.passkeys import passkey_of, signed
from tests.people import World, acting, approved, draft, submitted

Payload = dict[str, Any]


class Story(NamedTuple):
    """What the log says of it, and which of its events a bundle about the key holds."""

    events: list[Payload]
    about_key: frozenset[str]


_lived: Story | None = None


def agree(request: KeyRequest, person: Person, device: SoftAuthenticator) -> KeyRequest:
    request.refresh_from_db()
    signature = signed(request, person, device)
    return approve_request(request, digest=request.digest, actor=acting(person), signature=signature)


def tell(world: World) -> ManagedKey:
    """Live through it; return the key with the longest story."""
    bob, carol, ben = (
        passkey_of(person, algorithm)
        for person, algorithm in ((world.bob, "ES256"), (world.carol, "EdDSA"), (world.ben, "RS256"))
    )
    first = submitted(world, networks=("192.0.2.0/24",))
    agree(first, world.bob, bob)
    first.refresh_from_db()
    first = edit_request(first, draft(world, name="Nightly report, settled"), actor=acting(world.alice))
    agree(first, world.bob, bob)
    agree(first, world.carol, carol)
    key = ManagedKey.objects.get(request=first)
    claim_secret(key.versions.get(), actor=acting(world.alice, "claim"))

    second = submitted(world, scopes=("orders:read", "orders:write"), name="Two scopes")
    less = Narrowing(scopes=("orders:read",))
    after = narrowed(content_of(second.content), less).digest
    signature = signed(second, world.ben, ben, decision="narrow", digest=after)
    narrow_request(second, less, digest=second.digest, actor=acting(world.ben), signature=signature)
    agree(second, world.carol, carol)

    approved(world, name="By code")
    third = submitted(world, name="Not this")
    no = signed(third, world.bob, bob, decision="deny")
    deny_request(third, digest=third.digest, comment="Not this way.", actor=acting(world.bob), signature=no)
    submitted(world, environment="dev", name="In development")

    renewal = request_renewal(key, authorised_days=365, purpose="It goes on.", actor=acting(world.alice))
    agree(renewal, world.bob, bob)
    agree(renewal, world.carol, carol)
    return key


def payloads() -> list[Payload]:
    """The whole log so far, as it would be sealed."""
    return [json.loads(bytes(each)) for each in AuditEvent.objects.order_by("id").values_list("payload", flat=True)]


def story_in(world: Callable[[], World]) -> Story:
    """Live through it at most once in this worker."""
    global _lived
    if _lived is None:
        key = tell(world())
        chosen = selection_of(LogSearch(target=Subject("key", str(key.pk)))).events.values_list("uid", flat=True)
        _lived = Story(events=payloads(), about_key=frozenset(map(str, chosen)))
    return _lived


def of(events: list[Payload], action: str, place: int = 0) -> Payload:
    return [each for each in events if each["action"] == action][place]


def found(events: list[Payload], change: Callable[[list[Payload]], None]) -> str:
    """What is found when a compromised site recorded something else, and the log sealed it."""
    change(events)
    with pytest.raises(verify.Finding) as finding:
        verdict(make_bundle(MemoryLog(events)))
    return f"{finding.value.code}: {finding.value}"
