"""The demo company is loaded by real operations, only into a demo, and shows keys in every state."""

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from keys.invariants import breaches
from keys.models import KeyRequest, KeyVersion
from keys.states import RequestState, VersionState
from keys.tasks import end_what_is_over


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
    call_command("load_demo", stdout=again)
    assert "ks_prod_" in out.getvalue()
    assert "ks_prod_" not in again.getvalue()
    assert "dana@northgate.example" in again.getvalue()
