"""Read the command line, run one command, and end with a code that scripts can rely on.

0 yes or done, 1 a clear no (an invalid key, a finding), 2 not understood, 3 Keystead refused, 4 Keystead could not be asked,
74 the answer could not be written (sysexits.h), 141 nobody reads it any more (as of a program that SIGPIPE ended).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

from keystead_client.cli import asking, commands, signing_in, stopping
from keystead_client.cli.account import NotSignedIn
from keystead_client.errors import Busy, KeysteadError, NotAnAddress, Refused, Unreachable
from keystead_client.key_text import SECRET_PATTERN

REVOCATIONS = ("key-compromise", "affiliation-changed", "superseded", "cessation-of-operation", "privilege-withdrawn")
SUSPENSIONS = ("investigation", "suspected-leak", "unused", "owner-left")
# How long an old secret works on beside its successor.
KINDS = ("bearer", "hmac-sha256", "ed25519")
OVERLAPS = ("now", "15m", "1h", "6h", "24h", "7d", "first-use", "when-idle")
_Maker: TypeAlias = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]
USAGE, REFUSED, UNREACHABLE, UNWRITTEN, UNREAD = 2, 3, 4, 74, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if any(SECRET_PATTERN.search(each) for each in given):
        print(
            "keystead: a key stands in the arguments, where others can list it and the shell remembers it.",
            file=sys.stderr,
        )
        print("Give it on stdin instead, and rotate this one if the machine is shared.", file=sys.stderr)
        return USAGE
    typed = parser().parse_args(given)
    try:
        return _ran(typed)
    except BrokenPipeError:
        return _unwritten(UNREAD)  # never a yes: it may have been a finding
    except OSError as error:
        print(f"keystead: {error}", file=sys.stderr)
        return _unwritten(UNWRITTEN)


def _ran(typed: argparse.Namespace) -> int:
    try:
        code = int(typed.run(typed))
        sys.stdout.flush()  # what cannot be written shows here, and not when nobody can answer it any more
    except KeysteadError as error:
        return _told(error, as_json=typed.json)
    except KeyboardInterrupt:
        return 130
    except UnicodeEncodeError:
        print("keystead: that holds bytes which are no text.", file=sys.stderr)
        return USAGE
    return code


def _unwritten(code: int) -> int:
    """Let Python not try once more to write, when it ends."""
    with contextlib.suppress(OSError, ValueError):  # a stdout that is somebody else's has no number
        number = sys.stdout.fileno()
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    return code


def _told(error: KeysteadError, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": error.code, "message": str(error)}), file=sys.stderr)
    else:
        print(f"keystead: {error} ({error.code})", file=sys.stderr)
    if isinstance(error, Unreachable | Busy):
        return UNREACHABLE
    return REFUSED if isinstance(error, Refused) else USAGE if isinstance(error, NotSignedIn | NotAnAddress) else 1


def parser() -> argparse.ArgumentParser:
    """Describe the commands."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="answer in JSON")
    common.add_argument("--allow-plain-http", action="store_true", help="speak http to another machine, for tests")
    whole = argparse.ArgumentParser(
        prog="keystead", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sub = whole.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], words: str) -> argparse.ArgumentParser:
        made = sub.add_parser(name, help=words, description=words, parents=[common])
        made.set_defaults(run=run)
        return made

    one = command(
        "login", signing_in.login, "store the address and a key of the service keystead, read from stdin or a prompt"
    )
    one.add_argument("--url", required=True)
    one.add_argument("--device", action="store_true", help="sign in as yourself instead, by a code typed in a browser")
    one.add_argument("--name", default="", help="with --device: what this machine is called on that page")
    command("logout", signing_in.logout, "end what login began, and forget what it stored")
    for name in ("me", "whoami"):
        command(name, signing_in.me, "who am I to Keystead?")
    one = command("list", commands.list_keys, "list keys")
    _places(one, required=False)
    for name, run, words in (
        ("show", commands.show_key, "show a key and its versions"),
        ("usage", commands.usage, "show what a key was used for"),
        ("receipts", stopping.receipts, "show since when a stopped key was dead, and what each verifier said"),
    ):
        command(name, run, words).add_argument("key", help="KEY-7, a kid, or an id")
    _requesting(command)
    _stopping(command)
    one = command("claim", commands.claim, "claim in the browser, then put the pasted secret in a safe place")
    one.add_argument("key", help="KEY-7, a kid, or an id")
    one.add_argument("--out", default="", help="a new file, made 0600; otherwise stdout")
    one = command("rotate", commands.rotate, "take the next step of a due rotation for the key in a file")
    one.add_argument("--store", required=True, help="the file of the rotating credential (0600)")
    one.add_argument("--url", default="")
    one = command("verify", commands.verify, "verify a key from stdin; your own key needs keys:verify")
    one.add_argument("--scope", action="append", default=[])
    one.add_argument("--address", default="", help="the address of whoever presented it")
    one.add_argument("--door", default="", help="the verification door, if it has an address of its own")
    one = command("scan", commands.scan, "find keys of Keystead in files or git, offline; exit code 1 if there are any")
    one.add_argument("path", nargs="*")
    one.add_argument("--git", metavar="RANGE", help="lines added by these commits, such as main..HEAD")
    one.add_argument("--staged", action="store_true", help="lines that are staged")
    one.add_argument("--stdin", action="store_true")
    one.add_argument(
        "--ask", action="store_true", help="ask whose they are and whether they live; only their public kid is sent"
    )
    return whole


def _places(one: argparse.ArgumentParser, *, required: bool) -> None:
    one.add_argument("--service", required=required, default="")
    one.add_argument("--environment", required=required, default="", choices=("dev", "test", "prod"))
    one.add_argument("--team", required=required, default="", help="the owner team")


def _requesting(command: _Maker) -> None:
    one = command("request", asking.request, "ask for a key; people decide in the browser")
    _places(one, required=True)
    for name in ("name", "consumer", "purpose"):
        one.add_argument(f"--{name}", required=True)
    one.add_argument("--scope", action="append", required=True)
    one.add_argument("--network", action="append", default=[])
    one.add_argument("--cryptoperiod-days", type=int, default=30)
    one.add_argument("--authorised-days", type=int, default=180)
    one.add_argument(
        "--self-fetch", action="store_true", help="let the client fetch its next versions (needs --network)"
    )
    one.add_argument("--every-days", type=int, help="replace the secret after so many days, not only at its end")
    one.add_argument("--overlap", choices=OVERLAPS, default="", help="how long an old secret works on (usually 24h)")
    one.add_argument("--kind", choices=KINDS, default="", help="bearer unless said; the others sign each request")
    one.add_argument(
        "--public-key", type=asking.public_key, metavar="FILE", help="of the pair that will sign (ed25519)"
    )
    one.add_argument(
        "--verifies", default="", metavar="SERVICE", help="with --service keystead: verify the keys of this service"
    )
    one.add_argument("--per-minute", type=int, help="how many requests a minute the key is good for")
    one.add_argument("--per-day", type=int, help="how many a day")
    one.add_argument("--recipient", default="", help="the id of the member who will claim")
    one.add_argument("--ticket", default="")
    one.add_argument("--once", default="", help="a name under which this is asked only once, such as build-4711")
    one = command("requests", asking.requests, "list requests, or follow one")
    one.add_argument("id", nargs="?", default="", help="REQ-7, or an id")
    one.add_argument("--state", default="")


def _stopping(command: _Maker) -> None:
    one = command("revoke", stopping.revoke, "end a key for ever")
    one.add_argument("key")
    one.add_argument("--reason", required=True, choices=REVOCATIONS)
    one = command("suspend", stopping.suspend, "stop a key until somebody reinstates it")
    one.add_argument("key")
    one.add_argument("--reason", required=True, choices=SUSPENSIONS)
    one = command("report", stopping.report, "say that a key leaked: it stops at once, without blame")
    one.add_argument("key")
    one.add_argument("--comment", default="")


if __name__ == "__main__":
    sys.exit(main())
