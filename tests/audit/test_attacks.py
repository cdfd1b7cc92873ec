"""Attacks on the log by somebody with a superuser's rights in the database: each is found and named, or documented as not detectable."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from audit import clock, log
from audit.findings import Inspection
from audit.inspection import inspect_log
from audit.merkle import Tree, leaf_hash
from audit.models import AuditEvent, AuditLeaf
from audit.notes import Checkpoint, Signer, open_checkpoint
from audit.pins import Pins
from audit.sealer import Refused, Sealer
from tests.audit.sealing import make_sealer, write_events
from tests.audit.things import ALICE, ThingChanged

LOG_TABLES = ("audit_event", "audit_private", "audit_leaf", "audit_node", "audit_checkpoint", "audit_cosignature")
SIZES = (10, 25, 40)


@dataclass
class Scene:
    """A sealed log of 40 events with three checkpoints, and what its attacker can do."""

    sealer: Sealer
    db: "psycopg.Connection[Any]"
    kept: dict[int, Checkpoint]

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.db.execute(statement)

    def rewrite(self, signer: Signer | None, *, start: int = 0) -> None:
        """Recompute leaves, nodes and roots from the events as they are now, and sign if there is a key."""
        rows = self.db.execute(
            "SELECT leaf.event_id, event.payload FROM audit_leaf leaf JOIN audit_event event ON event.id = leaf.event_id"
            " ORDER BY leaf.index"
        ).fetchall()
        notes = dict(self.db.execute("SELECT size, note FROM audit_checkpoint").fetchall())
        self.run("DELETE FROM audit_leaf", "DELETE FROM audit_node", "DELETE FROM audit_checkpoint")
        tree = Tree()
        for index, (event_id, payload) in enumerate(rows):
            leaf = leaf_hash(bytes(payload))
            self.db.execute("INSERT INTO audit_leaf VALUES (%s, %s, %s)", (index, event_id, leaf))
            for (level, place), node in tree.append(leaf):
                self.db.execute("INSERT INTO audit_node (level, index, hash) VALUES (%s, %s, %s)", (level, place, node))
            if (size := tree.size) in notes or size == len(rows):
                note = notes.get(size, notes[max(notes)])
                if signer is not None and size > start:
                    note = signer.sign(Checkpoint(origin=signer.name, size=size, root=tree.root()).body())
                self.db.execute("INSERT INTO audit_checkpoint VALUES (%s, %s, %s, now())", (size, tree.root(), note))

    def inspect(self, *heads: Checkpoint, tiles: bool = False) -> Inspection:
        folder = self.sealer.folder
        verifiers = [self.sealer.signer.verifier]
        head = open_checkpoint((folder.path / "tiles" / "checkpoint").read_text(), verifiers) if tiles else None
        return inspect_log(
            Pins(verifiers=verifiers, heads=heads, tiles=folder.tiles if tiles else None, tiles_head=head)
        )


def _edited(index: int) -> str:
    """An edit that keeps payload and columns in agreement: only its hash tells."""
    return (
        "UPDATE audit_event SET target_id = replace(target_id, 't-', 'forged-'),"
        " payload = convert_to(replace(convert_from(payload, 'UTF8'),"
        f' \'"target":{{"id":"t-\', \'"target":{{"id":"forged-\'), \'UTF8\') WHERE id = {event(index)}'
    )


@pytest.fixture
def scene(committed_db: None, superuser: "psycopg.Connection[Any]", tmp_path: Path) -> Scene:
    sealer = make_sealer(tmp_path / "sealer")
    sealer.seal()
    for table in LOG_TABLES:
        superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER audit_append_only")
    # The events of the bootstrap are none of this story.
    for table in ("audit_private", "audit_leaf", "audit_node", "audit_checkpoint", "audit_event"):
        superuser.execute(f"DELETE FROM {table}")
    sealer = make_sealer(tmp_path / "clean")
    kept, before = {}, 0
    for size in SIZES:
        write_events(size - before)
        sealer.seal()
        before = size
        state = sealer.folder.read_state()
        assert state is not None
        kept[size] = open_checkpoint(state.note, [sealer.signer.verifier])
    found = Scene(sealer, superuser, kept)
    honest = found.inspect(*kept.values(), tiles=True)
    assert (honest.findings, honest.size, honest.checkpoints) == ([], 40, 7)
    return found


@dataclass(frozen=True)
class Attack:
    """What somebody does, and what the database and the pinned key say about it."""

    strike: Callable[[Scene], None]
    codes: set[str]
    index: int | None


def sql(*statements: str) -> Callable[[Scene], None]:
    return lambda scene: scene.run(*statements)


def event(index: int) -> str:
    return f"(SELECT event_id FROM audit_leaf WHERE index = {index})"


def delete_leaf_and_close_the_gap(scene: Scene) -> None:
    scene.run(
        "ALTER TABLE audit_leaf DROP CONSTRAINT audit_leaf_index",
        f"DELETE FROM audit_private WHERE event_id = {event(17)}",
        f"DELETE FROM audit_event WHERE id = {event(17)}",
        "DELETE FROM audit_leaf WHERE index = 17",
        "UPDATE audit_leaf SET index = -index WHERE index > 17",
        "UPDATE audit_leaf SET index = -index - 1 WHERE index < 0",
    )


def insert_in_the_middle(scene: Scene) -> None:
    scene.run("ALTER TABLE audit_leaf DROP CONSTRAINT audit_leaf_index")
    write_events(1, "planted")
    scene.run(
        "DELETE FROM audit_pending",
        "UPDATE audit_leaf SET index = -index WHERE index >= 12",
        "UPDATE audit_leaf SET index = -index + 1 WHERE index < 0",
        "INSERT INTO audit_leaf SELECT 12, id, sha256('\\x00'::bytea || payload) FROM audit_event ORDER BY id DESC LIMIT 1",
    )


def copy_of_an_event(scene: Scene) -> None:
    scene.run(
        "ALTER TABLE audit_event DROP CONSTRAINT audit_event_uid_key",
        "INSERT INTO audit_event OVERRIDING SYSTEM VALUE SELECT (jsonb_populate_record(event, jsonb_build_object('id', 5000))).*"
        f" FROM audit_event event WHERE id = {event(3)}",
    )


def recompute(*edits: str, signer: Callable[[Scene], Signer | None] = lambda _scene: None) -> Callable[[Scene], None]:
    def strike(scene: Scene) -> None:
        scene.run(*edits)
        scene.rewrite(signer(scene))

    return strike


def own_key(scene: Scene) -> Signer:
    """A key of the attacker's, under the name of the log."""
    return Signer.generate(scene.sealer.signer.name)


ATTACKS = {
    "edit": Attack(sql(_edited(17)), {"payload"}, 17),
    "edit of a column only": Attack(
        sql(f"UPDATE audit_event SET actor_id = 'bob' WHERE id = {event(17)}"), {"column"}, 17
    ),
    "edit of a time only": Attack(
        sql(f"UPDATE audit_event SET occurred_at = now() WHERE id = {event(17)}"), {"column"}, 17
    ),
    "edit, and its leaf": Attack(
        sql(_edited(17), f"UPDATE audit_leaf SET leaf_hash = (SELECT sha256('\\x00'::bytea || payload) FROM audit_event"
            f" WHERE id = {event(17)}) WHERE index = 17"),
        {"node", "root"}, 16,
    ),
    "delete row": Attack(sql(f"DELETE FROM audit_event WHERE id = {event(17)}"), {"missing", "private-orphan"}, 17),
    "delete row and private part": Attack(
        sql(f"DELETE FROM audit_private WHERE event_id = {event(17)}", f"DELETE FROM audit_event WHERE id = {event(17)}"),
        {"missing"}, 17,
    ),
    "delete row and leaf": Attack(
        sql(f"DELETE FROM audit_private WHERE event_id = {event(17)}", f"DELETE FROM audit_event WHERE id = {event(17)}",
            "DELETE FROM audit_leaf WHERE index = 17"),
        {"gap"}, 17,
    ),
    "delete leaf only": Attack(sql("DELETE FROM audit_leaf WHERE index = 17"), {"gap", "unqueued"}, 17),
    "reorder": Attack(
        sql("UPDATE audit_leaf one SET event_id = -two.event_id FROM audit_leaf two"
            " WHERE (one.index, two.index) IN ((17, 18), (18, 17))", "UPDATE audit_leaf SET event_id = -event_id WHERE event_id < 0"),
        {"payload"}, 17,
    ),
    "reorder with the hashes": Attack(
        sql("UPDATE audit_leaf SET index = CASE index WHEN 17 THEN 1017 ELSE 1018 END WHERE index IN (17, 18)",
            "UPDATE audit_leaf SET index = 1035 - index WHERE index > 1000"),
        {"node", "root"}, 16,
    ),
    "private part edited": Attack(
        sql(f"UPDATE audit_private SET body = '{{}}' WHERE event_id = {event(17)}"), {"private"}, 17
    ),
    "private part deleted": Attack(sql(f"DELETE FROM audit_private WHERE event_id = {event(17)}"), {"private"}, 17),
    "delete, and close the gap": Attack(delete_leaf_and_close_the_gap, {"node", "root", "truncated"}, 16),
    "insert in the middle": Attack(insert_in_the_middle, {"node", "root"}, 12),
    "recompute everything without the key": Attack(
        recompute(_edited(17)), {"checkpoint"}  , 10
    ),
    "recompute everything and sign with another key": Attack(
        recompute(_edited(17), signer=own_key), {"checkpoint"}, 0
    ),
    "another root in a checkpoint": Attack(
        sql("UPDATE audit_checkpoint SET root = sha256('x') WHERE size = 25"), {"checkpoint"}, 10
    ),
    "a checkpoint deleted": Attack(sql("DELETE FROM audit_checkpoint WHERE size = 40"), {"unsigned"}, 25),
    "a node changed": Attack(sql("UPDATE audit_node SET hash = sha256('x') WHERE level = 2 AND index = 3"), {"node"}, 12),
    "a node that holds its neighbour too": Attack(
        sql("ALTER TABLE audit_node DROP CONSTRAINT audit_node_hash_size",
            "UPDATE audit_node one SET hash = one.hash || two.hash FROM audit_node two"
            " WHERE (one.level, one.index, two.level, two.index) = (2, 2, 2, 3)",
            "DELETE FROM audit_node WHERE level = 2 AND index = 3"),
        {"node"}, 8,
    ),
    "removed from the queue": Attack(
        lambda scene: (write_events(3), scene.run("DELETE FROM audit_pending WHERE event_id ="
                                                   " (SELECT min(event_id) FROM audit_pending)"))[0],
        {"unqueued"}, None,
    ),
    "deleted while it waits": Attack(
        lambda scene: (write_events(3), scene.run("DELETE FROM audit_event WHERE id = (SELECT min(event_id) FROM audit_pending)"))[0],
        {"vanished", "private-orphan"}, None,
    ),
    "duplicate": Attack(copy_of_an_event, {"twin"}, None),
    "queued again": Attack(sql("INSERT INTO audit_pending SELECT event_id FROM audit_leaf WHERE index = 4"), {"queued-again"}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_found_and_named_with_the_first_bad_index(scene: Scene, name: str) -> None:
    attack = ATTACKS[name]
    attack.strike(scene)
    found = scene.inspect()
    assert attack.codes <= {each.code for each in found.findings}, [str(each) for each in found.findings]
    assert found.first_bad_index == attack.index, [str(each) for each in found.findings]


@pytest.mark.parametrize(
    ("name", "index", "seen"),
    [("edit, and its leaf", 17, False), ("reorder with the hashes", 17, False), ("delete, and close the gap", 17, True),
     ("insert in the middle", 12, True), ("recompute everything without the key", 17, True),
     ("recompute everything and sign with another key", 17, True)],
)  # fmt: skip
def test_the_sealers_copy_says_exactly_where_a_rewritten_log_begins_to_differ(
    scene: Scene, name: str, index: int, seen: bool
) -> None:
    ATTACKS[name].strike(scene)
    found = scene.inspect(tiles=True)
    assert min(each.index for each in found.findings if each.code == "tile" and each.index is not None) == index
    if seen:  # at once; what leaves nodes and checkpoints alone is seen by the nightly look only
        write_events(1)
        with pytest.raises(Refused):
            scene.sealer.seal()


CUT = (
    "DELETE FROM audit_private WHERE event_id IN (SELECT event_id FROM audit_leaf WHERE index >= 25)",
    "DELETE FROM audit_event WHERE id IN (SELECT event_id FROM audit_leaf WHERE index >= 25)",
    "DELETE FROM audit_leaf WHERE index >= 25",
    "DELETE FROM audit_node WHERE (index + 1) << level > 25",
    "DELETE FROM audit_checkpoint WHERE size > 25",
)


def test_a_clean_cut_or_an_old_backup_is_found_by_the_sealer_its_copy_and_any_kept_checkpoint(scene: Scene) -> None:
    scene.run(*CUT)
    with pytest.raises(Refused) as refused:
        scene.sealer.seal()
    assert refused.value.code == "rollback"
    for found in (scene.inspect(scene.kept[40]), scene.inspect(tiles=True)):
        assert ([each.code for each in found.findings], found.first_bad_index) == (["truncated"], 25)


def test_not_detectable_a_clean_cut_by_the_database_alone(scene: Scene) -> None:
    """Documented: without the sealer's memory and without a kept checkpoint the database agrees with itself."""
    scene.run(*CUT)
    assert scene.inspect(scene.kept[25]).findings == []


def test_not_detectable_a_stolen_key_that_rewrites_what_nobody_kept_a_checkpoint_of(scene: Scene) -> None:
    """Documented: with database and key, only a checkpoint that somebody else kept (a witness) shows it."""
    scene.run(_edited(17))
    scene.rewrite(scene.sealer.signer, start=10)
    assert scene.inspect(scene.kept[10]).findings == []
    found = scene.inspect(scene.kept[10], scene.kept[25])
    assert [(each.code, each.index) for each in found.findings] == [("root", 10)]


def test_not_detectable_an_event_and_its_place_in_the_queue_deleted_before_sealing(scene: Scene) -> None:
    """Documented: within the interval of the sealer a superuser can make an event unhappen."""
    write_events(2)
    scene.run(
        "DELETE FROM audit_private WHERE event_id IN (SELECT min(event_id) FROM audit_pending)",
        "DELETE FROM audit_event WHERE id IN (SELECT min(event_id) FROM audit_pending)",
        "DELETE FROM audit_pending WHERE event_id IN (SELECT min(event_id) FROM audit_pending)",
    )
    scene.sealer.seal()
    found = scene.inspect(*scene.kept.values(), tiles=True)
    assert (found.findings, found.size) == ([], 41)


def test_not_detectable_an_event_that_the_application_invents(scene: Scene) -> None:
    """Documented: the log proves what was recorded, not that it is true."""
    with transaction.atomic():
        uid = log.record(ThingChanged(target_id="never-happened"), actor=ALICE, at=clock.now())
    scene.sealer.seal()
    assert AuditLeaf.objects.filter(event_id=AuditEvent.objects.get(uid=uid).id).exists()
    assert scene.inspect(tiles=True).findings == []


def test_an_erasure_on_record_is_no_finding(scene: Scene) -> None:
    uid = AuditEvent.objects.get(id=AuditLeaf.objects.get(index=17).event_id).uid
    with transaction.atomic():
        log.erase_private([uid], person_id="p", actor=ALICE, at=clock.now(), reason="asked")
    scene.sealer.seal()
    found = scene.inspect(tiles=True)
    assert (found.findings, found.erased) == ([], 1)


def test_archived_leaves_that_were_pruned_are_no_gap_and_others_are(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.inspection.PRUNE_STEP", 8)
    scene.run(
        "DELETE FROM audit_private WHERE event_id IN (SELECT event_id FROM audit_leaf WHERE index < 16)",
        "DELETE FROM audit_event WHERE id IN (SELECT event_id FROM audit_leaf WHERE index < 16)",
        "DELETE FROM audit_leaf WHERE index < 16",
    )
    assert [(each.code, each.index) for each in scene.inspect().findings] == [("gap", 0)]
    scene.run(
        "INSERT INTO audit_archive (from_leaf, upto_leaf, location, sha256, size, archived_at, verified_at)"
        " VALUES (0, 8, 'x', sha256('x'), 1, now(), now()), (8, 16, 'x', sha256('x'), 1, now(), now())"
    )
    found = scene.inspect(scene.kept[10], scene.kept[40])
    assert (found.findings, found.first_leaf, found.size) == ([], 16, 40)


@pytest.fixture
def pinned(scene: Scene, settings: Any) -> Scene:
    settings.KEYSTEAD_SEALER_FOLDER = scene.sealer.folder.path
    return scene


def test_the_command_says_that_an_honest_log_holds(
    pinned: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    kept = tmp_path / "kept.note"
    kept.write_text(pinned.sealer.folder.read_state().note)  # type: ignore[union-attr]
    call_command("verify_audit_log", "--trust", str(kept))
    said = capsys.readouterr().out
    assert "The log holds." in said
    assert "40 sealed events" in said


def test_the_command_names_the_first_bad_index_and_exits_with_one(
    pinned: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pinned.run(_edited(17))
    with pytest.raises(SystemExit) as ended:
        call_command("verify_audit_log", "--json")
    assert ended.value.code == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["first_bad_index"] == 17
    assert {each["code"] for each in answer["findings"]} == {"payload"}
    with pytest.raises(SystemExit):
        call_command("verify_audit_log")
    assert "the first bad index is 17" in capsys.readouterr().out
    for words, code in (
        (("--key", Signer.generate("x").verifier.text()), 1),
        (("--key", "no key"), 2),
        (("--trust", str(tmp_path / "none")), 2),
        (("--tiles", str(tmp_path)), 2),
    ):
        with pytest.raises(CommandError) as refused:
            call_command("verify_audit_log", *words)
        assert refused.value.returncode == code


def test_a_log_with_hundreds_of_findings_is_still_read_by_people(scene: Scene) -> None:
    scene.run("UPDATE audit_event SET request_id = 'x', actor_id = 'x', outcome = 'denied'")
    found = scene.inspect()
    assert (len(found.findings), found.more) == (100, 20)
