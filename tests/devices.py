"""Sign machines in as a command line and a browser would: by the doors, in the order of RFC 8628."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.test import Client

from keys.models import DeviceSignIn, Person
from keys.policy.device_rules import presence_for
from tests.portal.api.sessions import session_cookie

FORM = "application/x-www-form-urlencoded"
GRANT = "urn:ietf:params:oauth:grant-type:device_code"
AGENT = "keystead-cli/1"


def program(**extra: Any) -> Client:
    """Return whoever has no cookie."""
    return Client(headers={"user-agent": AGENT}, **extra)


def sent(door: str, body: str, *, content_type: str = FORM, **extra: Any) -> Any:
    """Send a form as it stands to a door of OAuth."""
    return program().generic("POST", f"/oauth2/{door}", body, content_type=content_type, **extra)


def begun(name: str = "alices+laptop", **extra: Any) -> dict[str, Any]:
    """Begin, as a machine does; the answer, with the identifier of its row."""
    answer = sent("device_authorization", f"client_id=keystead-cli&device_name={name}", **extra)
    assert answer.status_code == 200, answer.content
    newest = DeviceSignIn.objects.order_by("-created_at").first()
    assert newest is not None
    return {**answer.json(), "id": newest.pk}


def browser_of(person: Person, *purposes: str) -> Client:
    """Return the browser of a signed-in person."""
    client = Client(headers={"user-agent": "Firefox 140 on Linux"})
    client.cookies[settings.SESSION_COOKIE_NAME] = session_cookie(person, *purposes)
    return client


def entered(client: Client, code: str) -> Any:
    """Type a code."""
    return client.post("/device/", {"user_code": code})


def answered(person: Person, asking: dict[str, Any], answer: str = "allow") -> Any:
    """Type the code and answer, with presence for this machine."""
    client = browser_of(person, presence_for(asking["id"]))
    assert entered(client, asking["user_code"])["location"] == f"/device/{asking['id']}/"
    return client.post(f"/device/{asking['id']}/", {"answer": answer})


def polled(device_code: str) -> Any:
    """Ask for the token."""
    return sent("token", f"grant_type={GRANT}&client_id=keystead-cli&device_code={device_code}")


def token_of(person: Person, name: str = "alices+laptop") -> str:
    """Sign a machine in and return its token."""
    asking = begun(name)
    assert answered(person, asking).status_code == 302
    return str(polled(asking["device_code"]).json()["access_token"])


def asks(token: str, path: str = "/api/v1/me", method: str = "GET", body: str = "", **extra: Any) -> Any:
    """Ask the API with a token."""
    return program().generic(
        method, path, body, content_type="application/json", HTTP_AUTHORIZATION=f"Bearer {token}", **extra
    )
