"""An auditor draws a sample from a search, opens it, draws it again and takes it out; nobody else finds any of it."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile

import pytest
from django.test import Client
from django.urls import reverse

from keys.people.roles import rename_person
from keys.reports.samples import draw_sample
from keys.reports.searches import LogSearch
from tests.people import acting
from tests.portal.doorway import details, events, last_event, signed_in


@pytest.fixture
def renamed(sealing, world):
    for number in range(40):
        rename_person(world.alice, actor=acting(world.alice), name=f"Alice {number}")
    sealing.settle()
    return world


def test_a_sample_is_drawn_opened_and_drawn_again(renamed):
    client = signed_in(renamed.auditor)
    page = client.get("/audit/?action=person.changed")
    form = client.get(reverse("new_sample") + page.context["query"])
    assert 'value="25"' in form.content.decode()
    answer = client.post(reverse("new_sample") + page.context["query"], {"size": "25", "seed": ""})
    assert answer.status_code == 302
    event = last_event("log.sampled")
    assert answer["location"] == reverse("audit_sample", args=[event.uid])
    assert event.actor_id == str(renamed.auditor.pk)
    shown = client.get(answer["location"])
    text = shown.content.decode()
    assert len(shown.context["rows"]) == 25
    assert details(event)["seed"] in text
    assert details(event)["population_sha256"] in text
    assert all(row.seal is not None for row in shown.context["rows"])
    again = client.post(reverse("redraw_sample", args=[event.uid]))
    assert "Drawn again: the same" in again.content.decode()
    assert "Open the sample" in client.get(reverse("audit_event", args=[event.uid])).content.decode()


def test_the_page_gives_the_program_with_which_anybody_draws_the_same_from_an_export(renamed, tmp_path):
    client = signed_in(renamed.auditor, "export")
    uid = draw_sample(LogSearch(actions=("person.changed",)), actor=acting(renamed.auditor), size=7)
    shown = client.get(reverse("audit_sample", args=[uid]))
    found = re.search(r"import hashlib, json, sys.*?\[:7\]\)\)", shown.content.decode(), re.DOTALL)
    assert found is not None
    program = found[0].replace("&quot;", '"').replace("&#x27;", "'")
    rename_person(renamed.alice, actor=acting(renamed.alice), name="Alice, later")  # the population stays what it was
    assert len(client.get(shown.context["population_address"]).context["rows"]) == 40
    answer = client.post(shown.context["population_export"], {"form": "jsonl"})
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as packed:
        (tmp_path / "events.jsonl").write_bytes(packed.read(packed.namelist()[0]))
    said = subprocess.run(
        [sys.executable, "-I", "-c", program, tmp_path / "events.jsonl"], capture_output=True, text=True, check=True
    ).stdout.split("\n")
    facts = details(last_event("log.sampled"))
    assert said[0] == f"{facts['population']} {facts['population_sha256']}"
    assert said[1:8] == [str(row.uid) for row in shown.context["rows"]]


def test_a_sample_is_exported_by_itself(renamed):
    client = signed_in(renamed.auditor, "export")
    uid = draw_sample(LogSearch(actions=("person.changed",)), actor=acting(renamed.auditor), size=7)
    shown = client.get(reverse("audit_sample", args=[uid]))
    assert client.get(shown.context["export_address"]).status_code == 200
    answer = client.post(shown.context["export_address"], {"form": "jsonl"})
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as packed:
        lines = packed.read(packed.namelist()[0]).splitlines()
    assert {json.loads(line)["uid"] for line in lines} == {str(row.uid) for row in shown.context["rows"]}
    assert client.get(f"/audit/?sample={uid}").context["rows"]


@pytest.mark.parametrize("who", ["alice", "bob", "mallory", "responder"])
def test_for_everybody_else_there_are_no_samples(renamed, who):
    uid = draw_sample(LogSearch(), actor=acting(renamed.auditor), size=3)
    client = signed_in(getattr(renamed, who), "*")
    assert client.get(reverse("new_sample")).status_code == 404
    assert client.post(reverse("new_sample"), {"size": "3"}).status_code == 404
    assert client.get(reverse("audit_sample", args=[uid])).status_code == 404
    assert client.post(reverse("redraw_sample", args=[uid])).status_code == 404
    assert len(events(action="log.sampled")) == 1
    assert len(events(action="access.denied", actor_id=str(getattr(renamed, who).pk))) >= 4


def test_strangers_are_sent_to_sign_in(renamed):
    uid = draw_sample(LogSearch(), actor=acting(renamed.auditor), size=3)
    for method, address in (
        ("get", reverse("new_sample")),
        ("post", reverse("new_sample")),
        ("get", reverse("audit_sample", args=[uid])),
        ("post", reverse("redraw_sample", args=[uid])),
    ):
        assert getattr(Client(), method)(address)["location"].startswith("/sign-in/")


@pytest.mark.parametrize(
    ("query", "typed"),
    [
        ("", {"size": "0"}),
        ("", {"size": "1000"}),
        ("", {"size": "many"}),
        ("", {"size": "3", "seed": "two words"}),
        ("", {"size": "3", "seed": "x" * 65}),
        ("?target=key:none", {"size": "3"}),
        ("?action=no.such", {"size": "3"}),
    ],
)
def test_what_cannot_be_drawn_is_said_on_the_page(renamed, query, typed):
    assert signed_in(renamed.auditor).post(reverse("new_sample") + query, typed).status_code == 422
    assert not events(action="log.sampled")


def test_before_anything_is_sealed_the_page_says_so(world):
    answer = signed_in(world.auditor).post(reverse("new_sample"), {"size": "3"})
    assert answer.status_code == 422
    assert "Nothing is sealed yet" in answer.content.decode()


def test_what_is_no_sample_is_not_there(world):
    client = signed_in(world.auditor)
    other = last_event("team.created").uid
    assert client.get(reverse("audit_sample", args=[other])).status_code == 404
    assert client.post(reverse("redraw_sample", args=[world.alice.pk])).status_code == 404
