"""The first rows are there, and writing them again changes nothing."""

import pytest

from audit.actor import Actor
from keys.catalogue.bootstrap import bootstrap
from keys.models import Environment, Policy, Scope

pytestmark = pytest.mark.django_db


def test_a_fresh_database_knows_its_environments_and_its_own_service() -> None:
    assert set(Environment.objects.values_list("tag", flat=True)) == {"dev", "test", "prod"}
    assert Scope.objects.filter(service__slug="keystead").count() == 6
    production = Policy.objects.get(service__slug="keystead", environment__tag="prod")
    assert (production.approvals_required, production.service_approvals_required) == (2, 1)


def test_bootstrap_is_idempotent() -> None:
    assert bootstrap(actor=Actor.system("test")) is False
