"""Calendar addresses and the mail of teams over REST: one's own calendar, one's own team's mail, and nobody else's."""

from urllib.parse import urlsplit

from django.test import Client

from audit.models import AuditEvent
from keys.models import CalendarFeed

ADDRESS = "/api/v1/me/calendars"
MAIL = "/api/v1/teams/reporting/mail"


def make(client, team=None):
    return client.post(ADDRESS, {"team": team}, format="json")


def reads(address):
    return Client().get(urlsplit(address).path)


def test_an_address_is_told_once_and_opens_the_calendar_until_it_is_replaced_or_removed(stage):
    alice = stage.client("developer")
    made = make(alice)
    assert made.status_code == 201
    assert made["Cache-Control"] == "no-store"
    first = made.json()["address"]
    assert b"BEGIN:VCALENDAR" in reads(first).content
    second = make(alice).json()
    assert reads(first).status_code == 404
    assert reads(second["address"]).status_code == 200
    listed = alice.get(ADDRESS)
    (shown,) = listed.json()["calendars"]
    assert (shown["id"], shown["team"], shown["read_at"] is not None) == (second["calendar"]["id"], None, True)
    assert second["address"].rsplit("/", 1)[-1].removesuffix(".ics") not in listed.content.decode()
    removed = alice.post(f"{ADDRESS}/{shown['id']}/remove", {}, format="json").json()
    assert removed["removed_at"] is not None
    assert reads(second["address"]).status_code == 404
    again = alice.post(f"{ADDRESS}/{shown['id']}/remove", {}, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "feed_removed")


def test_a_team_s_calendar_is_for_its_members_only(stage):
    alice, mallory = stage.client("developer"), stage.client("stranger")
    made = make(alice, team="reporting").json()
    assert made["calendar"]["team"] == "reporting"
    assert b"Living" in reads(made["address"]).content
    assert make(mallory, team="reporting").json()["code"] == "not_your_team"
    assert make(alice, team="nothing").json()["errors"][0]["code"] == "unknown_team"
    assert mallory.get(ADDRESS).json() == {"calendars": []}
    assert mallory.post(f"{ADDRESS}/{made['calendar']['id']}/remove", {}, format="json").status_code == 404
    assert CalendarFeed.objects.living().count() == 1


def test_an_address_needs_presence_and_is_no_answer_that_is_kept(stage):
    plain = stage.as_person(stage.world.alice, "claim")
    assert make(plain).json()["code"] == "step_up_required"
    kept = stage.client("developer").post(ADDRESS, {"team": None}, format="json", headers={"Idempotency-Key": "k"})
    assert kept.status_code == 400
    assert stage.client("program").get(ADDRESS).json()["code"] == "people_only"
    assert not CalendarFeed.objects.exists()


def test_leads_and_administrators_say_whom_mails_of_a_team_reach(stage):
    lead, admin, stranger = stage.client("developer"), stage.client("administrator"), stage.client("stranger")
    chosen = lead.post(MAIL, {"mail_to": "members"}, format="json")
    assert (chosen.status_code, chosen.json()["mail_to"]) == (200, "members")
    assert stranger.get("/api/v1/teams/reporting").json()["mail_to"] == "members", "colleagues know each other's teams"
    refused = stranger.post(MAIL, {"mail_to": "leads"}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (403, "not_a_lead")
    wrong = admin.post(MAIL, {"mail_to": "nobody"}, format="json")
    assert (wrong.status_code, wrong.json()["errors"][0]["code"]) == (422, "unknown_choice")
    assert admin.post(MAIL, {"mail_to": "leads"}, format="json").json()["mail_to"] == "leads"
    assert admin.post("/api/v1/teams/nothing/mail", {"mail_to": "leads"}, format="json").status_code == 404
    told = AuditEvent.objects.with_action("team.mail-chosen").order_by("id")
    assert [each.actor_id for each in told] == [str(stage.world.alice.pk), str(stage.world.admin.pk)]
