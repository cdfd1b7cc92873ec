"""Turn a model into places: a list to search, a page to read, and a page for each act. Only operations change anything."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db import models
from django.forms import Media
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from audit import clock
from keys.admin import selection
from keys.admin.acts import Act, ActForm, Shown, Terms, Words
from keys.admin.attempts import attempt, attempt_each, words_of
from keys.admin.cells import Table, fact
from keys.admin.site import Proof, Site
from keys.errors import Conflict

Row = TypeVar("Row", bound=models.Model)
MOST_AT_ONCE = 200
SPANS = ("year", "month", "day")
# What the stock filters append to the column they filter by.
FILTER_ENDINGS = ("", "__exact", "__id__exact", "__isnull", "__isempty")


# Django's class is generic for the type checker only.
if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin
else:

    class _ModelAdmin(admin.ModelAdmin):
        def __class_getitem__(cls, _item: object) -> type:
            return cls


class OperationAdmin(_ModelAdmin[Row]):
    """A place of the administration: stock lists, filters and search; reading and acting on pages of our own."""

    group: ClassVar[Words] = ""  # the heading of the index under which this place stands
    many: ClassVar[Words] = ""  # what such rows are called
    target_type: ClassVar[str] = ""  # what the log calls such a row
    acts: ClassVar[Sequence[Act[Any]]] = ()
    shown: ClassVar[Sequence[str]] = ()  # columns on the page of a row
    list_per_page = 50
    show_full_result_count = False

    @property
    def site(self) -> Site:
        """The site, as this room needs it."""
        return cast("Site", self.admin_site)

    @property
    def media(self) -> Media:
        """Ticking many rows wants one script; every other script of the stock admin stays out."""
        return Media(js=["admin/js/actions.js"] if any(act.in_bulk for act in self.acts) else [])

    # --- who may ----------------------------------------------------------------------------------------------------
    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Whoever the site lets in reads everything here."""
        return True

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Something can be made where an act makes it."""
        return any(act.makes for act in self.acts)

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Nothing is changed by a stock form."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Nothing is ever deleted."""
        return False

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Row]:
        """What this administrator may see."""
        manager = cast("Any", self.model._default_manager)  # every model of this floor has visible_to
        found: models.QuerySet[Row] = manager.visible_to(self.site.actor_of(request))
        related = self.list_select_related
        return found.select_related(*related) if isinstance(related, list | tuple) and related else found

    # --- pages ------------------------------------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        """Only lists, pages and acts: there is no address at which anything could be deleted."""
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.changelist_view), name=f"{name}_changelist"),
            path("add/", wrap(self.add_view), name=f"{name}_add"),
            path("acts/<slug:act>/", wrap(self.bulk_view), name=f"{name}_bulk"),
            path("<path:object_id>/acts/<slug:act>/", wrap(self.act_view), name=f"{name}_act"),
            path("<path:object_id>/change/", wrap(self.change_view), name=f"{name}_change"),
        ]

    def get_actions(self, request: HttpRequest) -> dict[str, tuple[Callable[..., HttpResponseBase | None], str, str]]:  # type: ignore[override]
        """Offer the acts that can be done to several rows."""
        return {act.name: (_beginning(act), act.name, str(act.label)) for act in self.acts if act.in_bulk}

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only by what the list offers: any other column of a row, letter by letter, would tell hashes and more."""
        return lookup in self._offered_lookups(request)

    def _offered_lookups(self, http: HttpRequest | None) -> set[str]:
        offered = {f"{self.date_hierarchy}__{unit}" for unit in SPANS} if self.date_hierarchy else set()
        for each in self.get_list_filter(http) if http is not None else self.list_filter:
            if isinstance(each, type) and issubclass(each, admin.SimpleListFilter):
                offered.add(str(each.parameter_name))
            else:
                path = str(each[0] if isinstance(each, tuple | list) else each)
                offered |= {path + ending for ending in FILTER_ENDINGS}
        return offered

    def get_action_choices(
        self, request: HttpRequest, default_choices: list[tuple[str, str]] | None = None
    ) -> list[tuple[str, str]]:
        """Ask for an act in words."""
        return super().get_action_choices(request, [("", _("Choose"))])

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """List, search, filter."""
        if self.date_hierarchy and not _is_span(request.GET, str(self.date_hierarchy)):
            return HttpResponseRedirect(self._list_address())  # the stock list fails on days no calendar has
        making = [act for act in self.acts if act.makes]
        context = {
            "making": making,
            "add_address": reverse(f"{self._name}_add"),
            "title": self.many,
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show everything about a row, what belongs to it, and what can be done."""
        row = self._found(request, object_id)
        context = {
            "row": row,
            "title": self.title(row),
            "facts": self.facts(row),
            "tables": self.tables(row),
            "acts": [act for act in self.acts if not act.makes and act.is_offered(row)],
            "target": f"{self.target_type}:{row.pk}" if self.target_type else "",
            "remark": self.remark(row),
            "acts_address": reverse(f"{self._name}_change", args=[row.pk]).removesuffix("change/") + "acts/",
            **(extra_context or {}),
        }
        return self._page(request, "admin/details.html", context)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Make something new."""
        act = next((each for each in self.acts if each.makes), None)
        if act is None:
            raise Http404
        return self._perform(request, act, None)

    def act_view(self, http: HttpRequest, object_id: str, act: str) -> HttpResponse:
        """Do something to one row."""
        return self._perform(http, self._act(act), self._found(http, object_id))

    def bulk_view(self, http: HttpRequest, act: str) -> HttpResponse:
        """Do something to the rows that the page before listed."""
        wanted = self._act(act)
        if http.method != "POST" or not wanted.in_bulk:
            return HttpResponseRedirect(self._list_address())
        try:
            chosen = selection.read(wanted, http.POST.get("seen", ""))
        except Conflict as refused:
            messages.error(http, words_of(refused))
            return HttpResponseRedirect(self._list_address())
        rows = list(self.get_queryset(http).filter(pk__in=chosen.seen))
        form = wanted.form(http.POST, rows=rows, phrase=wanted.phrase(rows))
        problem = wanted.selection_problem(rows)
        if problem:
            form.add_error(None, str(problem))
        proof = self.site.confirm(http, wanted.purpose) if form.is_valid() else None
        if proof is not None or not form.is_valid():
            status = proof.status if proof is not None else 422
            return self._act_page(http, wanted, rows, form, proof=proof, status=status, in_bulk=True)
        receipts = attempt_each(wanted, rows, form, selection=chosen, actor=self.site.actor_of(http))
        context = {
            "title": wanted.label,
            "act": wanted,
            "receipts": receipts,
            "done": sum(each.done for each in receipts),
            "list_address": self._list_address(),
        }
        return self._page(http, "admin/receipt.html", context)

    def begin_bulk(self, http: HttpRequest, act: Act[Row], found: models.QuerySet[Row]) -> HttpResponse | None:
        """Show what an act would do to the chosen rows, before anything is done."""
        rows = list(found[: MOST_AT_ONCE + 1])
        problem = act.selection_problem(rows)
        if len(rows) > MOST_AT_ONCE:
            problem = _("Choose at most %(most)s at once; filter the list first.") % {"most": MOST_AT_ONCE}
        if problem or not rows:
            messages.error(http, str(problem or _("Nothing was chosen.")))
            return None
        form = act.form(rows=rows, phrase=act.phrase(rows))
        return self._act_page(http, act, rows, form, proof=None, status=200, in_bulk=True)

    # --- what subclasses say ------------------------------------------------------------------------------------------
    def title(self, row: Row) -> str:
        """The heading of the page of a row."""
        return str(row)

    def facts(self, row: Row) -> Terms:
        """The columns of the page of a row."""
        return [fact(row, name) for name in self.shown]

    def tables(self, row: Row) -> list[Table]:
        """What belongs to a row."""
        return []

    def remark(self, row: Row) -> str:
        """Something that must be known about a row before all else."""
        return ""

    # --- inside -------------------------------------------------------------------------------------------------------
    def _perform(self, http: HttpRequest, act: Act[Row], row: Row | None) -> HttpResponse:
        rows = [] if row is None else [row]
        initial = act.initial(row) if row is not None else {}
        form = act.form(
            http.POST if http.method == "POST" else None, rows=rows, phrase=act.phrase(rows), initial=initial
        )
        if http.method != "POST" or "_look" in http.POST or not form.is_valid():
            looking = http.method != "POST" or form.is_valid()
            return self._act_page(http, act, rows, form, proof=None, status=200 if looking else 422)
        proof = self.site.confirm(http, act.purpose)
        if proof is not None:
            return self._act_page(http, act, rows, form, proof=proof, status=proof.status)
        try:
            seen = selection.read(act, http.POST.get("seen", "")).of(row) if row is not None else ""
        except (Conflict, KeyError):
            form.add_error(None, words_of(Conflict("page_too_old")))
            return self._act_page(http, act, rows, form, proof=None, status=409)
        tried = attempt(act, row, form, seen=seen, actor=self.site.actor_of(http))
        if tried.status != 200:
            return self._act_page(http, act, rows, form, proof=None, status=tried.status)
        if isinstance(tried.result, Shown):
            # Written into this answer and nowhere else: not into a message, which would rest in the session.
            shown = {"title": act.label, "shown": tried.result, "secret": tried.result.secret.reveal()}
            return self._page(http, "admin/shown.html", shown)
        messages.success(http, str(act.answer(tried.result)))
        return HttpResponseRedirect(self._address_of(tried.result or row))

    def _act_page(
        self,
        http: HttpRequest,
        act: Act[Row],
        rows: Sequence[Row],
        form: ActForm,
        *,
        proof: Proof | None,
        status: int,
        in_bulk: bool = False,
    ) -> HttpResponse:
        actor, at = self.site.actor_of(http), clock.now()
        cleaned = form.cleaned_data if form.is_bound and form.is_valid() else None
        previews = [(row, act.preview(row, actor=actor, at=at)) for row in rows]
        context = {
            "title": act.title(rows),
            "act": act,
            "rows": rows,
            "form": form,
            "seen": selection.sign(act, rows),
            "consequences": act.consequences(rows),
            "previews": previews,
            "heads": [words for words, _value in previews[0][1]] if act.as_table and len(rows) > 1 else [],
            "difference": act.difference(rows[0], cleaned) if len(rows) == 1 else (),
            "step_up": self.site.step_up(http, act.purpose, proof),
            "action": reverse(f"{self._name}_bulk", args=[act.name]) if in_bulk else http.path,
            "back": self._address_of(rows[0]) if len(rows) == 1 and not in_bulk else self._list_address(),
            "in_bulk": in_bulk,
        }
        return self._page(http, "admin/act.html", context, status=status)

    def _page(self, http: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
        shared = {
            **self.site.each_context(http),
            "opts": self.opts,
            "list_address": self._list_address(),
            "list_words": self.many,
        }
        return TemplateResponse(http, template, {**shared, **context}, status=status)

    def _act(self, name: str) -> Act[Row]:
        act = next((each for each in self.acts if each.name == name and not each.makes), None)
        if act is None:
            raise Http404
        return act

    def _found(self, http: HttpRequest, object_id: str) -> Row:
        row = self.get_object(http, unquote(object_id))
        if row is None:
            raise Http404
        return row

    @property
    def _name(self) -> str:
        return f"admin:{self.opts.app_label}_{self.opts.model_name}"

    def _list_address(self) -> str:
        return reverse(f"{self._name}_changelist")

    def _address_of(self, row: models.Model | Shown | None) -> str:
        if not isinstance(row, models.Model):
            return self._list_address()
        return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def _is_span(query: QueryDict, column: str) -> bool:
    """Whether the address names no span of time, or a year, a month of a year or a day of a month that exist."""
    given = [query.getlist(f"{column}__{unit}") for unit in SPANS]
    texts = [text for texts in given for text in texts]
    if any(len(texts) > 1 for texts in given) or [bool(texts) for texts in given] != [
        place < len(texts) for place in range(len(SPANS))
    ]:
        return False
    if not all(text.isascii() and text.isdigit() and len(text) <= 4 for text in texts):
        return False
    year, month, day = [*map(int, texts), *[1] * (len(SPANS) - len(texts))]
    return 1 <= year <= 9998 and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]


def _beginning(act: Act[Any]) -> Callable[..., HttpResponse | None]:
    def begin(place: OperationAdmin[Any], http: HttpRequest, found: models.QuerySet[Any]) -> HttpResponse | None:
        return place.begin_bulk(http, act, found)

    return begin
