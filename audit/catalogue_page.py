"""Write docs/events.md: every event of every floor, from the catalogue itself."""

from collections import Counter
from collections.abc import Iterable

from audit.events import Event, catalogue
from audit.governed import private_columns

_HEAD = """# Audit events

Every event that Keystead can record. Written by `manage.py document_events`; a test fails when it is out of date.
What each entry of the log holds beside these facts is told in [audit-log.md](audit-log.md).

The first part of a name says to whom it happened: `key.revoked` stands under [key](#key). Search the log for it on the page *Audit*
(*What happened*), or by `GET /api/v1/audit/events?action=key.revoked`. A name is never reused for another meaning.

| column | says |
|---|---|
| target | the type of the thing that the event is about |
| severity | how much a responder should care |
| facts | what stands in `details`, for ever |
| changes | columns that `change` may name, with their value before and after; *all*: those named above the table |
| private | what stands in the erasable part, of which the payload keeps a salted hash |
| needs | `reason`: recorded only with a reason; `MFA`: only by somebody with a second factor |
"""


def page() -> str:
    """Return the page, ordered by action."""
    subjects: dict[str, list[type[Event]]] = {}
    for action, event in sorted(catalogue().items()):
        # Events of the test suite and of extensions are not part of the product's page.
        if event.__module__.split(".")[0] in {"audit", "keys", "portal"}:
            subjects.setdefault(action.split(".")[0], []).append(event)
    parts = [_HEAD]
    for subject, events in subjects.items():
        parts.append(f"\n## {subject}\n")
        shared = _shared(events)
        if shared:
            parts.append(f"All changes: {shared}.\n")
        parts.append("| action | meaning | target | severity | facts | changes | private | needs |")
        parts.append("|---|---|---|---|---|---|---|---|")
        parts.extend(_line(event, shared=shared) for event in events)
    return "\n".join(parts) + "\n"


def _shared(events: Iterable[type[Event]]) -> str:
    """The columns that several events of a subject may change, which need to be named only once."""
    found = Counter(_changes(event) for event in events)
    del found[""]
    columns, times = max(found.items(), key=lambda each: each[1], default=("", 0))
    return columns if times > 1 else ""


def _changes(event: type[Event]) -> str:
    return _names(sorted(event.change_fields - private_columns(event.target_type)))


def _line(event: type[Event], *, shared: str) -> str:
    hidden = private_columns(event.target_type) & event.change_fields
    changes = _changes(event)
    needs = [word for word, wanted in (("reason", event.needs_reason), ("MFA", event.needs_mfa)) if wanted]
    cells = (
        f"`{event.action}`",
        _first_sentence(event),
        event.target_type,
        str(event.severity),
        _names(event.detail_fields),
        "*all*" if changes and changes == shared else changes,
        _names(sorted({*event.private_fields, *hidden})),
        ", ".join(needs),
    )
    return "| " + " | ".join(cells) + " |"


def _names(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names)


def _first_sentence(event: type[Event]) -> str:
    text = (event.__doc__ or "").strip().split("\n\n")[0]
    return " ".join(text.split()).replace("|", "\\|")
