"""Say state, environment, risk and access with an icon and a word; colour only repeats them."""

from collections.abc import Mapping
from typing import NamedTuple

from django import template
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from keys.states import Access, EnvironmentClass, Origin, RequestState, Risk, VersionState

register = template.Library()

Words = object  # a str or a lazy translation of one


class Look(NamedTuple):
    """How one value is shown."""

    words: Words
    icon: str
    tone: str
    extra: str = ""


ENVIRONMENTS: Mapping[str, Look] = {
    EnvironmentClass.DEVELOPMENT: Look(_("Development"), "flask-conical", "neutral"),
    EnvironmentClass.TEST: Look(_("Test"), "test-tube", "info"),
    EnvironmentClass.PRODUCTION: Look(_("Production"), "radio-tower", "danger", "tag-production"),
}
TAGS = {
    "dev": EnvironmentClass.DEVELOPMENT,
    "test": EnvironmentClass.TEST,
    "prod": EnvironmentClass.PRODUCTION,
}
VERSION_STATES: Mapping[str, Look] = {
    VersionState.PRE_ACTIVATION: Look(_("Pre-activation"), "hourglass", "info"),
    VersionState.ACTIVE: Look(pgettext_lazy("key state", "Active"), "circle-check", "success"),
    VersionState.SUSPENDED: Look(pgettext_lazy("key state", "Suspended"), "circle-pause", "warning"),
    VersionState.DEACTIVATED: Look(pgettext_lazy("key state", "Deactivated"), "circle-off", "neutral"),
    VersionState.COMPROMISED: Look(pgettext_lazy("key state", "Compromised"), "siren", "danger"),
    VersionState.DESTROYED: Look(pgettext_lazy("key state", "Destroyed"), "trash-2", "neutral", "tag-struck"),
}
REQUEST_STATES: Mapping[str, Look] = {
    RequestState.PENDING: Look(_("Waiting for approval"), "clock", "info"),
    RequestState.RETURNED: Look(_("Question for the requester"), "message-circle-question-mark", "warning"),
    RequestState.APPROVED: Look(pgettext_lazy("request state", "Approved"), "circle-check", "success"),
    RequestState.DENIED: Look(pgettext_lazy("request state", "Denied"), "circle-x", "danger"),
    RequestState.WITHDRAWN: Look(pgettext_lazy("request state", "Withdrawn"), "undo-2", "neutral"),
    RequestState.LAPSED: Look(pgettext_lazy("request state", "Lapsed"), "timer-off", "neutral"),
}
RISKS: Mapping[str, Look] = {
    Risk.LOW: Look(_("Low risk"), "signal-low", "neutral"),
    Risk.MEDIUM: Look(_("Medium risk"), "signal-medium", "info"),
    Risk.HIGH: Look(_("High risk"), "signal-high", "warning"),
    Risk.CRITICAL: Look(_("Critical risk"), "triangle-alert", "danger"),
}
ACCESSES: Mapping[str, Look] = {
    Access.READ: Look(pgettext_lazy("access", "Read"), "eye", "neutral"),
    Access.WRITE: Look(pgettext_lazy("access", "Write"), "pencil", "info"),
    Access.ADMIN: Look(pgettext_lazy("access", "Admin"), "wrench", "warning"),
}
ORIGINS: Mapping[str, Look] = {
    Origin.REQUEST: Look(_("By request"), "file-check", "neutral"),
    Origin.BREAK_GLASS: Look(_("Break-glass"), "siren", "danger"),
    Origin.ADOPTION: Look(_("Adopted"), "import", "neutral"),
    Origin.BOOTSTRAP: Look(_("First start"), "power", "neutral"),
}


def _draw(look: Look, kind: str, words: Words = "") -> SafeString:
    context = {
        "words": words or look.words,
        "icon": look.icon,
        "tone": look.tone,
        "classes": f"{kind} {look.extra}".strip(),
    }
    return render_to_string("components/badge.html", context)


def _look(looks: Mapping[str, Look], value: object) -> Look:
    """Find how `value` looks; a value nobody has drawn yet is shown in its own words, never dropped."""
    return looks.get(str(value)) or Look(str(value), "tag", "neutral")


@register.simple_tag
def badge(words: Words, *, tone: str = "neutral", icon: str = "tag") -> SafeString:
    """Draw a free badge."""
    return _draw(Look(words, icon, tone), "")


@register.simple_tag
def environment_badge(environment: object) -> SafeString:
    """Draw an environment: a row of the catalogue, a class, or a tag. Production is filled and bold."""
    kind = str(getattr(environment, "environment_class", environment))
    look = _look(ENVIRONMENTS, TAGS.get(kind, kind))
    return _draw(look, "tag-environment", str(getattr(environment, "name", "")))


@register.simple_tag
def state_badge(state: object) -> SafeString:
    """Draw the state of a key version."""
    return _draw(_look(VERSION_STATES, state), "tag-state")


@register.simple_tag
def request_badge(state: object) -> SafeString:
    """Draw the state of a request."""
    return _draw(_look(REQUEST_STATES, state), "tag-state")


@register.simple_tag
def risk_badge(risk: object) -> SafeString:
    """Draw a risk tier."""
    return _draw(_look(RISKS, risk), "tag-risk")


@register.simple_tag
def access_badge(access: object) -> SafeString:
    """Draw what a scope lets its holder do."""
    return _draw(_look(ACCESSES, access), "tag-access")


@register.simple_tag
def origin_badge(origin: object) -> SafeString:
    """Draw how a key came to be."""
    return _draw(_look(ORIGINS, origin), "tag-risk")


@register.simple_tag
def key_text(kid: str, *, environment: object = "", last4: str = "") -> SafeString:
    """Draw the part of a key's text that may be shown: prefix, kid and, when known, the last four."""
    tag = getattr(environment, "tag", environment)
    prefix = f"ks_{tag}_" if tag else ""
    return format_html(
        '<span class="key-text"><span class="fade-part">{}</span>{}<span class="fade-part">…{}</span></span>',
        prefix,
        kid,
        last4,
    )
