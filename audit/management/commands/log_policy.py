"""Print the policy file that auditors pin: the log's keys, the witnesses, and how many of them must have seen a checkpoint."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from audit.notes import NoteError, Verifier
from audit.pins import log_keys
from audit.tlog_policy import NONE, Group, Policy
from audit.witness.http_witness import HttpWitness
from audit.witness.roster import RosterError, witnesses_of

GROUP = "witnesses"


class Command(BaseCommand):
    help = (
        "Print a policy file (C2SP tlog-policy) of the log's public keys and the witnesses of KEYSTEAD_WITNESSES that cosign. "
        "Compare every key with the copy that you pinned yourself before you rely on it."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--quorum", default="any", help="how many must have seen a checkpoint: any, all, a number, none"
        )
        parser.add_argument("--key", action="append", default=[], help="a public key of the log, as text or file")

    def handle(self, *, quorum: str, key: list[str], **options: object) -> None:
        try:
            found = [each for each in witnesses_of(settings.KEYSTEAD_WITNESSES) if isinstance(each, HttpWitness)]
            logs = tuple(log_keys(key))
        except (RosterError, NoteError, OSError) as problem:
            raise CommandError(str(problem), returncode=2) from problem
        witnesses = {each.verifier.name: each.verifier for each in found}
        addresses = {each.verifier: each.url for each in found}
        policy = policy_of(logs, witnesses, addresses, quorum=quorum)
        self.stdout.write(Policy.parse(policy.text().encode()).text(), ending="")


def policy_of(
    logs: tuple[Verifier, ...], witnesses: Mapping[str, Verifier], addresses: Mapping[Verifier, str], *, quorum: str
) -> Policy:
    """Return the policy with all witnesses in one group."""
    if quorum == NONE or not witnesses:
        if quorum != NONE:
            raise CommandError("No witness cosigns: --quorum none, or name one in KEYSTEAD_WITNESSES.", returncode=2)
        return Policy(logs=logs, witnesses=witnesses, addresses=addresses)
    needed = {"any": 1, "all": len(witnesses)}.get(quorum) or (int(quorum) if quorum.isdecimal() else 0)
    if not 1 <= needed <= len(witnesses):
        raise CommandError(f"--quorum is any, all, none or 1 to {len(witnesses)}", returncode=2)
    group = Group(needed=needed, members=tuple(witnesses))
    return Policy(logs=logs, witnesses=witnesses, groups={GROUP: group}, quorum=GROUP, addresses=addresses)
