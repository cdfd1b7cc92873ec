"""Spans and instants are said in words that do not mislead."""

from datetime import UTC, datetime, timedelta

import pytest

from portal.templatetags.times import duration, relative, when

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(seconds=-10), "just now"),
        (timedelta(seconds=10), "in less than a minute"),
        (timedelta(minutes=-1), "1 minute ago"),
        (timedelta(hours=-47), "47 hours ago"),
        (timedelta(days=3), "in 3 days"),
        (timedelta(days=400), "in 13 months"),
        (timedelta(days=-800), "2 years ago"),
    ],
)
def test_a_time_is_told_by_how_far_off_it_is(span: timedelta, words: str) -> None:
    assert relative(AT + span, at=AT) == words


def test_relative_time_carries_the_exact_instant() -> None:
    drawn = when(AT - timedelta(hours=3), at=AT)
    assert 'datetime="2026-11-22T09:00:00+00:00"' in drawn
    assert 'title="22 Nov 2026, 09:00:00 UTC"' in drawn


def test_none_is_never() -> None:
    assert "never" in when(None)


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(days=90), "90 days"),
        (5400, "1 hour 30 minutes"),
        (0, "0 seconds"),
        (None, "no limit"),
    ],
)
def test_a_span_is_told_in_words(span: timedelta | int | None, words: str) -> None:
    assert duration(span) == words
