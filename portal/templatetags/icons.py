"""Draw lucide icons as inline SVG, silent for screen readers unless they carry a label."""

from functools import lru_cache

from django import template
from django.utils.safestring import SafeString, mark_safe
from lucide.templatetags.lucide import lucide

register = template.Library()


@register.simple_tag
def icon(name: str, *, size: int = 16, label: str = "") -> SafeString:
    """Draw the icon `name`; lucide raises on a name it does not know, so tests render every template."""
    return _drawn(str(name), size, str(label))


@lru_cache(maxsize=512)  # a page has two dozen icons, and to build their trees anew took a twelfth of its time
def _drawn(name: str, size: int, label: str) -> SafeString:
    attributes: dict[str, str] = {"class": "icon"}
    if label:
        attributes |= {"role": "img", "aria-label": label}
    else:
        attributes |= {"aria-hidden": "true", "focusable": "false"}
    # lucide builds the SVG with ElementTree, which escapes every attribute.
    return mark_safe(str(lucide(name, size=size, **attributes)))  # noqa: S308
