"""Load the demo company into an empty installation, and print how to sign in."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from audit.checkpoints import wait_until_sealed
from audit.models import AuditEvent
from keys.demo.company import PASSWORD
from keys.demo.people import sign_ins
from keys.demo.story import is_told, tell
from keys.models import Person

SEALER_SECONDS = 60
HALF = "The demo was stopped while it was loaded: half of it is missing. Start with an empty KEYSTEAD_DATA to have it whole."


class Command(BaseCommand):
    """Refuses unless started as a demo: the people it makes have factors that everybody can read."""

    help = "Load the demo company (only with DEMO=1 and outside production), and print how to sign in."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEMO or settings.PRODUCTION:
            raise CommandError("The demo is loaded only when Keystead was started with DEMO=1, never in production.")
        people = sign_ins()
        if not people and Person.objects.exists():
            raise CommandError(
                "There are people here already: the demo wants an empty installation (set KEYSTEAD_DATA)."
            )
        if not people:
            _wait_for_the_sealer()
            secrets = tell()
            people = sign_ins()
            self.stdout.write("\nSecrets to try, shown this once:")
            for purpose, secret in secrets.items():
                self.stdout.write(f"  {purpose}: {secret.reveal()}")
        elif not is_told():
            self.stderr.write(f"\n{HALF}")
        self.stdout.write(f"\nSign in as anybody with the password: {PASSWORD}")
        self.stdout.write("and a code from an authenticator app that holds the seed beside the name:\n")
        for each in people:
            self.stdout.write(f"  {each.email:<28} {each.seed.reveal():<41} {each.part}")
        self.stdout.write(
            '\nNo app at hand? `make manage` as above with ARGS="demo_code EMAIL" prints the code of this moment.'
        )


def _wait_for_the_sealer() -> None:
    """The story claims secrets, which are handed over only by a log that is sealed; the sealer may just be starting."""
    newest = AuditEvent.objects.order_by("-id").values_list("uid", flat=True)[:1]
    if not wait_until_sealed(list(newest), seconds=SEALER_SECONDS):
        raise CommandError("The audit log is not being sealed. Look at the sealer's log, then run this again.")
