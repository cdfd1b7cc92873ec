"""Say with which browser or program, and how, somebody came; what a program said of itself stays at hand as it was said."""

from collections.abc import Iterable

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from keys.people.methods import method_words, methods_words
from keys.people.programs import program_words

register = template.Library()
register.filter("method_words", method_words)
LONGEST = 60


@register.filter
def methods(taken: Iterable[str]) -> str:
    """Say how somebody signed in."""
    return methods_words(taken)


@register.simple_tag
def program(claimed: str) -> SafeString:
    """Draw the browser or program of a person; a strange one is called so, with its own words in small."""
    if words := program_words(claimed):
        return format_html('<span title="{}">{}</span>', claimed, words)
    unknown = _("An unknown program")
    if not claimed:
        return format_html("{}", unknown)
    short = claimed if len(claimed) <= LONGEST else claimed[: LONGEST - 1] + "…"
    return format_html('{} <span class="muted small" title="{}">{}</span>', unknown, claimed, short)


@register.simple_tag
def client(claimed: str) -> SafeString:
    """Draw who presented a key: a browser in words, any other by the name that it gave itself."""
    words = program_words(claimed)
    return format_html('<span title="{}">{}</span>', claimed, words) if words else format_html("{}", claimed or "—")
