"""Put the refusals of operations into the words of pages and the errors of forms."""

from django import forms

from keys.errors import Invalid, KeysError
from keys.policy.decisions import Decision, Deny
from keys.words import sentence_for


def words_of(error: KeysError) -> str:
    """Explain what an operation refused."""
    return sentence_for(error.code, error.params)


def why_not(decision: Decision) -> str:
    """Explain a Deny; an Allow needs no words."""
    return sentence_for(decision.code, decision.params) if isinstance(decision, Deny) else ""


def mark(form: forms.Form, invalid: Invalid) -> None:
    """Put each refused field's words beside the field, or above the form when it has no such field.

    What REST nests (`rotation.overlap`) stands flat in a form. What the form could not read itself says so already.
    """
    for name, (code, params) in invalid.fields.items():
        flat = name.rpartition(".")[2]
        place = flat if flat in form.fields else None
        if place is None or place not in form.errors:
            form.add_error(place, forms.ValidationError(sentence_for(code, params), code=code))
