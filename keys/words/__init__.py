"""Say in words what a code of a refusal means and what to do about it; every door uses these words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.utils.functional import Promise

from keys.words.doors import INPUT
from keys.words.evidence import EXPORTS, RETENTION, SEARCHES, WEBHOOKS
from keys.words.keys import KEYS
from keys.words.people import CATALOGUE, PEOPLE
from keys.words.requests import REQUESTS
from keys.words.shell import SHELL

SENTENCES: Final[Mapping[str, Promise]] = {
    **REQUESTS,
    **KEYS,
    **CATALOGUE,
    **PEOPLE,
    **RETENTION,
    **SEARCHES,
    **EXPORTS,
    **WEBHOOKS,
    **INPUT,
    **SHELL,
}


def sentence_for(code: str, params: Mapping[str, object] | None = None) -> str:
    """Explain `code`, or return nothing for a code that has no words (a test keeps that from happening)."""
    words = str(SENTENCES.get(code, ""))
    try:
        return words % params if params else words
    except (KeyError, TypeError, ValueError):
        # What explains an error must not fail itself when a code gained or lost a parameter.
        return words
