"""Give people addresses from which their calendar programs read: shown once, read only, ended by a button or by leaving."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q

from audit import clock
from audit.actor import Actor
from keys.crypto.secrets import Secret
from keys.errors import Conflict
from keys.events import CalendarFeedMade, CalendarFeedRemoved
from keys.models import CalendarFeed, Membership, Person, Team
from keys.operations import insert, locked, operation, update
from keys.people import links
from keys.people.standing import standing_of
from keys.policy.channel_rules import may_make_feed, may_remove_feed
from keys.policy.enforcement import enforce

READ_NOTED: Final = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class FreshFeed:
    """A feed with the address that was just made for it; it is shown now and never again."""

    feed: CalendarFeed
    link: Secret = field(repr=False)


@operation
def make_feed(person: Person, *, actor: Actor, team: Team | None = None) -> FreshFeed:
    """Make the address of a person's own calendar, or of one team of theirs; the one before answers nobody any more."""
    person = locked(person)  # two at once wait for each other here
    at = clock.now()
    team_id = team.pk if team is not None else None
    enforce(may_make_feed(actor, standing_of(actor, at=at), person_id=person.pk, team_id=team_id, at=at))
    _remove_all(CalendarFeed.objects.living().filter(person=person, team=team), actor=actor, at=at)
    token = links.new_token()
    feed = CalendarFeed(person=person, team=team, link_hash=links.hash_of(token, purpose=links.CALENDAR), created_at=at)
    insert(feed, CalendarFeedMade, actor=actor, at=at)
    return FreshFeed(feed=feed, link=links.link_of(token, purpose=links.CALENDAR))


@operation
def remove_feed(feed: CalendarFeed, *, actor: Actor) -> None:
    """Let an address answer nobody any more."""
    feed = locked(feed)
    at = clock.now()
    enforce(may_remove_feed(standing_of(actor, at=at), person_id=feed.person_id))
    if feed.removed_at is not None:
        raise Conflict("feed_removed")
    _remove(feed, actor=actor, at=at)


def remove_feeds_of(person: Person, *, actor: Actor, at: datetime) -> None:
    """End every address of a person, inside an operation that decided so: a place that is given back has none."""
    _remove_all(CalendarFeed.objects.living().filter(person=person), actor=actor, at=at)


def _remove_all(feeds: Iterable[CalendarFeed], *, actor: Actor, at: datetime) -> None:
    for feed in feeds:
        _remove(feed, actor=actor, at=at)


def _remove(feed: CalendarFeed, *, actor: Actor, at: datetime) -> None:
    CalendarFeed.objects.filter(pk=feed.pk).update(link_hash="")  # in no event: it is told by the end itself
    update(feed, CalendarFeedRemoved, actor=actor, at=at, expected={"removed_at": None}, columns={"removed_at": at})


def find_feed(token: str) -> CalendarFeed | None:
    """Return the feed that an address opens now: not for whoever has left the organisation, or the team it shows."""
    hashes = links.hashes_of(token, purpose=links.CALENDAR)
    if not hashes:
        return None
    feeds = CalendarFeed.objects.living().filter(link_hash__in=hashes, person__is_active=True)
    feed = feeds.filter(Q(team=None) | Q(team__retired_at=None)).select_related("person", "team").first()
    if feed is None or feed.team_id is None:
        return feed
    member = Membership.objects.living().filter(person_id=feed.person_id, team_id=feed.team_id)
    return feed if member.exists() else None


def note_reading(feed: CalendarFeed, token: str, *, at: datetime) -> None:
    """Remember to the hour that a calendar came, so that its person sees an address that others use; under the newest hash key."""
    link_hash = links.hash_of(Secret(token), purpose=links.CALENDAR)
    living = CalendarFeed.objects.living().filter(pk=feed.pk)
    living.filter(Q(read_at=None) | Q(read_at__lte=at - READ_NOTED)).update(read_at=at, link_hash=link_hash)
