"""A service that points somewhere else: whoever is there is shown no key, not even the other one."""

import requests
from fake_keystead import problem
from fake_rotation import FakeRotation
from keystead_client import RotatingCredential
from keystead_client.requests_auth import KeyAuth


def test_a_redirect_to_somebody_else_is_shown_no_key(keystead):
    """`requests` takes the key away on the way there; a 401 from there does not bring the other one."""
    rotation, seen = FakeRotation(keystead), []
    credential = RotatingCredential(keystead.url, initial=rotation.first, settling=0)
    rotation.prepare()
    credential.refresh()  # so that there is another one: the old secret, which works as well for a while
    elsewhere = keystead.url.replace("127.0.0.1", "localhost")
    keystead.on("GET /moved", lambda asked: (302, seen.append(asked.bearer), {"Location": f"{elsewhere}/theirs"}))
    keystead.on("GET /theirs", lambda asked: seen.append(asked.bearer) or problem("invalid_token", 401))
    assert requests.get(f"{keystead.url}/moved", auth=KeyAuth(credential), timeout=60).status_code == 401
    assert seen == [credential.current().reveal(), ""]
