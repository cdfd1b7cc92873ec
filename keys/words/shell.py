"""Say why a step is refused that is taken at the shell only: those of the keyring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

SHELL: Final[Mapping[str, Promise]] = {
    "keks_are_elsewhere": _("The key-encryption keys do not live in the keyring: rotate them where they live."),
    "keyring_key_needed": _(
        "%(rows)s rows were made with this key and would be lost. Write them anew first, or wait until they have ended. "
        "What neither helps is given up with --even-so."
    ),
    "keyring_key_waits": _("A next key for %(purpose)s waits already. Copy the file to every host, then promote it."),
    "keyring_no_such_key": _("The keyring holds no key of this name for this purpose."),
    "keyring_not_replaced": _(
        "The file stays as it was, though the step is on record: %(error)s. Mend that and repeat the step."
    ),
    "keyring_nothing_waits": _("No next key for %(purpose)s waits. Add one, and copy the file to every host."),
    "keyring_of_another_day": _(
        "Versions were written with keys that the keyring lacks: %(names)s. Bring back the keyring that belongs "
        "to this backup, or say --even-so if nobody can."
    ),
    "keyring_primary_stays": _("This key makes what is newly written. Add and promote another one first."),
    "keyring_read_before": _(
        "These verifiers do not hold the next key, and would take what it makes for forged: %(names)s. Bring them the "
        "file, which they read within a second; one that was killed counts for a minute."
    ),
    "keyring_read_only": _("The folder of the keyring cannot be written here. Do this where the file lies."),
    "keyring_unusable": _("The keyring cannot be used: %(error)s."),
}
