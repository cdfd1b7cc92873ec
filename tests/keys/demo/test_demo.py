"""The demo company is loaded by real operations, only into a demo, and shows keys in every state."""

import io
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit import clock
from keys.crypto import otp
from keys.demo import people
from keys.demo.company import PEOPLE
from keys.invariants import breaches
from keys.models import KeyRequest, KeyVersion, TotpDevice
from keys.states import RequestState, VersionState
from keys.tasks import end_what_is_over
from tests.accounts import self_of


def test_the_demo_refuses_outside_a_demo(committed_db: None) -> None:
    with pytest.raises(CommandError, match="DEMO=1"):
        call_command("load_demo")


def test_the_demo_has_keys_in_every_state_and_a_clean_log(sealing: object, settings: Any) -> None:
    settings.DEMO = True
    out = io.StringIO()
    call_command("load_demo", stdout=out)
    end_what_is_over()
    assert set(KeyVersion.objects.values_list("state", flat=True)) == set(map(str, VersionState))
    assert set(KeyRequest.objects.values_list("state", flat=True)) == set(map(str, RequestState)) - {"lapsed"}
    assert list(breaches()) == []
    call_command("replay_audit_log", stdout=io.StringIO())
    again = io.StringIO()
    call_command("load_demo", stdout=again, stderr=again)
    assert "ks_prod_" in out.getvalue()
    assert "ks_prod_" not in again.getvalue()
    assert "dana@northgate.example" in again.getvalue()
    assert "missing" not in again.getvalue()


def test_a_demo_that_was_killed_midway_says_so(sealing: object, settings: Any, monkeypatch: Any) -> None:
    settings.DEMO = True
    monkeypatch.setattr("keys.demo.story._waiting_requests", lambda _: pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception, match="killed"):
        call_command("load_demo", stdout=io.StringIO())
    out, err = io.StringIO(), io.StringIO()
    call_command("load_demo", stdout=out, stderr=err)
    assert "dana@northgate.example" in out.getvalue()
    assert "half of it is missing" in err.getvalue()


def test_a_step_of_the_clock_that_begins_just_then_stops_no_demo(committed_db: None, monkeypatch: Any) -> None:
    """The code of the step before was made a moment before it was too old: the demo was left with half of its people."""
    first = PEOPLE[0]
    told = [clock.now() - timedelta(seconds=otp.PERIOD)]
    monkeypatch.setattr(people, "clock", SimpleNamespace(now=lambda: told.pop() if told else clock.now()))
    monkeypatch.setattr(people, "speaking", self_of)
    settled = people._settle(first)
    assert not told
    assert TotpDevice.objects.usable().get(user=settled).confirmed
