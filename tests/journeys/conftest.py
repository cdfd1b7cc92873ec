"""After every journey the tables are the sum of their events, and no invariant is broken."""

import io
from collections.abc import Iterator

import pytest
from django.core.management import CommandError, call_command


@pytest.fixture(autouse=True)
def _replayed(committed_db: None) -> Iterator[None]:
    yield
    said = io.StringIO()
    try:
        call_command("replay_audit_log", stdout=said, no_color=True)
        call_command("check_invariants", stdout=said, no_color=True)
    except (SystemExit, CommandError) as problem:
        pytest.fail(f"{said.getvalue()}\n{problem}")
