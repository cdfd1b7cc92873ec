"""Say where a person can go: the top bar, the account menu and the banners of every page."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from keys.operations import log_is_behind
from keys.states import Role

EVERYBODY: frozenset[str] = frozenset()
THEMES = ("light", "dark")
SEE_HEALTH = frozenset({Role.ADMINISTRATOR, Role.RESPONDER})


@dataclass(frozen=True, kw_only=True)
class Place:
    """A page family: the name of its URL, and the roles that may go there (empty: everybody)."""

    url_name: str
    label: Promise
    icon: str
    roles: frozenset[str] = EVERYBODY


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A place as one person sees it on one page."""

    href: str
    label: Promise
    icon: str
    is_current: bool = False
    count: int = 0


PLACES = (
    Place(url_name="keys", label=_("My keys"), icon="key-round"),
    Place(url_name="needs", label=_("Needs me"), icon="bell"),
    Place(
        url_name="all_keys",
        label=_("All keys"),
        icon="square-library",
        roles=frozenset({Role.AUDITOR, Role.ADMINISTRATOR, Role.RESPONDER}),
    ),
    Place(url_name="requests", label=_("Requests"), icon="file-text"),
    Place(url_name="inbox", label=_("Inbox"), icon="inbox"),
    Place(url_name="rotations", label=_("Rotations"), icon="calendar-sync"),
    Place(
        url_name="emergency",
        label=_("Emergency"),
        icon="siren",
        roles=frozenset({Role.ADMINISTRATOR, Role.RESPONDER}),
    ),
    Place(url_name="services", label=_("Services"), icon="server"),
    Place(url_name="team", label=_("Team"), icon="users-round"),
    Place(
        url_name="audit",
        label=_("Audit"),
        icon="scroll-text",
        roles=frozenset({Role.AUDITOR, Role.ADMINISTRATOR}),
    ),
    Place(
        url_name="admin:index",
        label=_("Administration"),
        icon="sliders-horizontal",
        roles=frozenset({Role.ADMINISTRATOR}),
    ),
    Place(
        url_name="health",
        label=_("Health"),
        icon="heart-pulse",
        roles=SEE_HEALTH,
    ),
)
ACCOUNT_PLACES = (
    Place(url_name="sessions", label=_("Sessions"), icon="monitor-smartphone"),
    Place(url_name="factors", label=_("Passkeys and second factors"), icon="fingerprint-pattern"),
    Place(url_name="notifications", label=_("Notifications"), icon="bell-ring"),
    Place(url_name="webhooks", label=_("Webhooks"), icon="webhook"),
    Place(url_name="delegates", label=_("Delegates"), icon="user-round-check"),
)


def _address(url_name: str) -> str:
    """Find the address of a page, or nothing while its room is not built."""
    try:
        return reverse(url_name)
    except NoReverseMatch:
        return ""


def entries_for(
    roles: Iterable[str], *, places: Iterable[Place] = PLACES, path: str = "", counts: Mapping[str, int] | None = None
) -> list[Entry]:
    """List the places that someone with `roles` may go to, marking the one that `path` is in."""
    held = frozenset(roles)
    entries = []
    for place in places:
        href = _address(place.url_name)
        if not href or (place.roles and not place.roles & held):
            continue
        entries.append(
            Entry(
                href=href,
                label=place.label,
                icon=place.icon,
                is_current=path == href or (href != "/" and path.startswith(href)),
                count=(counts or {}).get(place.url_name, 0),
            )
        )
    return entries


def navigation(http: HttpRequest) -> dict[str, Any]:
    """Give every page its navigation, account menu, banners and theme (a context processor).

    Some hooks on the request are read when a door set them: `inbox_count`, `needs_count` and `break_glass`, numbers and words
    or functions that return them, and `is_signed_in`, which is false while the second factor is still missing.
    """
    choice = http.COOKIES.get("theme", "")
    shared = {"theme": choice if choice in THEMES else "light", "demo": bool(getattr(settings, "DEMO", False))}
    person = getattr(http, "user", None)
    signed_in = bool(getattr(person, "is_authenticated", False)) and bool(getattr(http, "is_signed_in", True))
    if not signed_in or person is None:
        return shared
    roles: Iterable[str] = getattr(person, "roles", ())
    counts = {"inbox": _hook(http, "inbox_count") or 0, "needs": _hook(http, "needs_count") or 0}
    entries = entries_for(roles, path=http.path, counts=counts)
    return shared | {
        "navigation": entries,
        # The list from which somebody came to a key: all keys for those who may see them, else their own.
        "keys_place": next((each for each in entries if each.href == _address("all_keys")), entries[0]),
        "break_glass": _hook(http, "break_glass"),
        # Those who can do something about it are told on every page; whoever wants to grant is told when refused.
        "granting_paused": bool(SEE_HEALTH & frozenset(roles)) and log_is_behind(),
        "account": {
            "name": getattr(person, "name", "") or str(person),
            "email": getattr(person, "email", ""),
            "entries": entries_for(roles, places=ACCOUNT_PLACES, path=http.path),
            "sign_out": _address("sign_out"),
        },
    }


def _hook(http: HttpRequest, name: str) -> Any:
    found = getattr(http, name, None)
    return found() if callable(found) else found
