"""Draw every component with made-up rows: a site of a few pages for eyes, axe and the CSP, without a database."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import engines
from django.urls import path

from keys.states import Access, Origin, RequestState, Risk, VersionState
from portal.web.components import Quorum, Seat, Stat, Tab, Term, TimelineItem, difference, steps
from portal.web.errors import error_page
from portal.web.listing import Page, Sorting

HERE = Path(__file__).parent
PAGES = [
    ("/?break=1", 200),
    ("/form/", 200),
    ("/form/?bad=1", 200),
    ("/sign-in/", 200),
    ("/error/404/", 404),
    ("/error/500/", 500),
]
NOW = datetime.now(UTC)
PERSON = SimpleNamespace(
    name="Alice Amsel",
    email="alice@example.org",
    roles=["administrator", "auditor", "responder"],
    is_authenticated=True,
    is_active=True,
    is_staff=True,
    has_perm=lambda *_: False,
    has_module_perms=lambda *_: False,
)


class WishForm(forms.Form):
    """One field of each kind."""

    service = forms.ChoiceField(choices=[("", "Choose"), ("orders", "orders"), ("wallets", "wallets")])
    environment = forms.ChoiceField(
        choices=[("dev", "Development"), ("test", "Test"), ("prod", "Production")], widget=forms.RadioSelect
    )
    scopes = forms.MultipleChoiceField(
        choices=[("orders:read", "orders:read"), ("orders:write", "orders:write")],
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text="The fewest that the work needs.",
    )
    networks = forms.CharField(required=False, help_text="One CIDR a line.", widget=forms.Textarea(attrs={"rows": 3}))
    until = forms.DateField(widget=forms.DateInput(attrs={"type": "date"}))
    purpose = forms.CharField(help_text="Why it is needed, with a ticket.")
    password = forms.CharField(widget=forms.PasswordInput)
    agreed = forms.BooleanField(label="The key stays in the secret store of our team")


def _key(number: int, state: str, environment: str) -> SimpleNamespace:
    classes = {"dev": "development", "test": "test", "prod": "production"}
    return SimpleNamespace(
        name=f"orders-bot-{number}",
        kid=f"7Hq2mZr9Kd{number}aB",
        last4=f"x{number}Qz",
        state=state,
        environment=SimpleNamespace(
            tag=environment, environment_class=classes[environment], name=classes[environment].title()
        ),
        used_at=NOW - timedelta(hours=number * 7) if number != 3 else None,
        expires_at=NOW + timedelta(days=number * 9 - 4),
    )


def _context() -> dict[str, object]:
    return {
        "now": NOW,
        "keys": [
            _key(number, str(state), environment)
            for number, (state, environment) in enumerate(
                zip(VersionState, ["prod", "prod", "test", "dev", "prod", "dev"], strict=True), start=1
            )
        ],
        "page": Page(rows=[], previous="abc", next="def"),
        "version_states": list(VersionState),
        "request_states": list(RequestState),
        "risks": list(Risk),
        "accesses": list(Access),
        "origins": list(Origin),
        "timeline": [
            TimelineItem(title="Asked for", at=NOW - timedelta(days=2), actor="Alice Amsel", icon="file-text"),
            TimelineItem(
                title="Narrowed",
                at=NOW - timedelta(hours=5),
                actor="Bob Buchfink",
                detail="orders:write was taken out; the earlier approval no longer counts.",
                icon="scissors",
                tone="warning",
            ),
            TimelineItem(
                title="Approved",
                at=NOW - timedelta(minutes=7),
                actor="Carol",
                icon="circle-check",
                tone="success",
                href="#x",
            ),
        ],
        "changes": difference(
            {"service": "orders", "scopes": ["orders:read", "orders:write"], "days": "30 days", "networks": []},
            {
                "service": "orders",
                "scopes": ["orders:read", "fills:read"],
                "days": "90 days",
                "networks": ["10.1.0.0/16"],
            },
            labels={"service": "Service", "scopes": "Scopes", "networks": "Networks", "days": "Cryptoperiod"},
        ),
        "terms": [
            Term(name="Service", value="orders"),
            Term(name="Owner team", value="Execution"),
            Term(name="Digest", value="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", mono=True),
            Term(name="Limit", value=None),
        ],
        "stats": [
            Stat(label="Living keys", value=148, note="12 in production"),
            Stat(label="Expire within 7 days", value=3, tone="warning", note="2 have no owner", href="#e"),
            Stat(label="Refused today", value=27, tone="danger"),
            Stat(label="Rotated on time", value="100 %", tone="success"),
        ],
        "steps": steps(["Service", "Scopes", "Limits", "Purpose", "Review"], current=2),
        "quorum": Quorum(
            needed=2,
            seats=[
                Seat(person="Bob Buchfink", at=NOW - timedelta(hours=3), note="Passkey"),
                Seat(note="One more, from the owners of orders"),
            ],
        ),
        "tabs": [
            Tab(label="Versions", href="?tab=v", is_current=True, count=2),
            Tab(label="Use", href="?tab=u"),
            Tab(label="History", href="?tab=h"),
        ],
        "pairs": [("Mon", 12, 0), ("Tue", 7, 9), ("Wed", 0, 14)],
        "days": [("Mon", 4), ("Tue", 9), ("Wed", 2), ("Thu", 12), ("Fri", 7), ("Sat", 0), ("Sun", 1)],
    }


def _as_alice(http: HttpRequest) -> None:
    http.user = PERSON
    http.inbox_count = 4


def components(http: HttpRequest) -> HttpResponse:
    _as_alice(http)
    messages.success(http, "The request was sent to three approvers.")
    messages.error(http, "The second factor was not accepted.")
    context = _context() | {"sorting": Sorting.chosen(http, allowed=("name", "expires_at"), default="expires_at")}
    if "break" in http.GET:
        http.break_glass = "Break-glass access to orders in production is open until 14:05 UTC."
    page = engines["django"].from_string((HERE / "gallery.html").read_text())
    return HttpResponse(page.render(context, http))


def form(http: HttpRequest) -> HttpResponse:
    _as_alice(http)
    page = engines["django"].from_string(
        '{% extends "base.html" %}{% load components %}{% block title %}Ask{% endblock %}'
        "{% block environment_class %}production{% endblock %}{% block heading %}Ask for a key{% endblock %}"
        '{% block content %}{% card %}{% include "components/form.html" with submit="Send" cancel_url="/" %}{% endcard %}{% endblock %}'
        '{% block aside %}{% card title="Who decides" level=2 %}<p>Two of Bob, Carol and Dave.</p>{% endcard %}{% endblock %}'
    )
    wish = WishForm({"environment": "prod"} if "bad" in http.GET else None)
    return HttpResponse(page.render({"form": wish}, http))


def sign_in(http: HttpRequest) -> HttpResponse:
    http.user = SimpleNamespace(is_authenticated=False)
    page = engines["django"].from_string(
        '{% extends "centred.html" %}{% load components %}{% block title %}Sign in{% endblock %}'
        "{% block heading %}Sign in{% endblock %}{% block lede %}With your work address.{% endblock %}"
        "{% block content %}{% form_fields form %}<button class='btn btn-primary btn-block'>Continue</button>{% endblock %}"
        '{% block below %}<a href="/">I cannot sign in</a>{% endblock %}'
    )
    fields = {"email": forms.EmailField(label="E-mail"), "password": forms.CharField(widget=forms.PasswordInput)}
    return HttpResponse(page.render({"form": type("SignIn", (forms.Form,), fields)()}, http))


def error(http: HttpRequest, status: int) -> HttpResponse:
    _as_alice(http)
    return error_page(http, status, code="an_example")


def empty(http: HttpRequest) -> HttpResponse:
    _as_alice(http)
    return render(http, "base.html")


urlpatterns = [
    path("", components, name="keys"),
    path("form/", form, name="requests"),
    path("inbox/", empty, name="inbox"),
    path("services/", empty, name="services"),
    path("team/", empty, name="team"),
    path("audit/", empty, name="audit"),
    path("health/", empty, name="health"),
    path("sessions/", empty, name="sessions"),
    path("factors/", empty, name="factors"),
    path("delegates/", empty, name="delegates"),
    path("sign-out/", empty, name="sign_out"),
    path("sign-in/", sign_in),
    path("error/<int:status>/", error),
]
