"""Walk through the real site over HTTP as a person would: follow links, fill forms, carry cookies and codes."""

from __future__ import annotations

import re

import requests

from audit import clock
from audit.models import AuditEvent
from keys.crypto import otp
from keys.crypto.secrets import Secret
from keys.models import Person, TotpDevice
from keys.people.factors import seed_of
from keys.people.invitations import invite_again, make_invitation_link
from tests.accounts import OPERATOR, PASSWORD
from tests.servers import PortalServer

TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
SECRET = re.compile(r"ks_(?:dev|test|prod)_[0-9A-Za-z]{12,16}_[0-9A-Za-z]{49,}")


def link_for(person: Person) -> Secret:
    """The link by which somebody whom the tests know takes their place."""
    return make_invitation_link(invite_again(person, actor=OPERATOR), actor=OPERATOR)


def path_of(link: Secret) -> str:
    """The path of a link; its host is that of the settings, not of this test's server."""
    return "/" + link.reveal().split("/", 3)[3]


def actions_since(first: int) -> list[str]:
    """What the log says happened, in order, without the comings and goings of people."""
    rows = AuditEvent.objects.filter(id__gt=first).order_by("id").values_list("action", flat=True)
    coming = ("sign-in.", "step-up.", "session.", "invitation.", "password.", "totp.", "recovery-codes.", "passkey.")
    return [action for action in rows if not action.startswith(coming)]


class Traveller:
    """One person with one browser, without script."""

    def __init__(self, server: PortalServer, person: Person) -> None:
        self.server, self.person = server, person
        self.browser = requests.Session()
        self.browser.headers["User-Agent"] = "Firefox 140 on Linux"
        self.page = ""

    def get(self, path: str, status: int = 200) -> str:
        """Open a page."""
        return self._keep(self.browser.get(self.server.url + path, timeout=30), status)

    def post(self, path: str, form: dict[str, object], status: int = 200) -> str:
        """Send a form of the page that is open; redirects are followed."""
        token = TOKEN.search(self.page)
        assert token is not None, "the page has no form"
        headers = {"Referer": self.server.url + path}
        answer = self.browser.post(
            self.server.url + path, {"csrfmiddlewaretoken": token[1], **form}, headers=headers, timeout=30
        )
        return self._keep(answer, status)

    def _keep(self, answer: requests.Response, status: int) -> str:
        assert answer.status_code == status, f"{answer.status_code} at {answer.url}: {words_of(answer.text)}"
        self.page, self.address = answer.text, answer.url.removeprefix(self.server.url)
        return answer.text

    def code(self) -> str:
        """A code that works now, as if the last one had been used long ago."""
        TotpDevice.objects.filter(user=self.person).update(last_step=None)
        return otp.code_at(self.seed, otp.step_at(clock.now()))

    def takes_place(self) -> Traveller:
        """Follow the invitation: a password, an authenticator app, the recovery codes."""
        path = path_of(link_for(self.person))
        self.get(path)
        self.post(path, {"new": PASSWORD, "again": PASSWORD})
        self.post("/account/set-up/authenticator/", {})
        self.seed = seed_of(TotpDevice.objects.get(user=self.person))
        self.post("/account/set-up/authenticator/confirm/", {"code": self.code()})
        assert "Recovery codes" in self.page
        return self

    def signs_in_again(self) -> Traveller:
        """Leave, and come back by the sign-in page."""
        self.get("/")
        self.post("/sign-out/", {})
        self.get("/sign-in/")
        self.post("/sign-in/", {"email": self.person.email, "password": PASSWORD})
        self.post("/sign-in/second-factor/", {"code": self.code()})
        return self


def words_of(page: str) -> str:
    """The visible words of a page, for the message of a failed test."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.split("<main", 1)[-1]).split())[:600]
