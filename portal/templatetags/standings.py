"""Say how a key and its rotation stand, and how its program proves itself."""

from django import template
from django.utils.safestring import SafeString

from keys.lifecycle.minting import shown_key
from keys.lifecycle.rotation_course import longest_overlap
from keys.models import ManagedKey
from keys.policy.rotation_plan import plan_in
from portal.templatetags.badges import badge
from portal.web.components import Words
from portal.web.rotation_words import STATES, PlanWords, cause_words, overlap_words, plan_words
from portal.web.wording import KINDS, STANDINGS, days_in_words, service_in

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


register.simple_tag(service_in)
register.filter("overlap_words", overlap_words)
register.filter("cause_words", cause_words)


@register.filter
def plan(key: ManagedKey) -> PlanWords:
    """Say how the secrets of a key are replaced."""
    return plan_words(plan_in(key.rotation), longest=longest_overlap(key))


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
def days(count: int) -> str:
    """Say a number of days."""
    return days_in_words(int(count))
