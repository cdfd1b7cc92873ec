"""Understand whom and what somebody means who searches the log: names, addresses, numbers, kids, or identifiers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q

from audit.actor import Actor, ActorKind
from audit.events import catalogue
from keys.models import KeyRequest, KeyVersion, ManagedKey, Person, Scope, Service, Team
from keys.reports.searches import Subject

MOST_OFFERED = 12
MOST_PEOPLE = 500


@dataclass(frozen=True)
class Meant:
    """What a text may mean; one means it is clear."""

    subject: Subject
    label: str


def find_actors(text: str, *, actor: Actor) -> list[Meant]:
    """Whom a text may mean: a person by name or address, or `job:mail` and the like."""
    typed = Subject.parse(text)
    if typed is not None and typed.kind in set(ActorKind):
        return [Meant(typed, _label(typed, actor=actor))]
    return _people(text, actor=actor)


def find_targets(text: str, *, actor: Actor) -> list[Meant]:
    """What a text may mean: KEY-12, REQ-7, a kid, a person, a team, a service, a scope, or `policy:<id>`."""
    typed = Subject.parse(text)
    if typed is not None and typed.kind in {event.target_type for event in catalogue().values()}:
        return [Meant(typed, _label(typed, actor=actor))]
    for prefix, kind in (("KEY-", "key"), ("REQ-", "request")):
        number = text.upper().removeprefix(prefix)
        if text.upper().startswith(prefix) and number.isascii() and number.isdigit() and len(number) <= 12:
            return _numbered(kind, int(number), actor=actor)
    versions = KeyVersion.objects.visible_to(actor).filter(kid=text).select_related("managed_key")
    found = [Meant(Subject("version", str(row.pk)), f"{row} · {row.kid}") for row in versions]
    if found:
        return found
    return [*_catalogue(text, actor=actor), *_people(text, actor=actor)][:MOST_OFFERED]


def known_people(actor: Actor) -> list[tuple[str, str]]:
    """Addresses and names to choose from."""
    return list(Person.objects.visible_to(actor).order_by("name").values_list("email", "name")[:MOST_PEOPLE])


def _numbered(kind: str, number: int, *, actor: Actor) -> list[Meant]:
    rows: Iterable[ManagedKey | KeyRequest] = (
        ManagedKey.objects.visible_to(actor).filter(number=number)
        if kind == "key"
        else KeyRequest.objects.visible_to(actor).filter(number=number)
    )
    return [Meant(Subject(kind, str(row.pk)), str(row)) for row in rows]


def _people(text: str, *, actor: Actor) -> list[Meant]:
    people = Person.objects.visible_to(actor).filter(Q(name__icontains=text) | Q(email__icontains=text))
    exact = people.filter(Q(name__iexact=text) | Q(email__iexact=text))
    rows = list(exact.order_by("name")[:MOST_OFFERED]) or list(people.order_by("name")[:MOST_OFFERED])
    return [Meant(Subject("person", str(row.pk)), f"{row.name} ({row.email})") for row in rows]


def _catalogue(text: str, *, actor: Actor) -> list[Meant]:
    named = Q(name__iexact=text)
    services = Service.objects.visible_to(actor).filter(named | Q(slug=text.lower()))
    teams = Team.objects.visible_to(actor).filter(named | Q(slug=text.lower()))
    scopes = Scope.objects.visible_to(actor).filter(name=text.lower()).select_related("service")
    return [
        *(Meant(Subject("service", str(row.pk)), f"{row.name} (service)") for row in services),
        *(Meant(Subject("team", str(row.pk)), f"{row.name} (team)") for row in teams),
        *(Meant(Subject("scope", str(row.pk)), f"{row.service.name} · {row.name} (scope)") for row in scopes),
    ]


def _label(subject: Subject, *, actor: Actor) -> str:
    """Write a subject as somebody would type it."""
    pk = _uuid(subject.id)
    if pk is None:
        return subject.text()
    if subject.kind == "person":
        found = Person.objects.visible_to(actor).filter(pk=pk).values_list("email", flat=True).first()
        return found or subject.text()
    row: ManagedKey | KeyRequest | None = None
    if subject.kind == "key":
        row = ManagedKey.objects.visible_to(actor).filter(pk=pk).first()
    if subject.kind == "request":
        row = KeyRequest.objects.visible_to(actor).filter(pk=pk).first()
    return str(row) if row is not None else subject.text()


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
