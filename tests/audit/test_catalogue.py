from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

from audit.catalogue_page import page
from audit.events import Event, EventError, Outcome, Severity, catalogue, private
from tests.audit.things import ThingBroken, ThingChanged, ThingCreated

OWN = {"audit.log-read", "audit.log-exported", "audit.secret-blocked", "pii.erased", "audit.log-pruned"}


def test_every_event_is_in_the_catalogue_under_its_action() -> None:
    assert catalogue()["thing.created"] is ThingCreated
    assert set(catalogue()) >= OWN
    with pytest.raises(TypeError):
        catalogue()["x.y"] = ThingCreated  # type: ignore[index]


def test_the_page_of_events_is_current() -> None:
    call_command("document_events", check=True)
    text = (Path(settings.BASE_DIR) / "docs" / "events.md").read_text(encoding="utf-8")
    assert text == page()
    for action, event in catalogue().items():
        if event.__module__.split(".")[0] != "tests":
            assert f"| `{action}` |" in text


def test_an_unknown_change_field_is_refused() -> None:
    with pytest.raises(EventError, match="may not change words"):
        ThingBroken(target_id="1", reason="fell", change={"state": ("a", "b"), "words": (1, 2)})


def test_an_event_that_needs_a_reason_is_refused_without() -> None:
    with pytest.raises(EventError, match="needs a reason"):
        ThingBroken(target_id="1")


def test_an_event_needs_the_id_of_its_target() -> None:
    with pytest.raises(EventError, match="id of its target"):
        ThingChanged(target_id="")


def test_an_unknown_fact_is_refused() -> None:
    with pytest.raises(TypeError):
        ThingChanged(target_id="1", colour="red")  # type: ignore[call-arg]


def test_an_event_cannot_be_changed() -> None:
    event = ThingChanged(target_id="1")
    with pytest.raises(AttributeError):
        event.target_id = "2"  # type: ignore[misc]


def test_the_base_event_is_no_event() -> None:
    with pytest.raises(EventError, match="not in the catalogue"):
        Event(target_id="1")


def test_a_name_is_never_reused() -> None:
    with pytest.raises(EventError, match="never reused"):
        type("Again", (Event,), {"__doc__": "Again.", "action": "thing.created", "target_type": "thing"})


@pytest.mark.parametrize("action", ["thing", "Thing.created", "thing.Created", "thing.was_made", "thing..made", ""])
def test_a_name_is_subject_and_participle_in_kebab_case(action: str) -> None:
    with pytest.raises(EventError):
        type("Named", (Event,), {"__doc__": "Named.", "action": action, "target_type": "thing"})


def test_an_event_without_a_docstring_is_refused() -> None:
    with pytest.raises(EventError, match="docstring"):
        type("Mute", (Event,), {"action": "thing.muted", "target_type": "thing"})


def test_own_fields_are_parted_into_facts_and_private_ones() -> None:
    assert ThingChanged.detail_fields == ("count",)
    assert ThingChanged.private_fields == ("comment",)
    assert ThingChanged(target_id="1").comment == ""
    assert (ThingChanged.severity, ThingChanged(target_id="1").outcome) == (Severity.INFORMATIONAL, Outcome.SUCCESS)


def test_a_private_field_without_a_default_is_required() -> None:
    class ThingNamed(Event):
        """A thing was named."""

        action = "thing.named"
        target_type = "thing"
        nickname: str = private()

    with pytest.raises(TypeError):
        ThingNamed(target_id="1")  # type: ignore[call-arg]
    assert ThingNamed(target_id="1", nickname="x").private_fields == ("nickname",)
