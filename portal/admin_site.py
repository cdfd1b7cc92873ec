"""Serve Django's admin to administrators with a second factor, with our sign-in, our step-up and nothing that deletes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import update_wrapper
from operator import itemgetter
from typing import Any

from django.contrib.admin import AdminSite, ModelAdmin
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, reverse
from django.utils.translation import gettext_lazy as _

from audit import clock
from audit.actor import Actor
from keys.models import FactorReset, PolicyProposal
from keys.people.administration import enter_administration
from portal.accounts import step_up
from portal.actors import actor_of, find_actor, to_sign_in
from portal.web.doors import lay_needs

FLOORS = frozenset({"keys"})
# Doors of the stock admin that have no business here: sign-in, passwords and sign-out are ours.
CLOSED = frozenset({"login", "logout", "password_change", "password_change_done", "autocomplete", "view_on_site"})


class KeysteadAdminSite(AdminSite):
    """The administration. Who acts and whether they proved it is asked here; what may happen, in the operations."""

    site_header = site_title = _("Administration")
    index_title = _("Administration")
    index_template = "admin/index.html"
    enable_nav_sidebar = False

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self.disable_action("delete_selected")

    def register(
        self,
        model_or_iterable: type[Model] | Iterable[type[Model]],
        admin_class: type[ModelAdmin[Any]] | None = None,
        **options: Any,
    ) -> None:
        """Take the places of our floors only: what libraries offer would write around the operations."""
        models = [model_or_iterable] if isinstance(model_or_iterable, type) else list(model_or_iterable)
        ours = [model for model in models if model._meta.app_label in FLOORS]
        super().register(ours, admin_class, **options)

    # --- who ----------------------------------------------------------------------------------------------------------
    def has_permission(self, request: HttpRequest) -> bool:
        """An active administrator, signed in with a second factor, as the database says now."""
        actor = find_actor(request)
        return actor is not None and bool(getattr(request.user, "is_staff", False))

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:  # noqa: FBT001, FBT002 - Django's signature
        """Send strangers to sign in; for people without the role there is nothing here, and the attempt is on record."""
        inner = super().admin_view(view, cacheable)

        def knock(http: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            actor = find_actor(http)
            if actor is None:
                return to_sign_in(http)
            if not self.has_permission(http):
                enter_administration(actor=actor)  # refuses, and records the refusal
                raise Http404
            lay_needs(http, actor)
            answer: HttpResponse = inner(http, *args, **kwargs)
            return answer

        return update_wrapper(knock, view)

    def actor_of(self, http: HttpRequest) -> Actor:
        """Return the administrator behind a request."""
        return actor_of(http)

    def confirm(self, http: HttpRequest, purpose: str) -> step_up.StepUpProblem | None:
        """Make sure of a step-up for `purpose`; None means yes."""
        return step_up.confirm(http, purpose)

    def step_up(self, http: HttpRequest, purpose: str, problem: object) -> object:
        """Return what `accounts/step_up_fields.html` draws."""
        shown = problem if isinstance(problem, step_up.StepUpProblem) else None
        return step_up.fields(http, purpose, problem=shown)

    # --- pages --------------------------------------------------------------------------------------------------------
    def get_urls(self) -> list[URLResolver | URLPattern]:
        """Leave out the doors that are closed."""
        return [each for each in super().get_urls() if getattr(each, "name", None) not in CLOSED]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Show the places in groups, and what waits for a second administrator."""
        context = {"groups": self._groups(request), "waiting": self._waiting(request), **(extra_context or {})}
        return super().index(request, context)

    def app_index(
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """There is one index."""
        return self.index(request, extra_context)

    def _waiting(self, http: HttpRequest) -> list[tuple[Any, str, int]]:
        actor = self.actor_of(http)
        proposals = PolicyProposal.objects.visible_to(actor).waiting().count()
        resets = FactorReset.objects.visible_to(actor).open(clock.now()).count()
        found = [
            (_("Policy proposals"), reverse("policy_proposals"), proposals),
            (_("Factor resets"), reverse("admin:keys_factorreset_changelist"), resets),
        ]
        return [each for each in found if each[2]]

    def _groups(self, http: HttpRequest) -> list[tuple[str, list[dict[str, Any]]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for model, place in self._registry.items():
            meta = model._meta
            name = f"admin:{meta.app_label}_{meta.model_name}"
            found.setdefault(str(getattr(place, "group", "")), []).append(
                {
                    "label": str(getattr(place, "many", "") or meta.verbose_name_plural),
                    "words": (type(place).__doc__ or "").strip().rstrip("."),
                    "address": reverse(f"{name}_changelist"),
                    "add_address": reverse(f"{name}_add") if place.has_add_permission(http) else "",
                }
            )
        return [(group, sorted(places, key=itemgetter("label"))) for group, places in found.items()]
