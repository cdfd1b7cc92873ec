"""Open a session with both factors for a person of the tests, without walking through the sign-in pages each time."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.test import Client

from audit import clock
from keys.models import Person, Session
from portal.accounts.session_store import SessionStore

BACKEND = "django.contrib.auth.backends.ModelBackend"


def signed_in(person: Person, *stepped_up: str, strict: bool = False) -> Client:
    """A browser whose session has a person and both factors; `strict` checks CSRF as in life."""
    at = clock.now()
    store = SessionStore()
    store[SESSION_KEY] = str(person.pk)
    store[BACKEND_SESSION_KEY] = BACKEND
    store[HASH_SESSION_KEY] = person.get_session_auth_hash()
    store.create()
    row = store.current()
    assert row is not None
    steps = [{"purpose": purpose, "method": "totp", "at": at.isoformat()} for purpose in stepped_up]
    Session.objects.filter(pk=row.pk).update(
        person=person, signed_in_at=at, methods=["password", "totp"], assurance="otp", step_ups=steps
    )
    client = Client(headers={"user-agent": "Firefox 140 on Linux"}, enforce_csrf_checks=strict)
    client.cookies[settings.SESSION_COOKIE_NAME] = store.session_key or ""
    return client
