"""Say at the shell why something was refused, in the words of the pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from django.core.management.base import CommandError

from keys.errors import Invalid, KeysError
from keys.words import sentence_for


@contextmanager
def said_in_words(own: Mapping[str, str] | None = None) -> Iterator[None]:
    """Make a CommandError of a refusal. `own` are words of a command, by code, where the pages' do not fit."""
    try:
        yield
    except Invalid as refused:
        raise CommandError("\n".join(_line(name, *told) for name, told in refused.fields.items())) from refused
    except KeysError as refused:
        words = (own or {}).get(refused.code) or sentence_for(refused.code, refused.params) or refused.code
        row = f" ({refused.params['row']})" if "row" in refused.params else ""
        raise CommandError(words + row) from refused


def _line(name: str, code: str, params: Mapping[str, object]) -> str:
    choices = params.get("choices")
    named = f" ({', '.join(map(str, choices))})" if choices and isinstance(choices, Iterable) else ""
    return f"{name}: {sentence_for(code, params) or code}{named}"
