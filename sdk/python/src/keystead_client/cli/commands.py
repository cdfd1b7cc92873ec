"""What the commands do. Each takes what was typed and returns an exit code: 0 is yes, 1 is a clear no."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from keystead_client.cli.account import Account, signed_in
from keystead_client.cli.output import hand_over, show
from keystead_client.errors import KeysteadError, MalformedKey, Refused
from keystead_client.key_text import is_token, parse
from keystead_client.rotation import RotatingCredential
from keystead_client.scanning import Finding, scan_git, scan_paths, scan_text
from keystead_client.secret import Secret
from keystead_client.stores import FileStore
from keystead_client.verdicts import Client
from keystead_client.verifier import Verifier

KEY_COLUMNS = ("number", "name", "standing", "service", "environment", "owner_team", "scopes", "authorised_until")
YES, NO = 0, 1


def read_secret(prompt: str) -> Secret:
    """Read a secret from a terminal without echo, or from a pipe; never from the arguments, which others can list."""
    text = getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline()
    if not text.strip():
        raise MalformedKey("Nothing was given.")
    secret = Secret(text.strip())
    parse(secret)
    return secret


def account(typed: argparse.Namespace) -> Account:
    """Return who asks."""
    return signed_in(allow_plain_http=typed.allow_plain_http)


def list_keys(typed: argparse.Namespace) -> int:
    """List the keys that may be seen."""
    wanted = {"service": typed.service, "environment": typed.environment, "owner_team": typed.team}
    rows = account(typed).every("/api/v1/keys", {name: value for name, value in wanted.items() if value})
    show(rows, as_json=typed.json, columns=KEY_COLUMNS)
    return YES


def show_key(typed: argparse.Namespace) -> int:
    """Show a key with its versions."""
    key = account(typed).key(typed.key)
    show(key, as_json=typed.json, columns=(*KEY_COLUMNS, "revoked_reason", "consumer", "networks", "rotation", "id"))
    if not typed.json:
        print()
        show(
            key["versions"], as_json=False, columns=("kid", "last4", "state", "activated_at", "expires_at", "retire_at")
        )
    return YES


def usage(typed: argparse.Namespace) -> int:
    """Show counts by hour, version and outcome."""
    asking = account(typed)
    told = asking.get(f"/api/v1/keys/{asking.key(typed.key)['id']}/usage")
    if typed.json:
        show(told, as_json=True)
    else:
        show(told["usage"], as_json=False, columns=("hour", "kid", "outcome", "count"))
    return YES


def claim(typed: argparse.Namespace) -> int:
    """Lead to the browser, where the second factor is, and put what is pasted in a safe place."""
    asking = account(typed)
    key = asking.key(typed.key)
    number = key["number"].removeprefix("KEY-")
    print(f"Claim it here, with your second factor:\n\n    {asking.url}/keys/{number}/claim/\n", file=sys.stderr)
    secret = read_secret("Then paste the secret (it is not shown): ")
    kid = parse(secret).kid
    if kid not in {version["kid"] for version in key["versions"]}:
        raise MalformedKey(f"That is a key, but none of {key['number']}.", code="another_key")
    hand_over(secret, into=typed.out)
    return YES


def rotate(typed: argparse.Namespace) -> int:
    """Take the next step of a rotation that is due, for the key in a store."""
    path = Path(typed.store)
    initial = None if path.exists() else read_secret("The key as it was claimed (it is not shown): ")
    url = typed.url or os.environ.get("KEYSTEAD_URL", "")
    if not url:
        raise KeysteadError("Which Keystead? --url or KEYSTEAD_URL.", code="no_address")
    credential = RotatingCredential(
        url, initial=initial, store=FileStore(path), allow_plain_http=typed.allow_plain_http
    )
    before = parse(credential.current()).kid
    after = credential.refresh()
    now = parse(credential.current()).kid
    credential.close()
    told = {"rotated": now != before, "kid": now, "check_after_seconds": int(after)}
    show(told, as_json=typed.json)
    return YES


def verify(typed: argparse.Namespace) -> int:
    """Ask about a key on stdin."""
    asking = account(typed)
    if is_token(asking.secret):
        raise KeysteadError("Only programs verify keys: sign in with a key that has keys:verify.", code="programs_only")
    secret = read_secret("Key to verify (it is not shown): ")
    client = Client(address=typed.address or None)
    with Verifier(
        typed.door or asking.url, credential=asking.secret, timeout=10, allow_plain_http=typed.allow_plain_http
    ) as verifier:
        verdict = verifier.verify(secret.reveal(), scopes=typed.scope, client=client)
    told = {name: value for name, value in asdict(verdict).items() if value not in (None, "", frozenset())}
    told["scopes"] = sorted(verdict.scopes)
    shown = {name: value if isinstance(value, bool | list) else str(value) for name, value in told.items()}
    show(shown, as_json=typed.json)
    return YES if verdict else (4 if verdict.status == 503 else NO)


def scan(typed: argparse.Namespace) -> int:
    """Look for keys that lie about. Nothing leaves the machine; with --ask, only kids do."""
    findings: list[Finding] = []
    if typed.staged or typed.git:
        findings += scan_git(commits=typed.git or "", staged=typed.staged)
    if typed.stdin:
        findings += scan_text(sys.stdin.read(), source="stdin")
    if typed.path or not (typed.staged or typed.git or typed.stdin):
        findings += scan_paths(typed.path or ["."])
    rows: list[dict[str, Any]] = [{**asdict(each), "prefix": each.prefix} for each in findings]
    if typed.ask and rows:
        _ask_about(rows, account(typed))
    columns = ("source", "line", "prefix", *(("key", "state") if typed.ask else ()))
    if rows or typed.json:
        show(rows, as_json=typed.json, columns=columns)
    return NO if rows else YES


def _ask_about(rows: list[dict[str, Any]], asking: Account) -> None:
    """Say of each finding whose it is and whether it lives, as far as the asker may see it."""
    for row in rows:
        if row["environment"] == "person":
            row |= {"key": None, "state": "a person's sign-in: they end it under their sessions"}
            continue
        found = asking.get("/api/v1/keys", {"kid": row["kid"]})["results"]
        row["key"] = found[0]["number"] if found else None
        if not found:
            row["state"] = "unknown to you"
            continue
        try:
            versions = asking.get(f"/api/v1/keys/{found[0]['id']}")["versions"]
        except Refused:
            versions = []
        row["state"] = next((each["state"] for each in versions if each["kid"] == row["kid"]), "unknown to you")
