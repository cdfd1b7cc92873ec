"""Mail the head of the log once a day to people: every mailbox is a witness that nobody here can change."""

from __future__ import annotations

import hashlib
import smtplib
from collections.abc import Sequence

from django.core.mail import EmailMessage

from audit.notes import Checkpoint
from audit.witness.base import Head, Seen, Witness, WitnessFailed

WORDS = """This is the head of Keystead's audit log. Keep this mail: whoever keeps one can show later that the
log's past was not changed, with `verify.py ... --trust` and the text below as a file.

{note}"""


class Mail(Witness):
    """Addresses of people, best in another company; what they hold cannot be read back from here."""

    kind = "mail"
    every = 86_400.0

    def __init__(
        self, *, to: Sequence[str], name: str = "", elsewhere: bool | None = None, every: float | None = None
    ) -> None:
        if isinstance(to, str) or not to or not all("@" in each for each in to):
            raise ValueError("`to` is a list of addresses")
        super().__init__(name=name or f"mail to {to[0]}", elsewhere=elsewhere, every=every)
        self.to = list(to)

    def publish(self, head: Head) -> Seen:
        """Send the checkpoint as it is signed; sent twice it carries the same Message-ID."""
        checkpoint = head.checkpoint
        identity = hashlib.sha256(head.note.encode()).hexdigest()[:32]
        message = EmailMessage(
            f"Keystead: the audit log has {checkpoint.size} events",
            WORDS.format(note=head.note),
            to=self.to,
            headers={"Message-ID": f"<{identity}@audit-log.keystead>"},
        )
        try:
            sent = message.send()
        except (OSError, smtplib.SMTPException) as error:
            raise WitnessFailed("unreachable", f"the mail was not taken: {type(error).__name__}") from error
        if sent != 1:
            raise WitnessFailed("refused", "the mail was not taken")
        return Seen(size=checkpoint.size)

    def read_back(self) -> Checkpoint | None:
        """Return nothing: a mail that was sent is out of our hands."""
        return None
