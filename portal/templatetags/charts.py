"""Draw small charts as SVG on the server: they print, need no script and carry their numbers in words."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from django import template
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from portal.web.components import Words

register = template.Library()

WIDTH, HEIGHT, TOP, BOTTOM = 640, 160, 18, 22
FLOOR = HEIGHT - BOTTOM
# How much a digit of a label takes, as theme.css draws it on wide screens, and larger on narrow ones; and what is left between two.
WIDE, NARROW, BETWEEN = 7.0, 11.5, 3


class Bar(NamedTuple):
    """One bar, in the units of the drawing. Its labels are CSS classes of where there is room for them, or None for nowhere."""

    name: Words
    value: int
    x: float
    y: float
    width: float
    height: float
    name_shown: str | None = ""
    value_shown: str | None = ""

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def above(self) -> float:
        return self.y - 5


@register.simple_tag
def bar_chart(points: Iterable[tuple[Words, int]], *, label: Words) -> SafeString:
    """Draw named counts as bars; a table with the same numbers is folded below."""
    rows = [(name, int(value)) for name, value in points]
    highest = max((value for _, value in rows), default=0) or 1
    room = WIDTH / max(len(rows), 1)
    bars = []
    names = _shown([str(name) for name, _ in rows], room)
    values = _shown([str(value) for _, value in rows], room)
    for place, (name, value) in enumerate(rows):
        height = round((FLOOR - TOP) * value / highest, 1)
        left, width = round(place * room + room * 0.15, 1), round(room * 0.7, 1)
        bars.append(Bar(name, value, left, FLOOR - height, width, height, names[place], values[place]))
    context = {
        "bars": bars,
        "label": label,
        "width": WIDTH,
        "height": HEIGHT,
        "floor": FLOOR,
        "words_at": HEIGHT - 6,
        "is_dense": len(rows) > 16,
    }
    return render_to_string("components/bar_chart.html", context)


def _shown(labels: list[str], room: float) -> list[str | None]:
    """Where each label is shown so that none lies over another: everywhere, on wide screens, nowhere. The last one always is."""
    longest = max(map(len, labels), default=0)
    wide, narrow = (math.ceil((longest * each + BETWEEN) / room) for each in (WIDE, NARROW))
    found: list[str | None] = []
    for back in range(len(labels) - 1, -1, -1):
        if back % wide:
            found.append(None)
        else:
            found.append("roomy" if back % narrow else "")
    return found


@register.simple_tag
def paired_chart(points: Iterable[tuple[Words, int, int]], *, label: Words, first: Words, second: Words) -> SafeString:
    """Draw two counts side by side at each place, such as the old and the new; the first is hatched, so that no colour is needed."""
    rows = [(name, int(one), int(other)) for name, one, other in points]
    highest = max((max(one, other) for _, one, other in rows), default=0) or 1
    room = WIDTH / max(len(rows), 1)
    thin = max(len(rows) // 6, 1)
    pairs = []
    for place, (name, *values) in enumerate(rows):
        bars = [
            Bar(
                name,
                value,
                round(place * room + room * (0.1 + 0.4 * side), 1),
                FLOOR - (height := round((FLOOR - TOP) * value / highest, 1)),
                round(room * 0.38, 1),
                height,
            )
            for side, value in enumerate(values)
        ]
        pairs.append({"name": name, "bars": bars, "middle": bars[1].x, "is_named": place % thin == 0})
    context = {
        "pairs": pairs, "label": label, "first": first, "second": second,
        "width": WIDTH, "height": HEIGHT, "floor": FLOOR, "words_at": HEIGHT - 6, "highest": highest,
    }  # fmt: skip
    return render_to_string("components/paired_chart.html", context)
