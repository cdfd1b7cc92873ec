"""Who sees what: nobody means nothing, programs see their team in their environment, strangers see nothing of others."""

import pytest

from audit.actor import Actor, ActorKind
from keys.approvals.submission import submit_request
from keys.models import KeyRequest, ManagedKey, Person
from keys.people.roles import deactivate_person
from tests.people import World, acting, draft, issued, submitted, verifying_credential

pytestmark = pytest.mark.django_db


def test_nobody_sees_nothing_not_even_what_has_no_person(world: World) -> None:
    verifying_credential(world)
    writer = ManagedKey.objects.get(name="Verifies orders keys")
    ManagedKey.objects.filter(pk=writer.pk).update(recipient=None)
    program = Actor(kind=ActorKind.PROGRAM, id=str(writer.pk))
    assert list(ManagedKey.objects.visible_to(program)) == [writer]
    stranger = Actor(kind=ActorKind.PERSON, id="00000000-0000-0000-0000-000000000001")
    submit_request(draft(world), actor=acting(world.alice))
    for nobody in (None, stranger):
        assert not ManagedKey.objects.visible_to(nobody).exists()
        assert not KeyRequest.objects.visible_to(nobody).exists()
        assert not Person.objects.visible_to(nobody).exists()
    ManagedKey.objects.filter(pk=writer.pk).update(recipient=world.bob)


def test_a_deactivated_person_sees_nothing(world: World) -> None:
    submitted(world)
    alice = acting(world.alice)
    assert KeyRequest.objects.visible_to(alice).count() == 1
    deactivate_person(world.alice, actor=acting(world.admin, "*"))
    assert not KeyRequest.objects.visible_to(alice).exists()


@pytest.mark.parametrize(
    ("who", "sees"),
    [
        ("alice", True),
        ("anna", True),
        ("bob", True),
        ("ben", True),
        ("carol", True),
        ("admin", True),
        ("responder", True),
        ("auditor", True),
        ("mallory", False),
    ],
)
def test_a_request_is_seen_by_those_it_concerns(world: World, who: str, sees: bool) -> None:
    submitted(world)
    assert KeyRequest.objects.visible_to(acting(getattr(world, who))).exists() is sees


@pytest.mark.parametrize(
    ("who", "sees"),
    [("alice", True), ("anna", True), ("bob", True), ("carol", False), ("admin", True), ("mallory", False)],
)
def test_a_key_is_seen_by_owners_and_the_services_team(world: World, who: str, sees: bool) -> None:
    key, _, _ = issued(world)
    assert ManagedKey.objects.visible_to(acting(getattr(world, who))).filter(pk=key.pk).exists() is sees
