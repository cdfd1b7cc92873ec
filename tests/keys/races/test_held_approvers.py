"""Between the recount of a quorum and its commit nobody loses a role, leaves, or stops being a delegate."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections, transaction

from audit import clock
from keys.approvals.decisions import approve_request
from keys.approvals.quorum import lock_approvers
from keys.errors import Busy
from keys.models import Membership
from keys.people.delegates import end_delegation, name_delegate
from keys.people.roles import deactivate_person
from keys.people.teams import change_member_roles
from tests.people import SYSTEM, World, acting, submitted


def in_another_connection(act: Callable[[], object]) -> str:
    def run() -> str:
        try:
            act()
        except Busy:
            return "waited in vain"
        finally:
            connections.close_all()
        return "done"

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result(20)


@pytest.mark.parametrize("loss", ["role", "person", "delegation"])
def test_what_a_quorum_rests_on_is_held_until_the_commit(committed_db: None, world: World, loss: str) -> None:
    at = clock.now()
    delegation = name_delegate(
        world.bob, delegate=world.ben, starts_at=at, ends_at=at + timedelta(days=1), actor=acting(world.bob, "*")
    )
    membership = Membership.objects.get(person=world.bob, team=world.orders_team)
    request = submitted(world)
    approve_request(request, digest=request.digest, actor=acting(world.bob, "approve"))
    acts: dict[str, Callable[[], object]] = {
        "role": lambda: change_member_roles(membership, roles=["developer"], actor=SYSTEM),
        "person": lambda: deactivate_person(world.bob, actor=acting(world.admin, "people")),
        "delegation": lambda: end_delegation(delegation, actor=acting(world.bob, "*")),
    }
    with transaction.atomic():
        lock_approvers(request)
        assert in_another_connection(acts[loss]) == "waited in vain"
    assert in_another_connection(acts[loss]) == "done"
