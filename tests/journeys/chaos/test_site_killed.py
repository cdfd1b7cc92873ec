"""The site is killed in the middle of an approval and of a claim: all of it stands or none, and people go on where they were.

With every `make test`, `tests/keys/test_faults.py` kills whoever approves or claims at its statements, and
`tests/journeys/test_claim_killed.py` the site between the intent and the secret.
"""

from __future__ import annotations

from functools import partial

import pytest

from audit.models import AuditEvent
from keys.models import Approval, KeyRequest, ManagedKey
from tests.journeys.chaos.borders import Border, Borders
from tests.journeys.chaos.owners import come_back, die_while
from tests.journeys.travel import SECRET, Traveller
from tests.people import World, submitted
from tests.servers import PortalServer

pytestmark = pytest.mark.usefixtures("sealing")


def approves(approver: Traveller, request: KeyRequest, status: int = 200) -> None:
    here = f"/requests/{request.number}/"
    approver.get(here)
    content = request.content
    form = {"decision": "approve", "digest": request.digest, "comment": "", "scopes": content["scopes"], "networks": ""}
    days = {name: str(content[name]) for name in ("cryptoperiod_days", "authorised_days")}
    approver.post(f"{here}decide/", {**form, **days, "code": approver.code()}, status)


@pytest.mark.long
def test_a_site_killed_in_the_middle_of_an_act_leaves_all_of_it_or_nothing(
    portal_server: PortalServer, borders: Borders, world: World
) -> None:
    request = submitted(world)
    bob = Traveller(portal_server, world.bob).takes_place()
    carol = Traveller(portal_server, world.carol).takes_place()
    alice = Traveller(portal_server, world.alice).takes_place()
    die = partial(die_while, portal_server, borders)

    # Bob's approval is written and not committed: it never was, and he gives it again.
    die("approval.given", Border.INSIDE, act=partial(approves, bob, request))
    assert not Approval.objects.exists()
    come_back(bob)
    approves(bob, request)

    # Carol's is committed with the key, and she never hears of it: she finds it done, and it counts once.
    die("key.created", Border.COMMITTING, act=partial(approves, carol, request))
    come_back(carol)
    key = ManagedKey.objects.get(request=request)
    assert "Approved" in carol.get(f"/requests/{request.number}/")
    assert Approval.objects.filter(request=request, voided_at=None).count() == 2

    # Alice's secret is minted, and the answer with it is lost: that secret is burnt, and she has another made.
    place = f"/keys/{key.number}/"

    def claim(version: int) -> None:
        alice.get(f"{place}claim/")
        alice.post(f"{place}claim/", {"version": str(version), "code": alice.code()})

    die("version.issued", Border.COMMITTING, act=partial(claim, 1))
    come_back(alice)
    assert key.versions.get().state == "active"
    alice.get(f"{place}replace/")
    alice.post(f"{place}replace/", {"code": alice.code()})
    claim(2)
    assert len(set(SECRET.findall(alice.page))) == 1
    issued = AuditEvent.objects.filter(action="version.issued").values_list("target_id", flat=True)
    assert sorted(issued) == sorted(str(version.pk) for version in key.versions.all()), "each version once"
