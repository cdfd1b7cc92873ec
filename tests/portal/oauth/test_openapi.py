"""The doors of OAuth stand in the document of the site as they answer, and clients find them (RFC 8414)."""

from urllib.parse import urlsplit

import pytest
from django.urls import get_resolver
from jsonschema import Draft202012Validator

from portal.api.openapi import document
from portal.oauth.openapi import METADATA
from tests.devices import answered, begun, browser_of, polled, program, sent


def described(answer, path, method="post"):
    """The answer, which must be one of those that are described."""
    shape = document()["paths"][path][method]["responses"][str(answer.status_code)]
    for name, header in shape.get("headers", {}).items():
        assert not header["required"] or answer[name]
    if "content" in shape:
        whole = {**shape["content"][answer["Content-Type"]]["schema"], "components": document()["components"]}
        assert not [each.message for each in Draft202012Validator(whole).iter_errors(answer.json())]
    else:
        assert not answer.content
    return answer.status_code


def test_every_door_is_in_the_document():
    doors = [each for each in get_resolver().url_patterns if str(each.pattern) == "oauth2/"]
    paths = {f"/oauth2/{each.pattern}" for door in doors for each in door.url_patterns}
    assert len(paths) == 3
    assert paths == {path for path in document()["paths"] if not path.startswith("/api/")} - {METADATA}
    assert not document()["paths"]["/oauth2/token"]["post"]["security"], "nobody has a credential yet"


def test_what_the_doors_answer_is_described(world):
    door = "/oauth2/device_authorization"
    asking = begun()
    assert described(polled(asking["device_code"]), "/oauth2/token") == 400
    answered(world.alice, asking)
    given = polled(asking["device_code"])
    assert described(given, "/oauth2/token") == 200
    form = "client_id=keystead-cli"
    assert described(sent("revoke", f"{form}&token={given.json()['access_token']}"), "/oauth2/revoke") == 200
    assert described(polled(asking["device_code"]), "/oauth2/token") == 400
    assert described(sent("revoke", form, HTTP_AUTHORIZATION="Basic eA=="), "/oauth2/revoke") == 401
    assert described(program().get("/oauth2/token"), "/oauth2/token") == 405
    assert described(sent("device_authorization", f"{form}&device_name=%00"), door) == 400
    told = [described(sent("device_authorization", f"{form}&device_name=laptop"), door) for _ in range(10)]
    assert told == [200] * 9 + [429]


@pytest.mark.parametrize("hours", [8, 0])
def test_clients_find_the_doors_that_are_open(world, settings, hours):
    settings.KEYSTEAD_DEVICE_SIGN_IN_HOURS = hours
    answer = program().get(METADATA)
    assert described(answer, METADATA, "get") == 200
    offered = answer.json()
    assert offered["issuer"] == settings.KEYSTEAD_PUBLIC_URL
    assert offered["response_types_supported"] == []
    assert offered["token_endpoint_auth_methods_supported"] == ["none"]
    assert ("device_authorization_endpoint" in offered) is bool(hours)
    assert (offered["grant_types_supported"] == ["urn:ietf:params:oauth:grant-type:device_code"]) is bool(hours)
    for name, address in offered.items():
        if name.endswith("_endpoint"):
            assert address.startswith(f"{settings.KEYSTEAD_PUBLIC_URL}/")
            assert program().get(urlsplit(address).path).status_code == 405, "it is there, for forms"


def test_the_metadata_is_read_only_and_the_same_for_everybody(world):
    assert program(enforce_csrf_checks=True).post(METADATA).status_code == 405
    assert browser_of(world.alice).get(METADATA).json() == program().get(METADATA).json()
