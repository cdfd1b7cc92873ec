"""Open the pages of tests as signed-in people, stepped up or not, and read what the log says about it."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.test import Client

from audit.models import AuditEvent
from keys.models import Person, Session
from tests.portal.api.sessions import session_cookie


def signed_in(person: Person, *purposes: str, device: str = "") -> Client:
    """A browser of `person` with both factors, stepped up for `purposes` ("*" for all); `device` names the factor."""
    client = Client(raise_request_exception=True)
    client.cookies[settings.SESSION_COOKIE_NAME] = session_cookie(person, *purposes)
    if device:
        Session.objects.filter(person=person).update(device=device)
    return client


def hidden(answer: HttpResponse, name: str) -> str:
    """The value of a hidden field of a page."""
    found = re.search(rf'name="{name}" value="([^"]*)"', answer.content.decode())
    assert found is not None, f"no field {name}"
    return found[1]


def events(**wanted: Any) -> list[AuditEvent]:
    """Events with these columns, oldest first."""
    return list(AuditEvent.objects.filter(**wanted).select_related("private").oldest_first())


def last_event(action: str) -> AuditEvent:
    """The newest event of an action."""
    found = AuditEvent.objects.with_action(action).select_related("private").newest_first().first()
    assert found is not None, f"no {action}"
    return found


def details(event: AuditEvent) -> dict[str, Any]:
    """The typed facts of an event."""
    found = event.envelope()["details"]
    assert isinstance(found, dict)
    return found
