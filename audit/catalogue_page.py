"""Write docs/events.md: every event of every floor, from the catalogue itself."""

from audit.events import Event, catalogue
from audit.governed import private_columns

_HEAD = """# Audit events

Every event that Keystead can record. Written by `manage.py document_events`; a test fails when it is out of date.
What each entry of the log holds beside these facts is told in [audit-log.md](audit-log.md).

*Facts* are in the payload for ever; *private* ones are in the erasable part, of which the payload keeps a salted hash.
A name is never reused for another meaning.
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
        parts.append("| action | meaning | target | severity | facts | changes | private | needs |")
        parts.append("|---|---|---|---|---|---|---|---|")
        parts.extend(_line(event) for event in events)
    return "\n".join(parts) + "\n"


def _line(event: type[Event]) -> str:
    hidden = private_columns(event.target_type) & event.change_fields
    needs = [word for word, wanted in (("reason", event.needs_reason), ("MFA", event.needs_mfa)) if wanted]
    cells = (
        f"`{event.action}`",
        _first_sentence(event),
        event.target_type,
        str(event.severity),
        _names(event.detail_fields),
        _names(sorted(event.change_fields - hidden)),
        _names(sorted({*event.private_fields, *hidden})),
        ", ".join(needs),
    )
    return "| " + " | ".join(cells) + " |"


def _names(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names)


def _first_sentence(event: type[Event]) -> str:
    text = (event.__doc__ or "").strip().split("\n\n")[0]
    return " ".join(text.split()).replace("|", "\\|")
