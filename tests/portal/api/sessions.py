"""Sign people of the stage in, as the doors would, without walking through them."""

from __future__ import annotations

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db.models.functions import Now

from audit import clock
from keys.models import Person
from portal.accounts.session_store import SessionStore
from tests.people import PURPOSES

CSRF = "a" * 32


def session_cookie(person: Person, *purposes: str, factors: bool = True) -> str:
    """The cookie of a session of `person`, stepped up for `purposes` ("*" for all)."""
    store = SessionStore()
    store.create()
    store[SESSION_KEY] = str(person.pk)
    store[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    store[HASH_SESSION_KEY] = person.get_session_auth_hash()
    at = clock.now().isoformat()
    wanted = PURPOSES if purposes == ("*",) else purposes
    if factors:
        steps = [{"purpose": each, "method": "totp", "at": at} for each in wanted]
        store.rotate(person=person, signed_in_at=Now(), methods=["password", "totp"], assurance="otp", step_ups=steps)
    store.save()
    return store.session_key
