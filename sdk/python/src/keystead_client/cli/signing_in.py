"""Sign in with a key or as a person, say who that is, and sign out."""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import sys
from time import monotonic, sleep
from typing import Any

from keystead_client.cli.account import Account, store, store_folder
from keystead_client.cli.commands import YES, account, read_secret
from keystead_client.cli.device import begin, end, wait_for
from keystead_client.cli.output import cell, show
from keystead_client.errors import KeysteadError, Unreachable
from keystead_client.key_text import is_token
from keystead_client.secret import Secret
from keystead_client.transport import Transport

LONGEST_NAME = 80


def login(typed: argparse.Namespace) -> int:
    """Check a key or get a token, and store it with the address for the commands that follow."""
    secret = _token(typed) if typed.device else read_secret("API key of the service keystead (it is not shown): ")
    try:
        asking = Account(typed.url, secret, allow_plain_http=typed.allow_plain_http)
        told = asking.get("/api/v1/me")
        store_folder()
        with contextlib.suppress(KeysteadError, ValueError):
            _end_stored(allow_plain_http=typed.allow_plain_http)  # a token that nobody would know any more
        store().save(json.dumps({"url": asking.url, "key": secret.reveal()}))
    except BaseException:
        if typed.device:  # neither would anybody know this one; also when somebody lost patience
            with contextlib.suppress(KeysteadError):
                _end(secret, typed.url, allow_plain_http=typed.allow_plain_http)
        raise
    _say_who(told, as_json=typed.json)
    return YES


def _token(typed: argparse.Namespace) -> Secret:
    """Lead to the browser and wait. Nothing is opened: the person decides where, and sees which address it is."""
    transport = Transport(typed.url, timeout=15, connections=1, allow_plain_http=typed.allow_plain_http)
    begun = begin(transport, name=(typed.name or platform.node() or "command line")[:LONGEST_NAME])
    print("Open this page in a browser, and type the code only if the page shows this machine:\n", file=sys.stderr)
    print(f"    {cell(begun.page)}\n    {cell(begun.user_code)}\n", file=sys.stderr)
    print(f"Or open {cell(begun.page_with_code)}\n", file=sys.stderr)
    print(f"Waiting for {begun.lifetime // 60} minutes at most ...", file=sys.stderr)
    return wait_for(begun, transport, pause=sleep, clock=monotonic)


def logout(typed: argparse.Namespace) -> int:
    """Forget what is stored; a person's token is ended at Keystead first, so that a copy of it opens nothing either."""
    try:
        _end_stored(allow_plain_http=typed.allow_plain_http)
    except KeysteadError as error:
        words = f"{error} Here it is forgotten; end it under your sessions in the browser too."
        raise Unreachable(words, code=error.code) from None
    finally:
        (store_folder() / "credentials.json").unlink(missing_ok=True)
    return YES


def _end_stored(*, allow_plain_http: bool) -> None:
    stored: dict[str, str] = json.loads(store().load() or "{}")
    if is_token(stored.get("key", "")):
        _end(Secret(stored["key"]), stored["url"], allow_plain_http=allow_plain_http)


def _end(token: Secret, url: str, *, allow_plain_http: bool) -> None:
    end(token, Transport(url, timeout=15, connections=1, allow_plain_http=allow_plain_http))


def me(typed: argparse.Namespace) -> int:
    """Say who asks."""
    _say_who(account(typed).get("/api/v1/me"), as_json=typed.json)
    return YES


def _say_who(told: dict[str, Any], *, as_json: bool) -> None:
    of_person = ("kind", "name", "roles", "teams")
    columns = of_person if told.get("kind") == "person" else ("kind", "name", "environment", "scopes")
    shown = {**told, "teams": sorted(told.get("teams") or ())} if not as_json else told
    show(shown, as_json=as_json, columns=columns)
