"""Sign the people of the tests in, as a browser would be after both factors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django.test import Client

    from tests.people import World


@pytest.fixture
def as_(world: World) -> Callable[..., Client]:
    """Give a signed-in browser of a person, by name; `stepped_up` names what they just confirmed."""
    from tests.portal.web.signing_in import signed_in

    def browser(name: str, *stepped_up: str, strict: bool = False) -> Client:
        return signed_in(getattr(world, name), *stepped_up, strict=strict)

    return browser
