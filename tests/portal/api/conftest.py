"""Set the stage once a module, and give each test its own copy."""

import pytest


@pytest.fixture(scope="module")
def stage_of_module(django_db_setup, django_db_blocker, worlds):
    from tests.portal.api.stage import rolled_back, set_stage  # Django's settings are there only now

    with django_db_blocker.unblock(), rolled_back():
        yield set_stage(worlds())


@pytest.fixture
def stage(stage_of_module, django_db_blocker):
    """The stage as it was set, whatever the test before did."""
    from tests.portal.api.stage import rolled_back

    with django_db_blocker.unblock(), rolled_back():
        yield stage_of_module
