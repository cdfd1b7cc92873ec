"""The calendar is read by another's reader, keeps the rules of RFC 5545, and is shut by removing, replacing and leaving."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import icalendar
import pytest
from django.test import Client

from audit import clock
from audit.models import AuditEvent
from keys.errors import Conflict, Denied
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.revocation import revoke_key, suspend_key
from keys.lifecycle.rotation import start_rotation
from keys.models import CalendarFeed, Membership
from keys.notifications import ics
from keys.notifications.calendars import entries_of, keys_of
from keys.notifications.ics import Entry, escaped, folded, written
from keys.people.calendar_feeds import find_feed, make_feed, remove_feed
from keys.people.roles import deactivate_person, reactivate_person
from keys.people.teams import end_membership
from keys.states import RevocationReason, SuspensionReason
from tests.people import World, acting, approved, issued

AT = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def entry(**changes: Any) -> Entry:
    facts: dict[str, Any] = {
        "uid": "key-1@keystead.example", "at": AT, "summary": "Ends", "description": "KEY-1",
        "url": "https://keystead.example/keys/1/", "born_at": AT - timedelta(days=3), "changed_at": AT,
    }  # fmt: skip
    return Entry(**facts | changes)


def events(body: bytes) -> list[Any]:
    return list(icalendar.Calendar.from_ical(body).walk("VEVENT"))


HOSTILE = "Commas, semicolons; back\\slashes\nBEGIN:VALARM\r\nand “quotes” \x07 日本語のとても長い名前" * 4


def test_another_reader_reads_what_was_meant() -> None:
    (read,) = events(written("Alice; Anna, \\", [entry(summary=HOSTILE)]))
    plain = HOSTILE.replace("\r\n", "\n").replace("\x07", "")
    assert str(read["SUMMARY"]) == plain
    assert read["DTSTART"].dt == AT
    assert read["LAST-MODIFIED"].dt == read["DTSTAMP"].dt == AT
    assert read["SEQUENCE"] == 3 * 24 * 3600
    assert str(read["URL"]) == "https://keystead.example/keys/1/"
    assert b"NAME:Alice\\; Anna" in written("Alice; Anna", [entry()])


def test_lines_end_and_fold_as_the_standard_says() -> None:
    body = written("Mine", [entry(summary=HOSTILE)])
    assert body.endswith(b"END:VCALENDAR\r\n")
    assert b"\n" not in body.replace(b"\r\n", b"")
    lines = body.split(b"\r\n")
    assert max(map(len, lines)) == 75
    for line in lines:
        line.decode("utf-8")  # no character is cut
    unfolded = body.replace(b"\r\n ", b"").decode()
    assert unfolded.count("BEGIN:VEVENT\r\n") == 1
    assert "\r\nBEGIN:VALARM" not in unfolded
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", unfolded)


def test_what_is_escaped_comes_back_whatever_it_holds() -> None:
    assert escaped("a,b;c\\d\ne\x00") == "a\\,b\\;c\\\\d\\ne"
    for length in range(70, 80):
        assert folded("é" * length).replace(b"\r\n ", b"").decode() == "é" * length


def test_an_empty_calendar_still_has_a_component() -> None:
    read = icalendar.Calendar.from_ical(written("Mine", []))
    assert [part.name for part in read.subcomponents] == ["VTIMEZONE"]


@pytest.mark.django_db
class TestEntries:
    def of(self, world: World, who: str = "alice", **narrowed: Any) -> dict[str, Entry]:
        found = entries_of(keys_of(acting(getattr(world, who)), **narrowed), at=clock.now())
        return {each.uid.partition("-")[0]: each for each in found}

    def test_keys_end_and_secrets_are_replaced(self, world: World) -> None:
        key, version, _ = issued(world)
        found = self.of(world)
        assert set(found) == {"key", "rotation"}
        assert (found["key"].at, found["key"].summary) == (key.authorised_until, "Nightly report ends")
        assert found["rotation"].at == key.rotations.get().due_at
        assert found["key"].url == f"http://localhost:8000/keys/{key.number}/"
        assert found["key"].description == f"KEY-{key.number} · Orders · Production · Reporting"
        assert version.kid not in str(found)

    def test_an_entry_keeps_its_name_and_grows_with_every_change(self, world: World) -> None:
        key, old, _ = issued(world)
        before = self.of(world)
        rotation = start_rotation(key, actor=acting(world.anna, "claim"))
        waiting = self.of(world)
        assert waiting["rotation"].summary == "Nightly report: last moment for its next secret"
        claim_secret(rotation.new_version, actor=acting(world.alice, "claim"))
        after = self.of(world)
        old.refresh_from_db()
        assert (after["rotation"].at, after["rotation"].summary) == (
            old.retire_at,
            "Nightly report: the old secret ends",
        )
        assert after["rotation"].uid == waiting["rotation"].uid
        assert after["rotation"].changed_at > waiting["rotation"].changed_at
        assert after["rotation"].sequence >= waiting["rotation"].sequence
        assert after["key"] == before["key"], "nothing happened to the key itself"
        assert written("x", after.values()) == written("x", self.of(world).values())

    def test_a_suspended_key_is_promised_no_next_secret(self, world: World) -> None:
        key, _, _ = issued(world)
        before = self.of(world)["rotation"]
        suspend_key(key, actor=acting(world.admin, "suspend"), reason=SuspensionReason.UNUSED)
        told = self.of(world)["rotation"]
        assert (told.summary, told.uid) == ("Nightly report is suspended: no next secret", before.uid)
        assert told.changed_at > before.changed_at, "or readers would keep the old words"

    def test_what_was_revoked_is_gone_and_others_have_none_of_it(self, world: World) -> None:
        key, _, _ = issued(world)
        assert self.of(world, "mallory") == {}
        assert "key" in self.of(world, "bob", team=world.reporting), "whose service it is may look"
        assert self.of(world, "mallory", team=world.reporting) == {}
        revoke_key(key, actor=acting(world.alice, "revoke"), reason=RevocationReason.SUPERSEDED)
        assert self.of(world) == {}

    def test_a_key_without_a_secret_ends_all_the_same(self, world: World) -> None:
        approved(world)
        assert set(self.of(world)) == {"key"}


def address(fresh: Any) -> str:
    return str(fresh.link.reveal()).removeprefix("http://localhost:8000")


@pytest.mark.django_db
class TestAddress:
    def test_a_calendar_reads_without_signing_in_and_nothing_is_stored_that_opens_it(self, world: World) -> None:
        issued(world)
        fresh = make_feed(world.alice, actor=acting(world.alice, "export"))
        client = Client()
        answer = client.get(address(fresh))
        assert answer.status_code == 200
        assert answer["Content-Type"] == ics.CONTENT_TYPE
        assert "no-store" in answer["Cache-Control"]
        assert "private" in answer["Cache-Control"]
        assert len(events(answer.content)) == 2
        again = client.get(address(fresh), headers={"if-none-match": answer["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert client.head(address(fresh)).status_code == 200
        assert client.post(address(fresh)).status_code == 405
        row = CalendarFeed.objects.get()
        assert row.read_at is not None
        token = address(fresh).removeprefix("/calendar/").removesuffix(".ics")
        assert len(token) == 43
        assert token not in row.link_hash
        told = AuditEvent.objects.get(action="calendar-feed.made").payload
        assert token.encode() not in bytes(told)
        assert row.link_hash.encode() not in bytes(told)
        assert str(fresh.link) != fresh.link.reveal()

    def test_replacing_and_removing_shut_the_address(self, world: World) -> None:
        first = make_feed(world.alice, actor=acting(world.alice, "export"))
        second = make_feed(world.alice, actor=acting(world.alice, "export"))
        of_team = make_feed(world.alice, actor=acting(world.alice, "export"), team=world.reporting)
        client = Client()
        codes = [client.get(address(each)).status_code for each in (first, second, of_team)]
        assert codes == [404, 200, 200]
        remove_feed(second.feed, actor=acting(world.alice))
        assert client.get(address(second)).status_code == 404
        with pytest.raises(Conflict, match="feed_removed"):
            remove_feed(second.feed, actor=acting(world.alice))
        assert client.get("/calendar/nonsense.ics").status_code == 404
        assert [each.action for each in AuditEvent.objects.filter(target_type="calendar-feed").order_by("id")] == [
            "calendar-feed.made", "calendar-feed.removed", "calendar-feed.made", "calendar-feed.made",
            "calendar-feed.removed",
        ]  # fmt: skip

    def test_whoever_leaves_the_team_or_the_organisation_reads_no_more(self, world: World) -> None:
        own = make_feed(world.anna, actor=acting(world.anna, "export"))
        of_team = make_feed(world.anna, actor=acting(world.anna, "export"), team=world.reporting)
        client = Client()
        assert client.get(address(of_team)).status_code == 200
        membership = Membership.objects.get(person=world.anna, team=world.reporting)
        end_membership(membership, actor=acting(world.admin, "people"))
        assert client.get(address(of_team)).status_code == 404
        assert client.get(address(own)).status_code == 200
        deactivate_person(world.anna, actor=acting(world.admin, "people"))
        assert client.get(address(own)).status_code == 404
        reactivate_person(world.anna, actor=acting(world.admin, "people"))
        assert client.get(address(own)).status_code == 404, "a place that is given back has no old address"
        assert find_feed("x" * 43) is None

    def test_it_takes_presence_a_team_of_ones_own_and_nobody_elses_name(self, world: World) -> None:
        with pytest.raises(Denied, match="step_up_required"):
            make_feed(world.alice, actor=acting(world.alice))
        with pytest.raises(Denied, match="not_your_team"):
            make_feed(world.alice, actor=acting(world.alice, "export"), team=world.other)
        with pytest.raises(Denied, match="not_your_own"):
            make_feed(world.alice, actor=acting(world.admin, "export"))
        fresh = make_feed(world.alice, actor=acting(world.alice, "export"))
        with pytest.raises(Denied, match="not_your_own"):
            remove_feed(fresh.feed, actor=acting(world.mallory))
        assert not CalendarFeed.objects.visible_to(acting(world.admin)).exists()
