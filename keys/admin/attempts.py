"""Try an act: on one row, with errors beside the fields, or on several, with a receipt of what was done and what was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.http import Http404
from django.utils.translation import gettext as _

from audit.actor import Actor
from keys.admin.acts import Act, ActForm, Shown, Words
from keys.admin.selection import Selection
from keys.errors import Denied, Invalid, KeysError, NotFound
from keys.words import sentence_for


@dataclass(frozen=True)
class Attempt:
    """How it ended: `status` 200 when the operation answered, with what it returned."""

    status: int
    result: models.Model | Shown | None = None


@dataclass(frozen=True)
class Receipt:
    """What became of one row of several."""

    row: models.Model
    done: bool
    words: Words


def words_of(error: KeysError) -> str:
    """Say why an operation refused."""
    if isinstance(error, Invalid):
        return " ".join(sentence_for(code, params) or code for code, params in error.fields.values())
    return sentence_for(error.code, error.params) or _("Refused: %(code)s") % {"code": error.code}


def attempt(act: Act[Any], row: models.Model | None, form: ActForm, *, seen: str, actor: Actor) -> Attempt:
    """Call the operation; what it refuses is written into the form, where the typed text still stands."""
    try:
        return Attempt(200, act.run(row, form.cleaned_data, seen=seen, actor=actor))
    except Invalid as invalid:
        form.put_errors(invalid)
        return Attempt(invalid.status)
    except NotFound as missing:
        raise Http404 from missing
    except KeysError as refused:
        if isinstance(refused, Denied) and refused.hidden:
            raise Http404 from refused
        form.add_error(None, words_of(refused))
        return Attempt(refused.status)


def attempt_each(
    act: Act[Any], rows: Sequence[models.Model], form: ActForm, *, selection: Selection, actor: Actor
) -> list[Receipt]:
    """Call the operation once for each row, each in a transaction of its own: one refusal does not undo the others."""
    receipts = []
    for row in rows:
        try:
            act.run(row, form.cleaned_data, seen=selection.of(row), actor=actor)
        except KeysError as refused:
            receipts.append(Receipt(row=row, done=False, words=words_of(refused)))
        else:
            receipts.append(Receipt(row=row, done=True, words=act.done))
    return receipts
