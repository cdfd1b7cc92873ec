"""A credential asks about what it was approved for, and a change of that by SQL makes it worth nothing."""

import psycopg
import pytest

from keys.models import Service
from keys.verification.credentials import authenticate_credential
from tests.people import World, verifying_credential

Superuser = psycopg.Connection[tuple[object, ...]]


@pytest.mark.parametrize("column", ["verifies_service_id", "verifies_environment_id"])
def test_a_credential_turned_to_another_service_by_sql_is_refused(
    sealing: object, world: World, superuser: Superuser, column: str
) -> None:
    text = verifying_credential(world).reveal()
    credential = authenticate_credential(text, address=None)
    assert credential is not None
    assert credential.asks_about is not None
    assert credential.asks_about.service_id == world.orders.pk
    superuser.execute("ALTER TABLE keys_managedkey DISABLE TRIGGER USER")
    other = Service.objects.get(slug="keystead").pk
    target = f"'{other}'" if column == "verifies_service_id" else "(SELECT id FROM keys_environment WHERE tag = 'dev')"
    superuser.execute(f"UPDATE keys_managedkey SET {column} = {target} WHERE {column} IS NOT NULL")
    assert authenticate_credential(text, address=None) is None
