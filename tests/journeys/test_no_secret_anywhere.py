"""Twenty secrets live their whole life under errors; then every byte that was stored is searched, in five spellings."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
import requests
from django.conf import settings
from django.core import mail

from audit import clock
from audit.actor import Actor
from keys.crypto.key_text import mint
from keys.demo import story as demo_story
from keys.demo.company import PASSWORD
from keys.demo.people import code_now, sign_ins, speaking
from keys.lifecycle import claiming, minting
from keys.models import KeyVersion, ManagedKey, Notice, Person
from keys.notifications.mail import send_waiting
from keys.people.invitations import invite_person, make_invitation_link
from keys.people.recovery_codes import make_recovery_codes
from keys.reports.log import export_log
from keys.reports.searches import LogSearch
from keys.tasks import react
from portal.engines import postgres_programs
from portal.layout import layout_at
from tests.servers import PortalServer


def spellings(secret: bytes) -> Iterator[bytes]:
    """The secret in plain, hex, base64 at its three alignments, URL-encoded and reversed."""
    yield secret
    yield secret.hex().encode()
    for shift in range(3):
        padded = base64.b64encode(b"\0" * shift + secret)
        # The first and last characters of an alignment depend on the neighbours; the middle is the secret's own.
        yield padded[4:-4]
        yield padded[4:-4].translate(bytes.maketrans(b"+/", b"-_"))
    yield quote(secret, safe="").encode()
    yield secret[::-1]


def found_in(haystack: bytes, secrets: dict[str, bytes]) -> set[str]:
    return {
        name
        for name, secret in secrets.items()
        for spelling in spellings(secret)
        if len(spelling) > 7 and spelling in haystack
    }


def dump_of_database() -> bytes:
    layout = layout_at(os.environ["KEYSTEAD_DATA"])
    program = postgres_programs(layout) / "pg_dump"
    name = settings.DATABASES["default"]["NAME"]
    command = [str(program), "--host", str(layout.sockets), "--username", "postgres", "--inserts", name]
    return subprocess.run(command, check=True, capture_output=True).stdout


def dump_of_valkey() -> bytes:
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        return b"".join(key + (client.dump(key) or b"") for key in client.scan_iter("*"))


class Browser:
    """Somebody at the real site, by HTTP."""

    def __init__(self, server: PortalServer, email: str) -> None:
        self.url, self.http, self.pages = server.url, requests.Session(), b""
        self.post("/sign-in/", email=email, password=PASSWORD)
        self.post("/sign-in/second-factor/", code=code_now(email, at=clock.now()))

    def get(self, path: str, **more: Any) -> requests.Response:
        return self._kept(self.http.get(self.url + path, timeout=20, **more))

    def post(self, path: str, **fields: Any) -> requests.Response:
        page = self.get(path)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        fields["csrfmiddlewaretoken"] = token[1] if token else ""
        return self._kept(
            self.http.post(self.url + path, data=fields, timeout=20, headers={"Referer": self.url + path})
        )

    def _kept(self, answer: requests.Response) -> requests.Response:
        self.pages += answer.content + str(answer.headers).encode()
        return answer

    @property
    def cookies(self) -> dict[str, str]:
        return self.http.cookies.get_dict()


def keyring_keys() -> Iterator[bytes]:
    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for each in value.values():
                yield from walk(each)
        elif isinstance(value, str) and len(value) >= 40:
            yield value

    for text in walk(json.loads(Path(settings.KEYSTEAD_KEYRING_FILE).read_text())):
        yield base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.timeout(180)
def test_no_store_holds_a_secret(portal_server: PortalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets: dict[str, bytes] = {}
    real_claim = claiming.claim_secret

    def watched(version: KeyVersion, *, actor: Actor) -> claiming.Claim:
        claim = real_claim(version, actor=actor)
        if claim.secret is not None:
            secrets[f"key {len(secrets)}"] = claim.secret.reveal().encode()
        return claim

    monkeypatch.setattr(demo_story, "claim_secret", watched)  # it only watches
    shown = demo_story.tell()
    verifier, key = (secret.reveal() for secret in shown.values())
    for each in sign_ins():
        secrets[f"seed of {each.name}"] = base64.b32decode(each.seed.reveal().replace(" ", "").encode())
        secrets[f"seed text of {each.name}"] = each.seed.reveal().replace(" ", "").encode()
    secrets["the keyring's keys"] = next(keyring_keys())
    for number, raw in enumerate(keyring_keys()):
        secrets[f"keyring {number}"] = raw
    secrets["the signing key of the site"] = str(settings.SECRET_KEY).encode()
    secrets["the password"] = PASSWORD.encode()
    dana = Person.objects.get(email="dana@northgate.example")
    for number, code in enumerate(make_recovery_codes(dana, actor=speaking(dana))):
        secrets[f"recovery code {number}"] = code.reveal().encode()
    lena = Person.objects.get(email="lena@northgate.example")
    invited = invite_person("new@northgate.example", actor=speaking(lena), name="New Person")
    link = make_invitation_link(invited.invitation, actor=speaking(lena)).reveal()
    secrets["invitation"] = link.rstrip("/").rpartition("/")[2].encode()
    assert len(secrets) >= 20

    browser = Browser(portal_server, "dana@northgate.example")
    session = browser.cookies.get(settings.SESSION_COOKIE_NAME, "")
    assert browser.get("/account/sessions/").status_code == 200
    secrets["session key"] = session.encode()

    # Every wrong place somebody may put a key: none may answer 5xx, and none may keep it.
    bearer = {"Authorization": f"Bearer {verifier}"}
    asked = [
        browser.get(f"/?q={key}"), browser.get(f"/keys/{key}/"), browser.get(f"/requests/?service={key}"),
        browser.get(f"/api/v1/keys?name={key}"), browser.get(f"/api/v1/keys/{key}"),
        browser.post("/sign-in/", email=f"{key}@example.com", password=key),
        requests.get(f"{portal_server.url}/api/v1/me", headers={"Authorization": f"Basic {key}"}, timeout=20),
        requests.get(f"{portal_server.url}/api/v1/me?token={key}", headers={"User-Agent": key}, timeout=20),
        requests.post(f"{portal_server.url}/v1/verify", json={"key": key}, headers=bearer, timeout=20),
        requests.post(f"{portal_server.url}/v1/verify?key={key}", json={}, headers=bearer, timeout=20),
        requests.post(f"{portal_server.url}/v1/verify", data='{"key": "' + key, headers=bearer, timeout=20),
        requests.post(f"{portal_server.url}/v1/verify", json={"key": key, key: key}, headers=bearer, timeout=20),
        requests.post(f"{portal_server.url}/v1/verify", json={"key": key}, headers={"Authorization": key}, timeout=20),
    ]  # fmt: skip
    assert [answer.status_code for answer in asked if answer.status_code >= 500] == []
    assert asked[8].json()["valid"] is True

    # The power fails between minting and keeping: a traceback that shows every local variable shows no secret.
    waiting = KeyVersion.objects.filter(state="pre-activation").select_related("managed_key")[0]
    minted: list[bytes] = []

    def fails(*args: Any, **facts: Any) -> None:
        raise RuntimeError("power failure")

    def noted(*args: Any, **facts: Any) -> Any:
        text = mint(*args, **facts)
        minted.append(text.secret.reveal().encode())
        return text

    with monkeypatch.context() as patched:
        patched.setattr(claiming, "move_version", fails)
        patched.setattr(minting, "mint", noted)
        with pytest.raises(RuntimeError) as failed:
            real_claim(waiting, actor=speaking(waiting.managed_key.recipient or dana))
    secrets["minted and lost"] = minted[0]
    frames = traceback.TracebackException.from_exception(failed.value, capture_locals=True).stack
    shown_locals = [f"{frame.name} {frame.locals}" for frame in frames if "/tests/" not in frame.filename]
    assert any("claim_secret" in frame for frame in shown_locals)

    react()
    send_waiting()
    assert Notice.objects.exists()
    exported = io.BytesIO()
    judith = Person.objects.get(email="judith@northgate.example")
    export_log(LogSearch(), form="jsonl", into=exported, actor=speaking(judith))

    stores = {
        "database": dump_of_database(),
        "valkey": dump_of_valkey(),
        "log of the site": portal_server.log().encode(),
        "mails": "".join(str(message.message()) for message in mail.outbox).encode(),
        "traceback": "\n".join(shown_locals).encode(),
        "export": exported.getvalue(),
        "cookies": json.dumps({k: v for k, v in browser.cookies.items() if v != session}).encode(),
    }
    assert b"INSERT INTO public.keys_managedkey" in stores["database"]
    assert ManagedKey.objects.count() > 5
    assert len(stores["export"]) > 1000
    hits = {place: found_in(content, secrets) for place, content in stores.items()}
    # A session key is in its own cookie and nowhere else. What somebody typed into an address is echoed to them alone.
    pages = browser.pages.replace(session.encode(), b"").replace(key.encode(), b"")
    hits["pages"] = found_in(pages, secrets)
    assert {place: names for place, names in hits.items() if names} == {}


def test_the_search_finds_a_planted_secret_in_every_spelling() -> None:
    secret = mint("prod").secret.reveal().encode()
    planted = {"planted": secret}
    for spelling in (
        secret,
        secret.hex().encode(),
        base64.b64encode(b"x" + secret + b"yz"),
        base64.urlsafe_b64encode(b"xy" + secret),
        quote(secret, safe="").encode(),
        secret[::-1],
    ):
        assert found_in(b"before " + spelling + b" after", planted) == {"planted"}
    assert found_in(b"nothing here", planted) == set()
