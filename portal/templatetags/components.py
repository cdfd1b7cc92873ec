"""Build pages from the components in templates/components: blocks that wrap words, and panels that draw shapes."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from django import template
from django.forms import BaseForm
from django.http import HttpRequest
from django.template.context import Context
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from portal.web.components import Change, Quorum, Stat, Step, Tab, Term, TimelineItem, Words
from portal.web.listing import Page, Sorting

register = template.Library()

CALLOUT_ICONS = {
    "neutral": "info",
    "info": "info",
    "success": "circle-check",
    "warning": "triangle-alert",
    "danger": "octagon-alert",
}

FILTER, PROGRESS, TIMELINE = _("Filter the list"), _("Progress"), _("Timeline")
DIFFERENCES, BEFORE, AFTER = _("Differences"), _("Before"), _("After")


def _draw(name: str, /, **context: object) -> SafeString:
    return render_to_string(f"components/{name}.html", context)


def _query(context: Context, **changes: str) -> str:
    """Keep the filters of this page and change some of its query; an empty value leaves the query."""
    http: HttpRequest | None = context.get("request")
    query = http.GET.copy() if http is not None else None
    if query is None:
        return "?"
    for name, value in changes.items():
        if value:
            query[name] = value
        else:
            query.pop(name, None)
    return f"?{query.urlencode()}"


@register.simple_block_tag
def card(content: SafeString, *, title: Words = "", flush: bool = False, level: int = 2) -> SafeString:
    """Wrap words in a sheet with an optional heading; `flush` for tables that touch its edges."""
    return _draw("card", content=content, title=title, flush=flush, level=level)


@register.simple_block_tag
def callout(content: SafeString, *, tone: str = "info", title: Words = "", icon: str = "") -> SafeString:
    """Wrap words that must be read: neutral, info, success, warning or danger."""
    chosen = icon or CALLOUT_ICONS[tone]
    return _draw("callout", content=content, tone=tone, title=title, icon=chosen)


@register.simple_block_tag
def empty_state(content: SafeString, *, title: Words, words: Words = "", icon: str = "inbox") -> SafeString:
    """Say that there is nothing here and why; the block holds the next step as links or buttons."""
    return _draw("empty_state", content=SafeString(content.strip()), title=title, words=words, icon=icon)


@register.simple_block_tag
def table(content: SafeString, *, label: Words, caption: Words = "", stack: bool = True) -> SafeString:
    """Wrap `thead` and `tbody`; on narrow screens rows stack, each `td` led by its `data-label`."""
    return _draw("table", content=content, label=label, caption=caption, stack=stack)


@register.simple_block_tag
def disclosure(content: SafeString, *, summary: Words, is_open: bool = False) -> SafeString:
    """Wrap words that are folded until asked for."""
    return _draw("disclosure", content=content, summary=summary, is_open=is_open)


@register.simple_block_tag
def code_block(content: SafeString, *, name: str, label: Words = "") -> SafeString:
    """Wrap preformatted text with a copy button; `name` is unique on the page."""
    return _draw("code", content=SafeString(content.strip("\n")), name=name, label=label)


@register.simple_block_tag(takes_context=True)
def filter_form(context: Context, content: SafeString, *, label: Words = FILTER) -> SafeString:
    """Wrap the filters of a list in a GET form; each field is `<div class="filter">` with its label."""
    http: HttpRequest | None = context.get("request")
    sort = http.GET.get("sort", "") if http is not None else ""
    path = http.path if http is not None else ""
    return _draw("filter_form", content=content, label=label, sort=sort, path=path)


@register.simple_tag(takes_context=True)
def sort_header(context: Context, sorting: Sorting, name: str, words: Words, *, classes: str = "") -> SafeString:
    """Draw a heading cell whose link sorts the list by the allowed column `name`."""
    href = _query(context, sort=sorting.toggled(name), cursor="")
    return _draw("sort_header", words=words, direction=sorting.direction_of(name), href=href, classes=classes)


@register.simple_tag(takes_context=True)
def pager(context: Context, page: Page[Any], *, words: Words = "") -> SafeString:
    """Draw links to the pages before and after; `words` say what is counted."""
    previous = _query(context, cursor=page.previous) if page.previous else ""
    following = _query(context, cursor=page.next) if page.next else ""
    return _draw("pager", previous=previous, next=following, words=words)


@register.simple_tag
def breadcrumb(*trail: Words) -> SafeString:
    """Draw a trail: words and address in turn, and at the end the words of this page."""
    links = list(zip(trail[0:-1:2], trail[1::2], strict=False))
    return _draw("breadcrumb", links=links, current=trail[-1])


@register.simple_tag
def tabs(entries: Iterable[Tab], *, label: Words) -> SafeString:
    """Draw several views of one thing as links."""
    return _draw("tabs", entries=entries, label=label)


@register.simple_tag
def timeline(items: Iterable[TimelineItem], *, label: Words = TIMELINE) -> SafeString:
    """Draw what happened, in the order given."""
    return _draw("timeline", items=items, label=label)


@register.simple_tag
def diff(
    changes: Sequence[Change],
    *,
    label: Words = DIFFERENCES,
    before: Words = BEFORE,
    after: Words = AFTER,
) -> SafeString:
    """Draw old beside new; words say what was added and removed."""
    return _draw("diff", changes=changes, label=label, before=before, after=after)


@register.simple_tag
def terms(entries: Iterable[Term]) -> SafeString:
    """Draw a definition list. For values that need tags write `<dl class="terms">` yourself."""
    return _draw("terms", entries=entries)


@register.simple_tag
def tiles(stats: Iterable[Stat]) -> SafeString:
    """Draw a row of figures."""
    return _draw("tiles", stats=stats)


@register.simple_tag
def progress_steps(steps: Iterable[Step], *, label: Words = PROGRESS) -> SafeString:
    """Draw a course of steps."""
    return _draw("steps", steps=steps, label=label)


@register.simple_tag
def quorum(state: Quorum) -> SafeString:
    """Draw how many approvals a request has, by whom, and how many it still needs."""
    return _draw("quorum", quorum=state, open_seats=range(state.needed - len(state.seats)))


@register.simple_tag
def secret_reveal(secret: str, *, name: str, label: Words, masked: str = "") -> SafeString:
    """Draw a secret that can be copied without being shown; only in a POST answer with no-store."""
    return _draw("secret", secret=secret, name=name, label=label, masked=masked)


@register.simple_tag
def error_summary(*forms: BaseForm) -> SafeString:
    """List what must be mended above a form, each with a link to its field."""
    errors: list[tuple[str, str]] = []
    for form in forms:
        errors += [("", str(error)) for error in form.non_field_errors()]
        for bound in form:
            target = _target(str(bound.auto_id), is_group=bound.use_fieldset)
            errors += [(target, f"{bound.label}: {error}") for error in bound.errors]
    return _draw("error_summary", errors=errors) if errors else SafeString("")


def _target(auto_id: str, *, is_group: bool) -> str:
    """Name the element to jump to: a group of radio buttons has an id on each button only."""
    return f"{auto_id}_0" if is_group else auto_id


@register.simple_tag
def form_fields(form: BaseForm) -> SafeString:
    """Draw the fields of a form, each with its label, help and errors; put `error_summary` above."""
    return _draw("form_fields", form=form)


@register.filter
def spaced(text: str, size: int = 4) -> str:
    """Break a long code into groups for reading aloud."""
    return " ".join(re.findall(f".{{1,{int(size)}}}", str(text)))
