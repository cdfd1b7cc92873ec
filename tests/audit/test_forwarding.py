"""The sealed log goes on to receivers outside: every leaf at least once, in order, in words that they can read."""

import json
import re
import time
from datetime import timedelta

import pytest

from audit import clock
from audit.exporters import ocsf
from audit.forwarding import cef, sealed
from audit.forwarding.base import BadAddress, ForwardFailed, SealedEvent, configured
from audit.forwarding.sealed import forward_sealed, state
from audit.forwarding.syslog import Syslog, message
from audit.models import AuditEvent, AuditForward, AuditLeaf
from tests.audit.receivers import certificate, datagram_receiver, stream_receiver
from tests.audit.sealing import make_sealer, write_events

SYSLOG = re.compile(
    rb"<(\d+)>1 (\S+) (\S+) keystead - (\S+) "
    rb'\[origin software="Keystead" swVersion="[^"]*"\]\[keystead@32473 leaf="(\d+)" uid="([^"]+)" outcome="(\w+)" action="([^"]+)"\] '
    rb"(.*)",
    re.DOTALL,
)


@pytest.fixture
def sealer(committed_db, tmp_path):
    return make_sealer(tmp_path / "sealer")


def seal(sealer, count, prefix="t"):
    write_events(count, prefix)
    while sealer.seal().is_full:
        pass


def payloads():
    rows = dict(AuditEvent.objects.values_list("id", "payload"))
    return [bytes(rows[pk]) for pk in AuditLeaf.objects.order_by("index").values_list("event_id", flat=True)]


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def read(messages):
    """Leaf -> text of the messages, in the order they came."""
    found = [SYSLOG.fullmatch(each) for each in messages]
    assert all(found)
    return [(int(match[5]), match[9]) for match in found if match]


def test_every_sealed_event_arrives_once_in_order_over_tcp(sealer):
    seal(sealer, 30)
    write_events(5, "unsealed")
    with stream_receiver() as receiver:
        plug = Syslog(f"tcp://127.0.0.1:{receiver.port}")
        sent = forward_sealed(plug)
        until(lambda: len(receiver.messages) >= sent)
        assert read(receiver.messages) == list(enumerate(payloads()))
        assert forward_sealed(plug) == 0
        seal(sealer, 3)
        assert forward_sealed(plug) == len(payloads()) - sent
        until(lambda: len(receiver.messages) == len(payloads()))
        assert [leaf for leaf, _ in read(receiver.messages)] == list(range(len(payloads())))


def test_tls_is_verified_and_a_stranger_gets_nothing(sealer, tmp_path):
    seal(sealer, 4)
    ours, strangers = certificate(tmp_path / "ours"), certificate(tmp_path / "strangers")
    with stream_receiver(ours) as receiver:
        wrong = Syslog(f"tls://localhost:{receiver.port}?ca={strangers[0]}")
        assert forward_sealed(wrong) == 0
        row = AuditForward.objects.get()
        assert (row.problem, row.next_leaf) == ("certificate_refused", 0)
        assert receiver.messages == []
        other_name = certificate(tmp_path / "other", "example.org")
        with stream_receiver(other_name) as impostor, pytest.raises(ForwardFailed, match="certificate_refused"):
            Syslog(f"tls://localhost:{impostor.port}?ca={other_name[0]}").send([_event()])
        AuditForward.objects.update(next_attempt_at=None)
        right = Syslog(f"tls://localhost:{receiver.port}?ca={ours[0]}&form=ocsf")
        assert forward_sealed(right) == len(payloads())
        until(lambda: len(receiver.messages) == len(payloads()))
        for leaf, text in read(receiver.messages):
            assert json.loads(text) == ocsf.translated(json.loads(payloads()[leaf]), leaf=leaf)
        assert AuditForward.objects.get().problem == ""


def test_over_udp_each_event_is_a_datagram(sealer):
    seal(sealer, 5)
    with datagram_receiver() as line:
        sent = forward_sealed(Syslog(f"udp://127.0.0.1:{line.getsockname()[1]}?form=cef"))
        got = [line.recv(65535) for _ in range(sent)]
    assert [leaf for leaf, _ in read(got)] == list(range(sent))
    assert all(text.startswith(b"CEF:0|Keystead|Keystead|") for _, text in read(got))


def test_a_receiver_that_is_away_keeps_the_cursor_and_is_tried_again_later(sealer):
    seal(sealer, 4)
    with stream_receiver() as gone:
        plug = Syslog(f"tcp://127.0.0.1:{gone.port}")
    for attempt in (1, 2, 3):
        before = clock.now()
        assert forward_sealed(plug) == 0
        row, pause = AuditForward.objects.get(), timedelta(seconds=2**attempt)
        assert (row.next_leaf, row.attempts, row.problem) == (0, attempt, "unreachable")
        assert before + pause <= row.next_attempt_at <= clock.now() + pause
        AuditForward.objects.update(next_attempt_at=clock.now() + timedelta(minutes=1))
        assert forward_sealed(plug) == 0, "not before its time"
        assert AuditForward.objects.get().attempts == attempt
        AuditForward.objects.update(next_attempt_at=clock.now() - timedelta(seconds=1))
    AuditForward.objects.update(attempts=60)
    forward_sealed(plug)
    assert AuditForward.objects.get().next_attempt_at - clock.now() <= timedelta(minutes=5)


class Recorder(Syslog):
    """A plug whose receiver is here; it fails when it is told to."""

    def __init__(self):
        super().__init__("tcp://recorder:1")
        self.leaves, self.dies_after = [], None

    def send(self, events):
        self.leaves += [each.leaf for each in events]
        if self.dies_after is not None and len(self.leaves) >= self.dies_after:
            self.dies_after = None
            raise RuntimeError("killed after sending, before the cursor moved")


def test_a_crash_between_sending_and_noting_sends_again_and_leaves_no_gap(sealer, monkeypatch):
    monkeypatch.setattr(sealed, "BATCH", 4)
    seal(sealer, 10)
    total = len(payloads())
    plug = Recorder()
    plug.dies_after = 8
    with pytest.raises(RuntimeError):
        forward_sealed(plug)
    assert AuditForward.objects.get().next_leaf == 4
    assert forward_sealed(plug) == 0, "its lease is not over yet"
    AuditForward.objects.update(lease_until=clock.now() - timedelta(seconds=1))
    assert forward_sealed(plug) == total - 4
    assert plug.leaves == [*range(8), *range(4, total)]
    assert sorted(set(plug.leaves)) == list(range(total))


def test_whoever_lost_the_lease_moves_no_cursor(sealer):
    seal(sealer, 2)
    plug = Recorder()
    slow = sealed._take(plug.receiver)
    AuditForward.objects.update(lease_until=clock.now() - timedelta(seconds=1))
    forward_sealed(plug)
    assert not sealed._move(slow, 1)
    sealed._put_off(slow, "unreachable")
    row = AuditForward.objects.get()
    assert (row.next_leaf, row.problem) == (len(payloads()), "")


def test_the_state_tells_what_waits(sealer, settings):
    assert state() is None
    assert forward_sealed() == 0
    settings.KEYSTEAD_LOG_FORWARD = "audit.forwarding.syslog.Syslog"
    settings.KEYSTEAD_LOG_FORWARD_URL = "tcp://127.0.0.1:1"
    seal(sealer, 3)
    assert state().behind == len(payloads())
    assert forward_sealed() == 0
    assert (state().problem, state().attempts) == ("unreachable", 1)


@pytest.mark.parametrize(
    "url",
    [
        "", "http://siem:514", "tcp://", "tcp://siem:99999", "tcp://siem:1/path", "tls://siem?form=xml", "tcp://siem?ca=x",
        "tls://siem?ca=/no/such/file", "tls://siem?verify=no", "tcp://user:word@siem:1", "udp://siem?nonsense",
    ],
)  # fmt: skip
def test_an_address_that_says_something_else_is_refused(url):
    with pytest.raises((BadAddress, ValueError)):
        Syslog(url)


def test_a_path_that_is_no_plug_is_refused(settings):
    settings.KEYSTEAD_LOG_FORWARD = "audit.forwarding.syslog.PORTS"
    with pytest.raises(BadAddress):
        configured()


def _event(**facts):
    told = {
        "version": 1, "uid": "u1", "time": "2026-05-01T12:30:15.123Z", "action": "key.revoked", "outcome": "success",
        "severity": "medium", "app": "0.1.0", "actor": {"type": "person", "id": "7", "session": ""},
        "target": {"type": "key", "id": "k1", "version": ""}, "environment": "prod", "reason": "superseded",
        "request": {"id": "r1", "method": "POST", "route": "", "task": ""}, "change": {}, "details": {}, "correlation": "",
        "approvals": [], "policy": None, "on_behalf_of": None, "auth": {"mfa": True}, "private": {},
    }  # fmt: skip
    told |= facts
    return SealedEvent(leaf=41, payload=json.dumps(told).encode(), facts=told)


def test_syslog_says_how_severe_it_is_and_escapes_what_would_end_an_element():
    text = message(_event(uid='a"b]c\\d'), form="json", host="häus 1").decode()
    assert text.startswith("<108>1 2026-05-01T12:30:15.123Z hus1 keystead - key.revoked [origin ")  # 13 * 8 + 4
    assert 'uid="a\\"b\\]c\\\\d"' in text
    assert message(_event(severity="critical"), form="json", host="").startswith(b"<106>1 2026-05-01T12:30:15.123Z - ")
    assert b" " + b"x" * 32 + b" [origin" in message(_event(action="x" * 50), form="json", host="h")


def test_cef_escapes_what_would_end_a_field():
    text = cef.line(_event(action="thing.gone", app="1|2\\3", details={"text": "a=b|c\\d\ne"}, reason="x\r\ny"))
    head, extension = re.split(r"(?<!\\)\|(?=rt=)", text)
    assert re.split(r"(?<!\\)\|", head) == [
        "CEF:0", "Keystead", "Keystead", "1\\|2\\\\3", "thing.gone", "thing.gone", "5",
    ]  # fmt: skip
    assert "\n" not in text
    assert "\r" not in text
    assert 'cs5={"text":"a\\=b|c\\\\\\\\d\\\\ne"}' in extension
    assert "reason=x\\r\\ny" in extension
    assert "cn1Label=leaf cn1=41" in extension
    assert "rt=1777638615123" in extension


@pytest.mark.parametrize(("given", "escaped"), [("a|b", "a\\|b"), ("a\\b", "a\\\\b"), ("a=b", "a=b"), ("a\nb", "a b")])
def test_the_header_of_cef_escapes_bars_and_holds_no_line_break(given, escaped):
    assert cef.header_value(given) == escaped


@pytest.mark.parametrize(
    ("given", "escaped"),
    [("a|b", "a|b"), ("a\\b", "a\\\\b"), ("a=b", "a\\=b"), ("a\r\nb", "a\\r\\nb"), ("\x00\x1b", "  ")],
)
def test_the_extension_of_cef_escapes_equals_signs_and_line_breaks(given, escaped):
    assert cef.extension_value(given) == escaped
