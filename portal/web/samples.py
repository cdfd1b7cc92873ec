"""Let auditors draw a sample from what they searched for, open it, and draw it again to see that it is the same."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actor import Actor
from keys.errors import Conflict, Invalid
from keys.reports.labels import actor_name, names_in
from keys.reports.log import enter_log
from keys.reports.samples import (
    MOST_DRAWN,
    MOST_POPULATION,
    USUAL_SIZE,
    Redraw,
    Sample,
    draw_sample,
    read_sample,
    redraw_sample,
)
from portal.web.components import Term
from portal.web.doors import act, form_page, page
from portal.web.event_pages import event_rows
from portal.web.log_form import LogForm, in_words
from portal.web.reasons import mark, words_of


class DrawForm(forms.Form):
    """How many events to draw, and from which seed."""

    size = forms.IntegerField(
        label=gettext_lazy("How many events"), initial=USUAL_SIZE, min_value=1, max_value=MOST_DRAWN
    )
    seed = forms.CharField(
        label=gettext_lazy("Seed"),
        required=False,
        max_length=64,
        help_text=gettext_lazy(
            "Leave it empty and chance chooses. Type one to repeat a draw, or one that nobody here chose: "
            "dice, tomorrow's lottery numbers. That it was typed is on record."
        ),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


@form_page
def new_sample(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Say what a sample is drawn from, and draw it."""
    enter_log(actor=actor)
    search = LogForm(http.GET, actor=actor)
    form = DrawForm(http.POST if http.method == "POST" else None)
    if http.method == "POST" and search.is_valid() and form.is_valid():
        try:
            uid = draw_sample(search.search(), actor=actor, **form.cleaned_data)
        except Invalid as invalid:
            mark(form, invalid)
        except Conflict as conflict:
            form.add_error(None, words_of(conflict))
        else:
            return HttpResponseRedirect(reverse("audit_sample", args=[uid]))
    context = {
        "form": form,
        "search": search,
        "told": search.in_words(),
        "back": reverse("audit") + search.query(),
        "most": f"{MOST_POPULATION:,}",
    }
    refused = not search.is_valid() or bool(form.errors)
    return render(http, "web/audit/new_sample.html", context, status=422 if refused else 200)


@page
def sample(http: HttpRequest, actor: Actor, uid: UUID) -> HttpResponse:
    """Show what was drawn."""
    return render(http, "web/audit/sample.html", _facts(read_sample(uid, actor=actor)))


@act
def redraw(http: HttpRequest, actor: Actor, uid: UUID) -> HttpResponse:
    """Draw it again and say whether it is the same."""
    again = redraw_sample(uid, actor=actor)
    return render(http, "web/audit/sample.html", _facts(read_sample(uid, actor=actor), again))


def _facts(found: Sample, again: Redraw | None = None) -> dict[str, object]:
    events = [event for event in found.drawn if event is not None]
    return {
        "sample": found,
        "rows": event_rows(events, names_in(events), found.seals),
        "archived": [leaf for leaf, event in zip(found.leaves, found.drawn, strict=True) if event is None],
        "by": actor_name(found.event),
        "told": in_words(found.facts["searched"])[0],
        "population_address": f"{reverse('audit')}{_query(found)}",
        "population_export": f"{reverse('audit_export')}{_query(found)}",
        "export_address": f"{reverse('audit_export')}?sample={found.event.uid}",
        "terms": _terms(found),
        "again": again,
    }


def _query(found: Sample) -> str:
    frozen = replace(found.search, sealed_before=found.facts["checkpoint"])
    return "?" + urlencode(frozen.kept())


def _terms(found: Sample) -> list[Term]:
    facts = found.facts
    chosen = _("typed by whoever drew") if facts["seed_chosen"] else _("chosen by chance")
    return [
        Term(name=_("Seed"), value=facts["seed"], mono=True),
        Term(name=_("The seed was"), value=chosen),
        Term(name=_("Drawn"), value=_("%(size)s of %(all)s") % {"size": len(found.leaves), "all": facts["population"]}),
        Term(name=_("Frozen at the checkpoint of"), value=_("%(size)s leaves") % {"size": facts["checkpoint"]}),
        Term(name=_("Root of that checkpoint"), value=facts["root"], mono=True),
        Term(name=_("SHA-256 of the population"), value=facts["population_sha256"], mono=True),
        Term(name=_("Algorithm"), value=facts["algorithm"], mono=True),
        Term(name=_("Event"), value=str(found.event.uid), mono=True),
    ]
