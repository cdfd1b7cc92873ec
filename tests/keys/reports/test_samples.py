"""Samples of the log: on record with their seed, the same for everybody who draws again, and only from what is sealed."""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from audit.actor import Actor
from audit.models import AuditCheckpoint, AuditEvent, AuditLeaf
from audit.sampling import draw
from keys.errors import Conflict, Denied, Invalid, NotFound
from keys.people.roles import rename_person
from keys.reports.log import search_log
from keys.reports.samples import draw_sample, read_sample, redraw_sample
from keys.reports.searches import LogSearch, Subject
from tests.people import acting


def renamed(world, times):
    for number in range(times):
        rename_person(world.alice, actor=acting(world.alice), name=f"Alice {number}")


RENAMES = LogSearch(actions=("person.changed",))


# --- the draw --------------------------------------------------------------------------------------------------------------


def test_the_draw_is_the_smallest_hashes_and_the_population_is_told_by_its_digest():
    uids = sorted(str(uuid.UUID(int=random.Random(number).getrandbits(128))) for number in range(500))
    made = draw(iter(uids), seed="2026-11-22.dice-4-1-6", size=25)
    by_hash = sorted(uids, key=lambda uid: hashlib.sha256(f"2026-11-22.dice-4-1-6:{uid}".encode()).hexdigest())
    assert list(made.drawn) == by_hash[:25]
    assert made.population == 500
    assert made.sha256 == hashlib.sha256("".join(f"{uid}\n" for uid in uids).encode()).hexdigest()
    assert draw(uids, seed="another", size=25).drawn != made.drawn
    assert draw(uids, seed="2026-11-22.dice-4-1-6", size=1000).drawn == tuple(by_hash)
    assert draw([], seed="x", size=3).drawn == ()


@pytest.mark.parametrize("uids", [["b", "a"], ["a", "a"]])
def test_a_population_out_of_order_is_refused(uids):
    with pytest.raises(ValueError, match="sorted"):
        draw(uids, seed="s", size=1)


# --- the operation ---------------------------------------------------------------------------------------------------------


def test_a_sample_is_on_record_with_all_that_is_needed_to_draw_it_again(sealing, world):
    renamed(world, 30)
    sealing.settle()
    size = AuditCheckpoint.objects.latest("size").size
    renamed(world, 3)  # after the checkpoint that counts, or before: either way the record says which
    uid = draw_sample(RENAMES, actor=acting(world.auditor), size=10)
    sample = read_sample(uid, actor=acting(world.admin))
    facts = sample.facts
    assert facts["searched"] == {"action": "person.changed"}
    assert facts["checkpoint"] >= size
    assert facts["population"] in range(30, 34)
    assert len(facts["seed"]) == 32
    assert not facts["seed_chosen"]
    assert len(set(sample.leaves)) == len(sample.drawn) == 10
    assert {event.action for event in sample.drawn if event} == {"person.changed"}
    assert AuditLeaf.objects.get(event_id=sample.drawn[0].pk).index == sample.leaves[0]
    read = AuditEvent.objects.with_action("audit.log-read").latest("id").envelope()["details"]
    assert read == {"searched": {"sample": str(uid)}, "shown": 10}

    # An outsider with the payloads of the population and the record draws the same.
    rows = AuditEvent.objects.with_action("person.changed").filter(
        pk__in=AuditLeaf.objects.filter(index__lt=facts["checkpoint"]).values("event_id")
    )
    uids = sorted(json.loads(bytes(row.payload))["uid"] for row in rows)
    ranked = sorted(uids, key=lambda each: hashlib.sha256(f"{facts['seed']}:{each}".encode()).digest())
    assert [str(event.uid) for event in sample.drawn] == ranked[:10]
    assert hashlib.sha256("".join(f"{each}\n" for each in uids).encode()).hexdigest() == facts["population_sha256"]


def test_drawn_again_it_is_the_same_although_the_log_grew_and_with_a_typed_seed_as_well(sealing, world):
    renamed(world, 12)
    sealing.settle()
    first = draw_sample(RENAMES, actor=acting(world.auditor), size=5)
    seed = read_sample(first, actor=acting(world.auditor)).facts["seed"]
    renamed(world, 12)
    sealing.settle()
    again = redraw_sample(first, actor=acting(world.admin))
    assert again.same_population
    assert again.same_sample
    assert again.population == 12
    typed = draw_sample(RENAMES, actor=acting(world.auditor), size=5, seed=seed)
    assert read_sample(typed, actor=acting(world.auditor)).facts["seed_chosen"]
    assert redraw_sample(typed, actor=acting(world.auditor)).population == 24


def test_a_population_that_was_tampered_with_is_told(sealing, world, superuser):
    renamed(world, 12)
    sealing.settle()
    uid = draw_sample(RENAMES, actor=acting(world.auditor), size=5)
    gone = AuditEvent.objects.with_action("person.changed").first()
    with superuser.transaction():
        superuser.execute("ALTER TABLE audit_event DISABLE TRIGGER audit_append_only")
        superuser.execute("DELETE FROM audit_event WHERE id = %s", [gone.pk])
        superuser.execute("ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_append_only")
    again = redraw_sample(uid, actor=acting(world.auditor))
    assert not again.same_population
    assert again.population == 11


def test_a_sample_is_a_search_too_so_that_it_can_be_exported(sealing, world):
    renamed(world, 12)
    sealing.settle()
    actor = acting(world.auditor)
    uid = draw_sample(RENAMES, actor=actor, size=5)
    search = LogSearch(sample=uid)
    drawn = {event.pk for event in read_sample(uid, actor=actor).drawn}
    assert {event.pk for event in search.select()} == drawn
    first = search_log(search, actor=actor, size=3)
    second = search_log(search, actor=actor, size=3, after=first.following)
    assert {event.pk for event in (*first.events, *second.events)} == drawn
    assert second.following is None
    assert not LogSearch(sample=world.alice.pk).select().exists()


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["alice", "bob", "mallory", "responder"])
def test_whoever_may_not_read_the_log_draws_nothing_from_it(world, who):
    actor = acting(getattr(world, who), "*")
    for act in (
        lambda: draw_sample(RENAMES, actor=actor),
        lambda: read_sample(world.alice.pk, actor=actor),
        lambda: redraw_sample(world.alice.pk, actor=actor),
    ):
        with pytest.raises(Denied) as refused:
            act()
        assert refused.value.hidden
    assert AuditEvent.objects.filter(action="access.denied", actor_id=actor.id).count() == 3


@pytest.mark.django_db
def test_what_is_no_sample_is_not_found(world):
    other = AuditEvent.objects.newest_first().first().uid
    for uid in (other, world.alice.pk):
        for act in (read_sample, redraw_sample):
            with pytest.raises(NotFound):
                act(uid, actor=acting(world.auditor))


@pytest.mark.django_db
def test_before_anything_is_sealed_there_is_nothing_to_draw_from(world):
    with pytest.raises(Conflict, match="nothing_sealed"):
        draw_sample(LogSearch(), actor=acting(world.auditor))


@pytest.mark.parametrize(
    ("search", "asked", "field", "code"),
    [
        (RENAMES, {"size": 0}, "size", "out_of_range"),
        (RENAMES, {"size": 201}, "size", "out_of_range"),
        (RENAMES, {"seed": "a b"}, "seed", "not_a_seed"),
        (RENAMES, {"seed": "x" * 65}, "seed", "not_a_seed"),
        (LogSearch(target=Subject("key", "none")), {}, "size", "nothing_to_sample"),
        (LogSearch(), {}, "size", "population_too_large"),
    ],
)
def test_a_draw_that_cannot_be_made_says_why(sealing, world, monkeypatch, search, asked, field, code):
    monkeypatch.setattr("keys.reports.samples.MOST_POPULATION", 20)
    sealing.settle()
    with pytest.raises(Invalid) as refused:
        draw_sample(search, actor=acting(world.auditor), **asked)
    assert refused.value.fields[field][0] == code
    assert not AuditEvent.objects.with_action("log.sampled").exists()


@pytest.mark.django_db
def test_the_shell_may_draw_too(world):
    with pytest.raises(Conflict, match="nothing_sealed"):
        draw_sample(LogSearch(), actor=Actor.operator("root"))


def test_the_documented_program_draws_what_the_site_draws(tmp_path):
    page = (Path(__file__).resolve().parents[3] / "docs" / "audit-log.md").read_text()
    program = re.search(r"```python sample.py\n(import hashlib, json, sys\n.*?)```", page, re.DOTALL)
    assert program is not None
    uids = sorted(str(uuid.UUID(int=random.Random(number).getrandbits(128))) for number in range(99))
    file = tmp_path / "events.jsonl"
    file.write_text("".join(json.dumps({"uid": uid}) + "\n" for uid in reversed(uids)))
    said = subprocess.run(
        [sys.executable, "-I", "-c", program[1], file, "a-seed", "25"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    made = draw(uids, seed="a-seed", size=25)
    assert said == [f"99 {made.sha256}", *made.drawn]
