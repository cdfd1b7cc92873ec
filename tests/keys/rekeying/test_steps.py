"""Keys of the keyring come and go in steps, each on record, and none that would lose or forge anything by itself."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from audit import clock
from audit.actor import Actor
from audit.models import AuditEvent
from keys.crypto.keyring import PURPOSES, Keyring
from keys.errors import Conflict, Denied
from keys.models import Verifier
from keys.rekeying.naming import rows_by_key
from keys.rekeying.rewriting import rewrite
from keys.rekeying.steps import add_keys, forget_key, promote_keys, read_ring
from keys.sealing import mac_holds
from tests.forks import Fork
from tests.people import World, acting, issued
from tests.races import at_once
from tests.servers import ROOT

SHELL = Actor.operator("root")
pytestmark = pytest.mark.usefixtures("db", "ring_file")


def test_a_next_key_reads_until_it_is_promoted_and_each_step_is_on_record(world: World) -> None:
    before = read_ring()
    added = add_keys(["row-mac", "kek-production"], actor=SHELL)
    waits = read_ring()
    assert [waits.primary(purpose) for purpose in PURPOSES] == [before.primary(purpose) for purpose in PURPOSES]
    assert [getattr(waits.waiting(purpose), "id", None) for purpose in ("row-mac", "kek-production")] == added
    assert promote_keys(["row-mac", "kek-production"], actor=SHELL) == added
    after = read_ring()
    assert [after.primary("row-mac").id, after.primary("kek-production").id] == added
    assert after.waiting("row-mac") is None
    assert after.find("row-mac", before.primary("row-mac").id) == before.primary("row-mac")
    old = before.primary("pepper").id
    assert (
        forget_key("row-mac", before.primary("row-mac").id, actor=SHELL, even_so=True)
        == rows_by_key()[before.primary("row-mac").id]
    )
    told = AuditEvent.objects.filter(target_type="keyring").order_by("id")
    assert [(event.action, event.target_id) for event in told] == [
        ("keyring.key-added", "row-mac"),
        ("keyring.key-added", "kek-production"),
        ("keyring.key-promoted", "row-mac"),
        ("keyring.key-promoted", "kek-production"),
        ("keyring.key-forgotten", "row-mac"),
    ]
    assert {event.actor_id for event in told} == {"root"}
    assert read_ring().primary("pepper").id == old
    text = " ".join(str(event.payload) for event in told)
    assert not any(key.id in text and str(key.secret.reveal_bytes()) in text for key in after.newest_first("row-mac"))


def test_what_is_written_before_the_promotion_is_read_by_who_has_the_old_file(world: World) -> None:
    """A worker of another host must not take a row for forged."""
    old = read_ring()
    add_keys(["row-mac"], actor=SHELL)
    version = issued(world)[1]
    assert version.row_mac.split(":")[1] == old.primary("row-mac").id
    promote_keys(["row-mac"], actor=SHELL)
    assert mac_holds(version)


REFUSALS: dict[str, Callable[[], object]] = {
    "keyring_nothing_waits": lambda: promote_keys(["row-mac"], actor=SHELL),
    "keyring_primary_stays": lambda: forget_key("pepper", read_ring().primary("pepper").id, actor=SHELL),
    "keyring_no_such_key": lambda: forget_key("pepper", read_ring().primary("row-mac").id, actor=SHELL),
    "keyring_key_waits": lambda: [add_keys(["test", "pepper"][1:], actor=SHELL) for _ in range(2)],
}


@pytest.mark.parametrize("code", REFUSALS)
def test_a_step_that_does_not_fit_is_refused(code: str) -> None:
    with pytest.raises(Conflict, match=code):
        REFUSALS[code]()


def test_of_several_purposes_all_are_changed_or_none(ring_file: Path) -> None:
    add_keys(["pepper"], actor=SHELL)
    before, events = ring_file.read_bytes(), AuditEvent.objects.count()
    with pytest.raises(Conflict):
        add_keys(["row-mac", "pepper"], actor=SHELL)
    with pytest.raises(Conflict):
        promote_keys(["pepper", "row-mac"], actor=SHELL)
    assert ring_file.read_bytes() == before
    assert AuditEvent.objects.count() == events


def door(*, reads: Sequence[str], **columns: Any) -> Verifier:
    """A verifier that began its lease just now, whatever it was started with."""
    at = clock.now()
    ends = {"renewed_at": at, "valid_until": at + timedelta(seconds=60)}
    return Verifier.objects.create(name="door", started_at=at, applied="1:1:", reads=reads, **{**ends, **columns})


@pytest.mark.parametrize("terms", ["long", "none"])
def test_nothing_is_promoted_that_a_living_verifier_cannot_read(terms: str) -> None:
    """It would take every row that is written from then on for forged: one of a host without the new file, say, however lately
    it was started, and also where all environments are asked of the database each time.
    """
    before = read_ring().key_ids
    add_keys(["row-mac"], actor=SHELL)
    verifier = door(reads=before, **({} if terms == "long" else {"valid_until": clock.now()}))
    with pytest.raises(Conflict, match="keyring_read_before") as refused:
        promote_keys(["row-mac"], actor=SHELL)
    assert refused.value.params == {"names": "door"}
    Verifier.objects.filter(pk=verifier.pk).update(reads=read_ring().key_ids)
    assert promote_keys(["row-mac"], actor=SHELL)


@pytest.mark.parametrize("gone", ["stopped_at", "renewed_at"])
def test_a_verifier_that_is_gone_holds_up_nothing(gone: str) -> None:
    door(reads=[], **{gone: clock.now() - timedelta(seconds=61)})
    add_keys(["row-mac"], actor=SHELL)
    assert promote_keys(["row-mac"], actor=SHELL)


def test_a_key_that_made_rows_is_forgotten_only_on_purpose(world: World) -> None:
    version = issued(world)[1]
    old = read_ring().primary("row-mac").id
    add_keys(["row-mac"], actor=SHELL)
    promote_keys(["row-mac"], actor=SHELL)
    needed = rows_by_key()[old]
    assert needed
    with pytest.raises(Conflict, match="keyring_key_needed") as refused:
        forget_key("row-mac", old, actor=SHELL)
    assert refused.value.params == {"rows": needed}
    assert mac_holds(version)
    assert forget_key("row-mac", old, actor=SHELL, even_so=True) == needed
    assert not mac_holds(version)
    assert AuditEvent.objects.filter(action="keyring.key-forgotten").count() == 1


@pytest.mark.parametrize("purpose", ["alice", "admin"])
def test_only_the_shell_rotates(world: World, ring_file: Path, purpose: str) -> None:
    somebody, before = acting(getattr(world, purpose), "*"), ring_file.read_bytes()
    old = read_ring().primary("row-mac").id
    for step in (
        lambda: add_keys(["row-mac"], actor=somebody),
        lambda: rewrite(actor=somebody, told=lambda *_: None),
    ):
        with pytest.raises(Denied, match="shell_only"):
            step()
    assert ring_file.read_bytes() == before
    add_keys(["row-mac"], actor=SHELL)
    before = ring_file.read_bytes()
    with pytest.raises(Denied):
        promote_keys(["row-mac"], actor=somebody)
    assert ring_file.read_bytes() == before
    promote_keys(["row-mac"], actor=SHELL)
    before = ring_file.read_bytes()
    with pytest.raises(Denied):
        forget_key("row-mac", old, actor=somebody, even_so=True)
    assert ring_file.read_bytes() == before


def test_without_a_log_there_is_no_step(ring_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ring_file.read_bytes()

    def unwritable(*_: object, **__: object) -> None:
        raise OSError("no log")

    monkeypatch.setattr("keys.rekeying.steps.record_many", unwritable)
    with pytest.raises(OSError, match="no log"):
        add_keys(["row-mac"], actor=SHELL)
    assert ring_file.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root of these tests may write everywhere
    events = AuditEvent.objects.count()
    with pytest.raises(Conflict, match="keyring_read_only"):
        add_keys(["row-mac"], actor=SHELL)
    assert AuditEvent.objects.count() == events


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_file_stays_its_owners(ring_file: Path) -> None:
    os.chown(ring_file, 10001, 10002)
    add_keys(["row-mac"], actor=SHELL)
    facts = ring_file.stat()
    assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o777) == (10001, 10002, 0o600)


def test_a_link_to_the_file_stays_one(settings: Any, ring_file: Path) -> None:
    """Replaced itself, it would hide the step from every process that names the file."""
    link = ring_file.parent / "elsewhere" / "keyring.json"
    link.parent.mkdir()
    link.symlink_to(ring_file)
    settings.KEYSTEAD_KEYRING_FILE = str(link)
    [added] = add_keys(["row-mac"], actor=SHELL)
    assert link.is_symlink()
    assert Keyring.load(ring_file).find("row-mac", added)


@contextmanager
def no_file_grows_longer_than(octets: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_cannot_be_replaced_stays_and_it_is_said(ring_file: Path) -> None:
    """A full disk, or a file that is mounted by itself: the log tells of the step already."""
    before = ring_file.read_bytes()
    with no_file_grows_longer_than(10), pytest.raises(Conflict, match="keyring_not_replaced") as refused:
        add_keys(["row-mac"], actor=SHELL)
    assert refused.value.params == {"error": "File too large"}
    assert [each.name for each in ring_file.parent.iterdir()] == [ring_file.name]
    assert ring_file.read_bytes() == before
    assert add_keys(["row-mac"], actor=SHELL), "done again when there is room"


def save_and_be_killed(path: str) -> None:
    """Be killed when the new file is written and not in its place yet."""
    os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
    Keyring.load(Path(path)).save(Path(path))


def test_what_a_killed_step_left_goes_and_what_somebody_put_there_stays(ring_file: Path) -> None:
    """Keys that are forgotten would live on in it; a copy that an operator keeps may be the only one."""
    backups = {ring_file.parent / name for name in (".keyring-20261123", ".keyring-backup.json", "keyring.json.old")}
    for backup in backups:
        backup.write_bytes(ring_file.read_bytes())
    assert Fork(save_and_be_killed, str(ring_file)).ended() == -signal.SIGKILL
    assert len(list(ring_file.parent.iterdir())) == len(backups) + 2
    add_keys(["pepper"], actor=SHELL)
    assert set(ring_file.parent.iterdir()) == {ring_file, *backups}


def test_a_key_that_was_made_by_a_clock_ahead_is_followed_by_another(ring_file: Path) -> None:
    ring = read_ring()
    ring.rotated("row-mac", at=clock.now() + timedelta(days=400)).save(ring_file)
    added = add_keys(["row-mac"], actor=SHELL)
    assert promote_keys(["row-mac"], actor=SHELL) == added
    assert read_ring().primary("row-mac").id == added[0]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can give rights up")
def test_the_rights_that_the_page_gives_a_container_are_enough(ring_file: Path) -> None:
    """docker-compose.yml takes all rights of root away, and the secrets belong to the users of the image."""
    page = (ROOT / "docs" / "crypto.md").read_text()
    rights = [right.lower() for right in re.findall(r"--cap-add (\w+)", page)]
    os.chown(ring_file, 10001, 10001)
    program = "import pathlib, sys; from keys.crypto.keyring import Keyring; p = pathlib.Path(sys.argv[1]); Keyring.load(p).save(p)"
    bounds = ",".join(["-all", *(f"+{right}" for right in rights)])
    command = [
        "setpriv",
        "--bounding-set",
        bounds,
        "--inh-caps",
        "-all",
        "--no-new-privs",
        sys.executable,
        "-c",
        program,
    ]
    subprocess.run([*command, ring_file], cwd=ROOT, check=True)
    assert (ring_file.stat().st_uid, ring_file.stat().st_mode & 0o777) == (10001, 0o600)


def test_of_many_who_add_at_once_one_does(committed_db: None, ring_file: Path) -> None:
    ended = at_once(*[lambda: add_keys(["row-mac"], actor=SHELL)] * 20, workers=20)
    assert ended == {"done": 1, "keyring_key_waits": 19}
    assert len(Keyring.load(ring_file).newest_first("row-mac")) == len(read_ring().newest_first("row-mac"))
    assert AuditEvent.objects.filter(action="keyring.key-added").count() == 1
