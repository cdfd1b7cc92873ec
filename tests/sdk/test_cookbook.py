"""Every page of the cookbook runs as it is written: the key that may, the key that may not, the stranger, the misuse."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import requests
from django.test import AsyncRequestFactory, RequestFactory

from keys.lifecycle.revocation import revoke_key
from keys.states import RevocationReason
from tests.people import acting, issued, verifying_credential
from tests.sdk.cookbook import Application, nginx, until, write_files
from tests.sdk.node import CLIENT, need_node
from tests.servers import ROOT, free_port, running

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Keys:
    """What the three of every page present."""

    credential: str
    may: str
    may_only_cancel: str
    key: object


@pytest.fixture
def keys(portal_server, world) -> Keys:
    key, _, may = issued(world)
    cancelling = issued(world, name="Cancelling", scopes=("orders:cancel",))[2]
    return Keys(verifying_credential(world).reveal(), may.reveal(), cancelling.reveal(), key)


def test_every_page_is_listed_and_tried():
    pages = {page.name for page in (ROOT / "docs" / "cookbook").glob("*.md")} - {"README.md"}
    index = (ROOT / "docs" / "cookbook" / "README.md").read_text()
    assert all(f"({page})" in index for page in pages)
    here = Path(__file__).read_text()
    assert all(f'"{page}"' in here for page in pages)


def gateway_holds(url: str, keys: Keys, application: Application, world) -> None:
    """What a gateway must do with the three, and with what an attacker adds."""

    def ask(secret="", method="GET", query="", **headers):
        sent = ({"Authorization": f"Bearer {secret}"} if secret else {}) | headers
        return patiently(lambda: requests.request(method, f"{url}/orders{query}", headers=sent, timeout=20))

    forged = {
        "Keystead-Key": "KEY-1",
        "Keystead-Scopes": "",
        "Keystead-Credential": "x",
        "Keystead-Client-Address": "::1",
    }
    assert ask(keys.may).status_code == 200
    assert ask(keys.may, **forged).status_code == 200
    for seen in application.seen:
        assert seen["keystead-key"] == str(keys.key)
        assert "authorization" not in seen
        assert "keystead-credential" not in seen
    application.seen.clear()
    assert ask(keys.may, "POST").status_code == 403
    assert ask(keys.may_only_cancel).status_code == 403
    assert ask(keys.may_only_cancel, **forged).status_code == 403
    elsewhere = issued(world, name="Elsewhere", networks=("10.0.0.0/8",))[2].reveal()
    until(lambda: ask(elsewhere).status_code == 403)  # 401 while the door has not heard of it
    for name in ("Keystead-Client-Address", "Keystead_Client_Address", "Keystead-Client_Address"):
        assert ask(elsewhere, **{name: "10.0.0.1"}).status_code == 403, name
    nobody = ask()
    assert (nobody.status_code, "Bearer" in nobody.headers["WWW-Authenticate"]) == (401, True)
    assert ask("ks_prod_" + "x" * 14 + "_" + "y" * 49).status_code == 401
    assert ask(**{"X-API-Key": keys.may}).status_code == 200
    assert ask(query=f"?api_key={keys.may}").status_code == 400
    assert len(application.seen) == 1
    revoke_key(keys.key, actor=acting(world.alice, "revoke"), reason=RevocationReason.SUPERSEDED)
    until(lambda: ask(keys.may).status_code == 401)  # at the latest when the lease of the door has run out


def test_nginx_as_its_page_says_lets_in_whom_it_should(keys, verify_door, world, tmp_path):
    ports = {name: free_port() for name in ("gateway", "application")}
    door = verify_door.removeprefix("http://")
    write_files(
        "nginx.md", tmp_path,
        {
            "127.0.0.1:8100": door, "127.0.0.1:8080": f"127.0.0.1:{ports['gateway']}",
            "127.0.0.1:9000": f"127.0.0.1:{ports['application']}", "ks_prod_...": keys.credential,
            "/var/log/nginx/access.log": f"{tmp_path}/access.log", "keystead-credential.conf;": f"{tmp_path}/keystead-credential.conf;",
        },
    )  # fmt: skip
    command = nginx(tmp_path, serves=f"include {tmp_path}/nginx.conf;")
    with (
        Application(ports["application"]) as application,
        running(command, port=ports["gateway"], log=tmp_path / "out.log", cwd=tmp_path) as url,
    ):
        gateway_holds(url, keys, application, world)
    logged = (tmp_path / "access.log").read_text()
    assert str(keys.key) in logged
    assert keys.may not in logged
    assert '"POST /orders" 403  scope' in logged  # whoever runs nginx sees why


def test_the_line_of_nginx_lets_in_whom_it_should_and_ends_keys_there(keys, verify_door, tmp_path):
    """That of docs/verification.md, for a service that has a gateway already."""
    ports = {name: free_port() for name in ("gateway", "application")}
    door = verify_door.removeprefix("http://")
    write_files("../verification.md", tmp_path, {"127.0.0.1:8100": door, "ks_prod_...": keys.credential})
    behind = f"upstream orders {{ server 127.0.0.1:{ports['application']}; }}"
    server = f"server {{ listen 127.0.0.1:{ports['gateway']}; access_log off; include {tmp_path}/orders.conf; }}"
    with (
        Application(ports["application"]) as application,
        running(
            nginx(tmp_path, serves=f"{behind} {server}"), port=ports["gateway"], log=tmp_path / "out.log", cwd=tmp_path
        ) as url,
    ):

        def ask(**sent):
            answers = []
            until(
                lambda: (
                    answers.append(requests.get(f"{url}/orders/", headers=sent, timeout=20))
                    or answers[-1].status_code != 500
                )
            )
            return answers[-1].status_code  # 500 is what nginx makes of 503, for a moment, on a busy machine

        assert ask(Authorization=f"Bearer {keys.may}") == ask(**{"X-API-Key": keys.may}) == 200
        assert ask(Authorization=f"Bearer {keys.may_only_cancel}", **{"Keystead-Scopes": "orders:cancel"}) == 403
        assert (ask(), ask(Authorization="Bearer x")) == (401, 401)
        assert [seen["x-key"] for seen in application.seen] == [str(keys.key)] * 2
        for seen in application.seen:
            assert not {keys.may, keys.credential, f"Bearer {keys.may}"} & set(seen.values())


def test_envoy_as_its_page_says_lets_in_whom_it_should(keys, verify_door, world, tmp_path):
    if not (BIN / "envoy").exists():
        pytest.skip("Envoy has no wheel for this machine")
    ports = {name: free_port() for name in ("gateway", "application")}
    write_files(
        "envoy.md", tmp_path,
        {
            "port_value: 8100": f"port_value: {verify_door.rpartition(':')[2]}", "port_value: 8080": f"port_value: {ports['gateway']}",
            "port_value: 9000": f"port_value: {ports['application']}",
        },
    )  # fmt: skip
    command = [str(BIN / "envoy"), "--config-path", "envoy.yaml", "--concurrency", "1", "--disable-hot-restart"]
    with (
        Application(ports["application"]) as application,
        running(
            command, port=ports["gateway"], log=tmp_path / "out.log", cwd=tmp_path, KEYSTEAD_CREDENTIAL=keys.credential
        ) as url,
    ):
        gateway_holds(url, keys, application, world)
    assert keys.credential not in (tmp_path / "out.log").read_text()


@contextmanager
def module_of(path: Path, monkeypatch, keys: Keys, url: str) -> Iterator[object]:
    """Import a file of a page with the environment that it reads."""
    monkeypatch.setenv("KEYSTEAD_URL", url)
    monkeypatch.setenv("KEYSTEAD_CREDENTIAL", keys.credential)
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = set(sys.modules)
    spec.loader.exec_module(module)
    yield module
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(path.parent) in str(sys.modules[name].__file__):
            del sys.modules[name]


def expected(keys: Keys) -> list[tuple[str, str, int]]:
    """Secret, query, status of a GET that needs orders:read."""
    return [
        (keys.may, "", 200),
        (keys.may_only_cancel, "", 403),
        ("", "", 401),
        (keys.may[:-1] + ("0" if keys.may[-1] != "0" else "1"), "", 401),
        (keys.may, f"?key={keys.may}", 400),
        ("", f"?key={keys.may}", 400),
    ]


def patiently(ask):
    """Ask again while it is said that Keystead cannot be asked: on a busy machine its answer may take longer than two seconds."""
    for _ in range(20):
        answer = ask()
        if answer.status_code != 503:
            break
    return answer


def headers_of(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"} if secret else {}


def test_frameworks_of_python(keys, portal_server, monkeypatch, tmp_path):
    """One Keystead for all of them: Django, Django REST framework, FastAPI, Starlette, Flask and plain WSGI."""
    site = portal_server.url.replace("localhost", "127.0.0.1")
    folders = {page: tmp_path / page for page in ("django.md", "fastapi.md", "flask.md")}
    for page, folder in folders.items():
        folder.mkdir()
        write_files(page, folder, {})

    factory = RequestFactory()
    with module_of(folders["django.md"] / "views.py", monkeypatch, keys, site) as views:
        for secret, query, status in expected(keys):
            request = factory.get(f"/orders{query}", headers=headers_of(secret))
            answer = patiently(lambda request=request: views.orders(request))
            assert answer.status_code == status, (query, status)
            assert status != 200 or b'"asked_by": "report-builder"' in answer.content
        asked = AsyncRequestFactory().post("/", headers=headers_of(keys.may))
        assert patiently(lambda: asyncio.run(views.place(asked))).status_code == 403
    with module_of(folders["django.md"] / "rest_views.py", monkeypatch, keys, site) as views:
        for secret, query, status in expected(keys):
            request = factory.get(f"/orders{query}", headers=headers_of(secret))
            answer = patiently(lambda request=request: views.Orders.as_view()(request))
            assert answer.status_code == status, (query, status)
            assert status != 400 or answer.data["code"] == "key_in_address"

    for file in ("app.py", "whole.py"):
        with module_of(folders["fastapi.md"] / file, monkeypatch, keys, site) as module:
            asyncio.run(ask_asgi(module, keys))
        with module_of(folders["flask.md"] / file, monkeypatch, keys, site) as module:
            client = httpx2.Client(transport=httpx2.WSGITransport(app=module.app), base_url="http://testserver")
            for secret, query, status in expected(keys):
                sent = {"url": f"/orders{query}", "headers": headers_of(secret)}
                assert patiently(lambda client=client, sent=sent: client.get(**sent)).status_code == status, (
                    file,
                    query,
                )
            if file == "app.py":
                assert (
                    patiently(lambda client=client: client.post("/orders", headers=headers_of(keys.may))).status_code
                    == 403
                )
            module.verifier.close()


async def ask_asgi(module, keys: Keys) -> None:
    transport = httpx2.ASGITransport(app=module.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client, module.verifier:
        for secret, query, status in expected(keys):
            for _ in range(20):
                answer = await client.get(f"/orders{query}", headers=headers_of(secret))
                if answer.status_code != 503:
                    break
            assert answer.status_code == status, (query, status, answer.text)


def test_express_as_its_page_says_lets_in_whom_it_should(keys, portal_server, tmp_path):
    need_node()
    write_files("express.md", tmp_path, {})
    packages = tmp_path / "node_modules"
    (packages / "@keystead").mkdir(parents=True)
    (packages / "@keystead" / "client").symlink_to(CLIENT)
    (packages / "express").symlink_to(CLIENT / "node_modules" / "express")
    port = free_port()
    environment = {
        "PORT": str(port), "KEYSTEAD_CREDENTIAL": keys.credential,
        "KEYSTEAD_URL": portal_server.url.replace("localhost", "127.0.0.1"),
    }  # fmt: skip
    with running(["node", "server.mjs"], port=port, log=tmp_path / "log", cwd=tmp_path, **environment) as url:
        for secret, query, status in expected(keys):
            sent = {"url": f"{url}/orders{query}", "headers": headers_of(secret), "timeout": 20}
            answer = patiently(lambda sent=sent: requests.get(**sent))
            assert answer.status_code == status, (query, answer.text)
            assert status != 200 or answer.json()["asked_by"] == "report-builder"
        sent = {"url": f"{url}/orders", "headers": headers_of(keys.may), "timeout": 20}
        assert patiently(lambda: requests.post(**sent)).status_code == 403
