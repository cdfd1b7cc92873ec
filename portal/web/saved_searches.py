"""Let auditors keep a search of the log under a name, find it again, share it, rename it and remove it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actor import Actor
from keys.errors import Invalid, NotFound
from keys.models import SavedSearch
from keys.reports.log import enter_log
from keys.reports.saved_searches import LONGEST_NAME, change_saved_search, remove_saved_search, save_search
from keys.reports.searches import LogSearch
from portal.web.doors import act, form_page, page
from portal.web.log_form import LogForm, in_words
from portal.web.reasons import mark


@dataclass(frozen=True, kw_only=True)
class SavedRow:
    """One saved search in a list."""

    saved: SavedSearch
    address: str
    told: dict[str, str]
    is_mine: bool


class NameForm(forms.Form):
    """What a saved search is called, and who sees it."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=LONGEST_NAME)
    is_shared = forms.BooleanField(
        label=gettext_lazy("Share it with everybody who may read the log"),
        required=False,
        help_text=gettext_lazy("They can open it; only you can change or remove it."),
    )


def saved_for(actor: Actor) -> list[SavedRow]:
    """List what somebody saved and what is shared with them, their own first."""
    rows = list(SavedSearch.objects.visible_to(actor).living().select_related("person"))
    told = in_words(*(LogSearch.of(row.query).told() for row in rows))
    found = [
        SavedRow(
            saved=row,
            address=f"{reverse('audit')}?{urlencode(row.query)}",
            told=words,
            is_mine=str(row.person_id) == actor.id,
        )
        for row, words in zip(rows, told, strict=True)
    ]
    return sorted(found, key=lambda row: not row.is_mine)


@page
def saved_searches(http: HttpRequest, actor: Actor) -> HttpResponse:
    """List them."""
    enter_log(actor=actor)
    return render(http, "web/audit/searches.html", {"rows": saved_for(actor)})


@form_page
def save(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Keep the search of this address under a name."""
    enter_log(actor=actor)
    search = LogForm(http.GET, actor=actor)
    form = NameForm(http.POST if http.method == "POST" else None)
    if http.method == "POST" and search.is_valid() and form.is_valid():
        try:
            saved = save_search(search.search(), actor=actor, **form.cleaned_data)
        except Invalid as invalid:
            mark(form, invalid)
        else:
            messages.success(http, _("Saved as “%(name)s”.") % {"name": saved.name})
            return HttpResponseRedirect(reverse("audit") + search.query())
    context = {"form": form, "search": search, "told": search.in_words(), "back": reverse("audit") + search.query()}
    return render(http, "web/audit/save_search.html", context, status=422 if _is_refused(search, form) else 200)


@form_page
def change(http: HttpRequest, actor: Actor, uid: UUID) -> HttpResponse:
    """Give a saved search another name, share it or keep it to oneself."""
    enter_log(actor=actor)
    saved = _saved(uid, actor=actor)
    form = NameForm(
        http.POST if http.method == "POST" else None, initial={"name": saved.name, "is_shared": saved.is_shared}
    )
    if http.method == "POST" and form.is_valid():
        try:
            saved = change_saved_search(saved, actor=actor, **form.cleaned_data)
        except Invalid as invalid:
            mark(form, invalid)
        else:
            messages.success(http, _("Changed."))
            return HttpResponseRedirect(reverse("saved_searches"))
    (told,) = in_words(LogSearch.of(saved.query).told())
    context = {"form": form, "saved": saved, "told": told, "back": reverse("saved_searches")}
    return render(http, "web/audit/save_search.html", context, status=422 if form.errors else 200)


@act
def remove(http: HttpRequest, actor: Actor, uid: UUID) -> HttpResponse:
    """Remove a saved search."""
    enter_log(actor=actor)
    remove_saved_search(_saved(uid, actor=actor), actor=actor)
    messages.success(http, _("Removed. The log keeps that it was there."))
    return HttpResponseRedirect(reverse("saved_searches"))


def _is_refused(search: LogForm, form: NameForm) -> bool:
    return not search.is_valid() or bool(form.errors)


def _saved(uid: UUID, *, actor: Actor) -> SavedSearch:
    found = SavedSearch.objects.visible_to(actor).living().select_related("person").filter(pk=uid).first()
    if found is None:
        raise NotFound
    return found
