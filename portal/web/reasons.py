"""Turn the codes of refusals into words that a person can act on."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

REASONS: Mapping[str, Promise] = {
    "busy_retry": _("Someone else is changing the same thing. Try again in a moment."),
    "csrf_failed": _("The page was open for too long. Reload it and send the form again."),
}


def words_for(code: str, params: Mapping[str, object]) -> str:
    """Explain `code` in words, or return nothing for a code that has none yet."""
    words = str(REASONS.get(code, ""))
    try:
        return words % params if params else words
    except (KeyError, TypeError, ValueError):
        # A page that explains an error must not fail itself when a code gained or lost a parameter.
        return words
