"""What /status says of the witnesses, and the checks of production."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client, override_settings

from audit import clock
from audit.models import AuditWitness
from portal.checks import check_witnesses
from portal.health import witnesses_part
from tests.people import World
from tests.portal.doorway import signed_in

HTTP = '{"backend": "audit.witness.http_witness.HttpWitness", "url": "https://w.example", "vkey": "w"%s}'


@pytest.fixture
def row(committed_db: None) -> Callable[..., None]:
    def write(name: str, *, silent: bool = False, seen: bool = True, reason: str = "") -> None:
        at = clock.now("sealer")
        AuditWitness.objects.using("sealer").create(
            name=name, kind="http", is_elsewhere=True, size=7, seen_at=at if seen else None, reason=reason,
            silent_at=at - timedelta(minutes=1) if silent else at + timedelta(hours=1),
        )  # fmt: skip

    return write


def test_without_witnesses_there_is_no_such_part(row: Callable[..., None]) -> None:
    assert witnesses_part() is None


@pytest.mark.parametrize(
    ("facts", "ok", "reason", "words"),
    [
        ({}, True, "", "sees"),
        ({"seen": False}, True, "", "not asked yet"),
        ({"reason": "unreachable"}, True, "", "tried again"),
        ({"reason": "unreachable", "silent": True}, False, "silent", "silent"),
        ({"reason": "ahead"}, False, "contradicted", "remembers another log"),
        ({"reason": "fork", "silent": True}, False, "contradicted", "remembers another log"),
    ],
)
def test_the_worst_of_the_witnesses_is_told(
    row: Callable[..., None], world: World, facts: dict[str, object], ok: bool, reason: str, words: str
) -> None:
    row("good")
    row("w2.example", **facts)
    part = witnesses_part()
    assert part is not None
    assert (part.ok, part.reason) == (ok, reason)
    page: Client = signed_in(world.alice)
    text = page.get("/status", headers={"Accept": "text/html"}).content.decode()
    assert "w2.example" in text
    assert words in text


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("", ["keystead.W004"]),
        ('[{"backend": "audit.witness.log_line.LogLine"}]', ["keystead.W004"]),
        ('[{"backend": "audit.witness.directory.Directory", "path": "/x"}]', ["keystead.W004"]),
        ("[" + HTTP % ', "elsewhere": false' + "]", ["keystead.W004"]),
        ("[" + HTTP % "" + "]", []),
        ('[{"backend": "audit.witness.directory.Directory", "path": "/mnt/share", "elsewhere": true}]', []),
        ("nonsense", ["keystead.E019"]),
        ('[{"backend": "no.such.Witness"}]', ["keystead.E019"]),
    ],
)
def test_production_is_told_when_nobody_elsewhere_watches(setting: str, expected: list[str]) -> None:
    with override_settings(KEYSTEAD_WITNESSES=setting):
        assert [each.id for each in check_witnesses()] == expected
