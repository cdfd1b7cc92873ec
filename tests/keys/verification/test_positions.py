"""Of two positions that a client says, its row keeps the one that shows more."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import connection

from keys.models import Verifier
from keys.verification.memory import lease
from keys.verification.memory.lease import Holder, further

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("740:740:", "741:741:"),
        ("740:742:740,741", "740:742:740"),  # one of them has ended, and none began
        ("740:742:740", "742:742:"),
        ("99:99:", "100:100:"),  # as numbers, not as texts
        ("740:742:740", "740:750:740,745"),
    ],
)
def test_the_further_of_two_positions_shows_more(less, more):
    with connection.cursor() as cursor:
        for held, told in ((less, more), (more, less), (more, more)):
            cursor.execute(
                f"SELECT {further('held', 'told')} FROM (SELECT %s AS held, %s AS told) AS two", [held, told]
            )
            assert cursor.fetchone() == (more,)


def test_our_own_verifiers_may_have_to_go_back():
    """After a fail-over to a database that is behind; a client registers anew then."""
    holder = Holder(id=uuid4(), name="v")
    for applied in ("740:740:", "99:99:"):
        lease.renew(holder, terms={uuid4(): 1000}, applied=applied, entries=0, hears=False)
    assert Verifier.objects.get(pk=holder.id).applied == "99:99:"
