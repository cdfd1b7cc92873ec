"""Draw lucide icons as inline SVG, silent for screen readers unless they carry a label."""

from django import template
from django.utils.safestring import SafeString, mark_safe
from lucide.templatetags.lucide import lucide

register = template.Library()


@register.simple_tag
def icon(name: str, *, size: int = 16, label: str = "") -> SafeString:
    """Draw the icon `name`; lucide raises on a name it does not know, so tests render every template."""
    attributes: dict[str, str] = {"class": "icon"}
    if label:
        attributes |= {"role": "img", "aria-label": str(label)}
    else:
        attributes |= {"aria-hidden": "true", "focusable": "false"}
    # lucide builds the SVG with ElementTree, which escapes every attribute.
    return mark_safe(str(lucide(str(name), size=size, **attributes)))  # noqa: S308
