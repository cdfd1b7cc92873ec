"""Stop a key, and show what the stop was answered with: since when, and what each verifier said."""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import Mapping
from typing import Any

from keystead_client.cli.account import Account
from keystead_client.cli.commands import YES, account
from keystead_client.cli.output import cell, show
from keystead_client.errors import KeysteadError, Refused

Receipt = Mapping[str, Any]


def revoke(typed: argparse.Namespace) -> int:
    """End a key."""
    return _stop(typed, "revoke", {"reason": typed.reason})


def suspend(typed: argparse.Namespace) -> int:
    """Stop a key for a while."""
    return _stop(typed, "suspend", {"reason": typed.reason})


def report(typed: argparse.Namespace) -> int:
    """Say that a key leaked."""
    return _stop(typed, "report-leak", {"comment": typed.comment})


def receipts(typed: argparse.Namespace) -> int:
    """Show the receipts of every stop of a key, the latest first."""
    asking = account(typed)
    told = _receipts(asking, asking.key(typed.key))
    if typed.json:
        show(told, as_json=True)
    elif not told:
        print("It was never stopped.")
    for receipt in () if typed.json else told:
        _show(receipt)
    return YES


def _stop(typed: argparse.Namespace, act: str, body: dict[str, str]) -> int:
    asking = account(typed)
    found = asking.key(typed.key)
    try:
        key = asking.post(f"/api/v1/keys/{found['id']}/{act}", body, once=uuid.uuid4().hex)
    except Refused as refused:
        if refused.code != "step_up_required":
            raise
        page = f"{asking.url}/keys/{found['number'].removeprefix('KEY-')}/{act}/"
        words = f"That needs your second factor, which only a browser can ask for. Do it here: {page}"
        raise Refused(words, code=refused.code, status=refused.status, members=refused.members) from None
    receipt = _latest_receipt(asking, key)
    if typed.json:
        show({**key, "receipt": receipt}, as_json=True)
        return YES
    states = [version["state"] for version in key["versions"]]
    columns = ("number", "name", "standing", "revoked_at", "revoked_reason", "versions_now")
    show({**key, "versions_now": states}, as_json=False, columns=columns)
    if receipt is not None:
        _show(receipt)
    return YES


def _latest_receipt(asking: Account, key: Mapping[str, Any]) -> Receipt | None:
    """What the stop was answered with; without it the key is stopped all the same."""
    try:
        return next(iter(_receipts(asking, key)), None)
    except KeysteadError as error:
        print(f"keystead: it is stopped, but its receipt cannot be shown: {error} ({error.code})", file=sys.stderr)
        return None


def _receipts(asking: Account, key: Mapping[str, Any]) -> list[Receipt]:
    return list(asking.get(f"/api/v1/keys/{key['id']}/receipts")["receipts"])


def _show(receipt: Receipt) -> None:
    print(
        f"\n{cell(receipt['action'])} at {cell(receipt['committed_at'])}, everywhere at {cell(receipt['answered_at'])}"
    )
    if receipt["verifiers"]:
        show(receipt["verifiers"], as_json=False, columns=("name", "how", "at"))
    else:
        print("No verifier held keys in memory.")
    if receipt["used_after"]:
        print(f"It was accepted since, at {cell(receipt['last_used_at'])}.")
