"""Throw what the OpenAPI document allows, and what it forbids, at every operation, as everybody: all checks of Schemathesis."""

from __future__ import annotations

import contextlib
import traceback

import psycopg
import pytest
import schemathesis
from django.db import connections
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import from_schema
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished
from schemathesis.transport.wsgi import WSGITransport

from audit.models import AuditEvent
from portal.wsgi import application
from tests.portal.api.sessions import CSRF, session_cookie
from tests.portal.api.stage import finished_export, make_program, set_stage

ROLES = ("anonymous", "developer", "approver", "administrator", "responder", "auditor", "program")
OFTEN = ("anonymous", "administrator", "program")  # nobody, whoever may most, and who comes by another way
# Rules of the business cannot be said in a schema: a refusal that names them is an answer to well-formed input too.
REFUSALS = ["2xx", "400", "401", "403", "404", "406", "409", "410", "422"]
# Only so many machines may wait, and each that begins is one more.
BEGINNING, MANY = "/oauth2/device_authorization", [*REFUSALS, "429"]
# What does not fit the schema is refused in one of these ways: some of it is too long to be read at all.
NO = ["400", "401", "403", "404", "405", "406", "409", "410", "413", "415", "422", "428", "429"]


class Site:
    """The site, remembering the database connections that the engine's threads open, to close them afterwards."""

    def __init__(self) -> None:
        self.opened: set[psycopg.Connection] = set()

    def __call__(self, environ, start_response):
        try:
            answer = application(environ, start_response)
            try:
                return [b"".join(answer)]
            finally:
                answer.close()  # as a server does; the engine forgets it, and a downloaded file stays open
        finally:
            self.opened |= {each.connection for each in connections.all(initialized_only=True) if each.connection}

    def close(self) -> None:
        for each in self.opened:
            each.close()


@pytest.fixture
def everything(sealing, worlds, monkeypatch):
    send = WSGITransport.send

    # The check `ignored_auth` hands the in-process client settings of sockets, which it does not take.
    def without_settings_of_sockets(self, case, *, session=None, **kwargs):
        for name in ("max_redirects", "verify", "cert", "proxies"):
            kwargs.pop(name, None)
        return send(self, case, session=session, **kwargs)

    monkeypatch.setattr(WSGITransport, "send", without_settings_of_sockets)
    return set_stage(worlds())


def configuration(stage, *, examples: int, seed: int, coverage: bool, stateful: bool) -> SchemathesisConfig:
    names = {"keys": stage.living.pk, "requests": stage.pending.pk, "transfers": stage.offered.pk}
    names["versions"] = stage.unclaimed.pk
    names["rotations"] = stage.living.rotations.get().pk
    names["exports"] = finished_export(f"person:{stage.world.auditor.pk}").pk
    event = AuditEvent.objects.values_list("uid", flat=True).first()
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "color": False,
            "workers": 1,
            "continue-on-failure": True,
            "generation": {"max-examples": examples, "deterministic": True, "database": "none", "no-shrink": True},
            "phases": {
                "examples": {"enabled": True},
                "coverage": {"enabled": coverage},
                "fuzzing": {"enabled": True},
                "stateful": {"enabled": stateful, "generation": {"max-examples": examples}},
            },
            "checks": {
                "positive_data_acceptance": {"expected-statuses": REFUSALS},
                "negative_data_rejection": {"expected-statuses": NO},
            },
            "operations": [
                {"include-path-regex": f"/{family}/", "parameters": {"path.id": str(pk)}}
                for family, pk in names.items()
            ]
            + [{"include-path-regex": "/events/", "parameters": {"path.uid": str(event)}}]
            + [{"include-path": BEGINNING, "checks": {"positive_data_acceptance": {"expected-statuses": MANY}}}],
        }
    )


class SignedIn:
    """Send the credentials of a role with every request."""

    cookie = secret = ""

    def get(self, case, context):
        return self.cookie or self.secret

    def set(self, case, data, context):
        if self.secret:
            case.headers["Authorization"] = f"Bearer {self.secret}"
        else:
            case.cookies["session"] = self.cookie
            case.cookies["csrf"] = CSRF
            case.headers["X-CSRFToken"] = CSRF


def credentials(stage, role: str) -> tuple[str, str]:
    world = stage.world
    people = {
        "developer": world.alice,
        "approver": world.bob,
        "administrator": world.admin,
        "responder": world.responder,
        "auditor": world.auditor,
    }
    if role == "program":
        return "", make_program(world.reporting, world.alice)[1].reveal()
    return session_cookie(people[role], "*"), ""


def run(stage, role: str, **settings) -> list[str]:
    """Run the engine; returns every failure in words."""
    config, site = configuration(stage, **settings), Site()
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", site, config=config)
    if role != "anonymous":
        cookie, secret = credentials(stage, role)
        schema.auth()(type("Role", (SignedIn,), {"cookie": cookie, "secret": secret}))
    failures: list[str] = []
    with contextlib.closing(site):
        for event in from_schema(schema).execute():
            failures += told(event)
    return failures


def told(event) -> list[str]:
    if isinstance(event, FatalError):
        raise event.exception
    if isinstance(event, NonFatalError):
        return ["".join(traceback.format_exception(event.value))]
    if not isinstance(event, ScenarioFinished):
        return []
    found = []
    for case_id, checks in event.recorder.checks.items():
        case = event.recorder.cases[case_id].value
        for check in checks:
            if check.failure_info is not None:
                failure = check.failure_info.failure
                sent = f"{case.method} {case.formatted_path} {case.query} {case.headers} {case.body!r:.200}"
                found.append(f"{case.operation.label}: {failure.title}: {failure.message}\n  {sent}")
    return found


# Each meets the same operations; the rights of each role are tests/portal/api/test_roles.py's.
@pytest.mark.parametrize(
    "role", [pytest.param(role, marks=() if role in OFTEN else pytest.mark.long) for role in ROLES]
)
def test_every_operation_keeps_its_word(everything, role):
    failures = run(everything, role, examples=2, seed=1, coverage=False, stateful=False)
    assert not failures, "\n".join(sorted(set(failures))[:40])


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [2, 3, 5])
@pytest.mark.parametrize("role", ROLES)
def test_every_operation_keeps_its_word_for_longer(everything, role, seed):
    failures = run(everything, role, examples=60, seed=seed, coverage=True, stateful=True)
    assert not failures, "\n".join(sorted(set(failures))[:40])
