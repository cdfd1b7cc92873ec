"""From the invitation to the revocation over real sockets, without a line of script; at the end the log tells it all."""

from __future__ import annotations

import pytest
import requests

from audit.models import AuditEvent
from keys.models import KeyRequest, ManagedKey
from tests.journeys.travel import SECRET, Traveller, actions_since
from tests.people import World, verifying_credential
from tests.servers import PortalServer


@pytest.mark.usefixtures("sealing")
def test_the_main_job_over_http(portal_server: PortalServer, world: World) -> None:
    credential = verifying_credential(world).reveal()
    start = AuditEvent.objects.latest("id").pk

    def verify(secret: str) -> dict[str, object]:
        answer = requests.post(
            f"{portal_server.url}/v1/verify",
            json={"key": secret, "client": {"address": "10.20.0.5", "user_agent": "report-builder/2"}},
            headers={"Authorization": f"Bearer {credential}"},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    alice = Traveller(portal_server, world.alice).takes_place()
    bob = Traveller(portal_server, world.bob).takes_place()
    carol = Traveller(portal_server, world.carol).takes_place()
    mallory = Traveller(portal_server, world.mallory).takes_place()
    admin = Traveller(portal_server, world.admin).takes_place()

    # Alice asks: first for what and where, then for the rest; a slip keeps what she typed.
    alice.signs_in_again()
    alice.get("/requests/new/")
    alice.get("/requests/new/?service=orders&environment=prod")
    wish = {
        "name": "Nightly report",
        "consumer": "report-builder",
        "owner_team": "reporting",
        "recipient": str(world.alice.pk),
        "scopes": ["orders:read", "orders:write"],
        "cryptoperiod_days": "30",
        "authorised_days": "180",
        "networks": "10.20.0.0/16",
        "purpose": "Build the nightly settlement report.",
        "ticket": "",
        "template": "",
    }
    page = alice.post("/requests/new/?service=orders&environment=prod", wish | {"cryptoperiod_days": "400"}, status=422)
    assert "report-builder" in page
    alice.post("/requests/new/?service=orders&environment=prod", wish)
    request = KeyRequest.objects.get()
    here = f"/requests/{request.number}/"
    assert alice.address == here
    assert "Waiting for approval" in alice.page
    mallory.get(here, status=404)

    # Bob narrows it to reading; Carol agrees to what is left.
    bob.get("/inbox/")
    assert "Nightly report" in bob.page
    bob.get(here)
    left = {"decision": "narrow", "digest": request.digest, "comment": "Reading is enough.", "scopes": ["orders:read"]}
    same = {"networks": "10.20.0.0/16", "cryptoperiod_days": "30", "authorised_days": "90"}
    bob.post(f"{here}decide/", {**left, **same, "code": bob.code()})
    request.refresh_from_db()
    assert request.content["scopes"] == ["orders:read"]
    carol.get(here)
    agreed = {"decision": "approve", "digest": request.digest, "comment": "", "scopes": ["orders:read"], **same}
    carol.post(f"{here}decide/", {**agreed, "code": carol.code()})
    assert "the key exists" in carol.page

    # Alice claims it, once.
    key = ManagedKey.objects.get(request=request)
    place = f"/keys/{key.number}/"
    alice.get("/")
    assert "Claim the secret of Nightly report" in alice.page
    alice.get(f"{place}claim/")
    alice.post(f"{place}claim/", {"version": "1", "code": alice.code()})
    (secret,) = set(SECRET.findall(alice.page))
    assert verify(secret)["valid"] is True
    alice.get(f"{place}?view=use")
    assert "report-builder/2" in alice.page
    alice.get(f"{place}claim/")
    assert secret not in alice.page

    # It leaks; Alice presses the button and gets a new one; the old one stays dead.
    alice.get(place)
    alice.post(f"{place}leak/", {})
    assert "Thank you: it is stopped" in alice.page
    assert verify(secret)["valid"] is False
    alice.get(f"{place}replace/")
    alice.post(f"{place}replace/", {"code": alice.code()})
    alice.get(f"{place}claim/")
    alice.post(f"{place}claim/", {"version": "2", "code": alice.code()})
    (second,) = set(SECRET.findall(alice.page))
    assert (verify(secret)["valid"], verify(second)["valid"]) == (False, True)

    # The administrator ends it for good.
    admin.get(f"{place}revoke/")
    admin.post(f"{place}revoke/", {"reason": "cessation-of-operation", "phrase": str(key), "code": admin.code()})
    assert "Revoked for good" in admin.page
    assert verify(second)["valid"] is False
    alice.get(f"{place}?view=life")
    for words in ("Asked for", "Narrowed", "Approved what is left", "Key created", "Leak reported", "Revoked"):
        assert words in alice.page
    mallory.get(place, status=404)

    assert actions_since(start) == [
        "request.submitted",
        "request.narrowed",
        "approval.given",
        "approval.given",
        "request.approved",
        "key.created",
        "version.created",
        "version.claim-intended",
        "version.issued",
        "rotation.scheduled",
        "key.leak-reported",
        "version.suspended",
        "version.created",
        "rotation.prepared",
        "version.claim-intended",
        "version.issued",
        "version.deactivated",
        "rotation.activated",
        "rotation.completed",
        "rotation.scheduled",
        "key.revoked",
        "version.deactivated",
        "rotation.aborted",
    ]
    methods = AuditEvent.objects.filter(action="step-up.completed").order_by("id").values_list("actor_id", flat=True)
    people = [world.bob, world.carol, world.alice, world.admin]
    assert [*dict.fromkeys(methods)] == [str(person.pk) for person in people]
