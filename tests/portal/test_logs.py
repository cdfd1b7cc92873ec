"""Only allow-listed facts get out, whoever logs them."""

import errno
import io
import json
import logging
import logging.config

import pytest
import structlog

from keys.crypto import key_text
from portal import logs


@pytest.fixture
def written():
    """Configure as in production; give a function that returns the lines written."""
    stream = io.StringIO()
    configuration = dict(logs.configuration(production=True, level="INFO"))
    configuration["handlers"] = {
        "stderr": {"class": "logging.StreamHandler", "formatter": "structured", "stream": stream}
    }
    before = list(logging.root.handlers), logging.root.level
    logging.config.dictConfig(configuration)
    logs.configure_structlog()
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.root.handlers, logging.root.level = before


def test_a_fact_that_is_not_listed_is_withheld_and_its_name_kept(written):
    structlog.get_logger("keystead.test").info("asked", route="a/b", secret="s3cret", password="hunter2", status=200)
    (line,) = written()
    assert (line["event"], line["route"], line["status"]) == ("asked", "a/b", 200)
    assert line["withheld"] == ["password", "secret"]
    assert "s3cret" not in json.dumps(line)
    assert "hunter2" not in json.dumps(line)


def test_a_listed_fact_that_is_no_plain_value_is_withheld(written):
    structlog.get_logger("keystead.test").info("asked", code={"nested": "s3cret"})
    assert written()[0]["withheld"] == ["code"]


def test_the_shape_of_a_key_is_withheld_even_from_listed_facts_and_sentences(written):
    minted = key_text.mint("prod")
    text = minted.secret.reveal()
    structlog.get_logger("keystead.test").info("found " + text, route=text)
    assert text not in json.dumps(written())
    assert "[key withheld]" in written()[0]["route"]


def test_a_strangers_line_keeps_its_template_and_loses_its_arguments(written):
    logging.getLogger("somebody.else").warning("bad value %s for %s", "s3cret", "alice")
    (line,) = written()
    assert line["event"] == "bad value %s for %s"
    assert "s3cret" not in json.dumps(line)


def test_the_machinerys_lines_are_whole(written):
    logging.getLogger("celery.worker").info("Task %s succeeded", "portal.pulse")
    assert written()[0]["event"] == "Task portal.pulse succeeded"


def test_the_machinerys_complaints_lose_their_arguments_because_they_quote_requests(written):
    logging.getLogger("gunicorn.error").warning("Invalid request from ip=%s: %s", "10.0.0.1", "GET /s3cret")
    assert written()[0]["event"] == "Invalid request from ip=%s: %s"
    assert "s3cret" not in json.dumps(written())


def test_an_error_handed_over_as_a_value_is_told_by_class_too(written):
    structlog.get_logger("keystead.test").error("failed", exc_info=ValueError("s3cret"))
    assert written()[0]["error"] == "builtins.ValueError"
    assert "s3cret" not in json.dumps(written())


def test_an_error_is_told_by_class_and_place_and_not_by_message(written):
    def fail():
        raise ValueError("row (alice, s3cret) breaks a rule")

    for log in (structlog.get_logger("keystead.test"), logging.getLogger("somebody.else")):
        try:
            fail()
        except ValueError:
            log.exception("failed")
    for line in written():
        assert line["error"] == "builtins.ValueError"
        assert any("fail" in frame for frame in line["frames"])
    assert "s3cret" not in json.dumps(written())


def test_a_full_disk_is_told_from_other_failures_without_naming_a_file(written):
    structlog.get_logger("keystead.test").error("failed", exc_info=OSError(errno.ENOSPC, "no space", "/home/s3cret"))
    assert (written()[0]["error"], written()[0]["errno"]) == ("builtins.OSError", "ENOSPC")
    assert "s3cret" not in json.dumps(written())


def test_every_line_says_when_how_bad_and_who(written):
    structlog.contextvars.bind_contextvars(request_id="abc")
    try:
        structlog.get_logger("keystead.test").warning("asked")
    finally:
        structlog.contextvars.clear_contextvars()
    (line,) = written()
    assert line["level"] == "warning"
    assert line["logger"] == "keystead.test"
    assert line["request_id"] == "abc"
    assert line["timestamp"].endswith("Z")
