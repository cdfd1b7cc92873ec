"""Give every test of a module the same people, and take back what it did to them."""

import pytest


@pytest.fixture(scope="module")
def _world_of_module(django_db_setup, django_db_blocker, worlds):
    from tests.portal.api.stage import rolled_back  # Django's settings are there only now

    with django_db_blocker.unblock(), rolled_back():
        yield


@pytest.fixture
def world(_world_of_module, django_db_blocker, worlds):
    """The people, in a transaction within that of the module."""
    from tests.portal.api.stage import rolled_back

    with django_db_blocker.unblock(), rolled_back():
        yield worlds()
