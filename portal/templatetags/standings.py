"""Say how a key stands, why something ended, and how a decision was confirmed."""

from django import template
from django.utils.safestring import SafeString

from keys.lifecycle.minting import shown_key
from portal.templatetags.badges import badge
from portal.web.components import Words
from portal.web.rotation_words import STATES, cause_words, overlap_words
from portal.web.wording import KINDS, METHODS, ROLES, STANDINGS, days_in_words

register = template.Library()


@register.simple_tag
def standing_badge(standing: str) -> SafeString:
    """Draw how a key stands as a whole."""
    words, icon, tone = STANDINGS[standing]
    return badge(words, tone=tone, icon=icon)


@register.simple_tag
def rotation_badge(state: str) -> SafeString:
    """Draw how far a rotation is."""
    words, icon, tone = STATES[state]
    return badge(words, tone=tone, icon=icon)


register.filter("overlap_words", overlap_words)
register.filter("cause_words", cause_words)


@register.filter
def method_words(method: str) -> Words:
    """Say how a decision was confirmed."""
    return METHODS.get(method, method)


@register.filter
def kind_words(kind: str) -> Words:
    """Say how the program of a key proves itself."""
    return KINDS.get(kind, kind)


@register.filter
def key_fingerprint(public_key: str) -> str:
    """Write a public key as people compare it."""
    shown = shown_key(public_key)
    return shown.fingerprint if shown else ""


@register.filter
def role_words(role: str) -> Words:
    """Say what a person does for the whole organisation."""
    return ROLES.get(role, role)


@register.filter
def days(count: int) -> str:
    """Say a number of days."""
    return days_in_words(int(count))
