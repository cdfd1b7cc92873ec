import hashlib
import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from audit import clock, log
from audit.actor import Actor, ActorKind, Auth
from audit.canonical import CanonicalError, canonical_json, parse_strict
from audit.events import LogRead, Outcome, PolicyRef
from audit.models import AuditEvent, AuditPending, AuditPrivate
from audit.uuid7 import uuid7
from tests.audit.things import ALICE, CLOCK, ThingBroken, ThingChanged, thing_id

AT = datetime(2026, 11, 22, 1, 2, 3, 456789, tzinfo=UTC)


def test_recording_outside_a_transaction_is_refused(committed_db: None) -> None:
    with pytest.raises(log.TransactionRequired):
        log.record(LogRead(target_id="log"), actor=CLOCK, at=AT)
    with pytest.raises(log.TransactionRequired):
        log.record_many([LogRead(target_id="log")], actor=CLOCK, at=AT)


def test_the_envelope_says_all_that_an_auditor_asks(db: None) -> None:
    target = thing_id()
    actor = Actor(
        kind=ALICE.kind, id=ALICE.id, name=ALICE.name, session=ALICE.session, http=ALICE.http,
        auth=Auth(mfa=True, methods=("password", "passkey"), device="passkey-1", assurance="aal2",
                  at=AT - timedelta(seconds=90, milliseconds=700)),
        on_behalf_of=Actor(kind=ActorKind.PERSON, id="carol", name="Carol Clark"),
    )  # fmt: skip
    uid = log.record(
        ThingChanged(
            target_id=target, target_version="3", environment="prod", reason="tidy", correlation="inc-7",
            change={"state": ("new", "used"), "until": (None, AT)}, approvals=("a1", "a2"),
            policy=PolicyRef(rule="may_change", version="4"), count=2, comment="free words",
        ),
        actor=actor, at=AT,
    )  # fmt: skip
    row = AuditEvent.objects.select_related("private").get(uid=uid)
    assert row.envelope() == {
        "version": 1,
        "uid": str(uid),
        "time": "2026-11-22T01:02:03.456Z",
        "action": "thing.changed",
        "outcome": "success",
        "severity": "informational",
        "actor": {"type": "person", "id": ALICE.id, "session": "5e" * 32},
        "on_behalf_of": {"type": "person", "id": "carol"},
        "auth": {
            "mfa": True, "methods": ["password", "passkey"], "device": "passkey-1", "age": 90, "assurance": "aal2",
        },
        "target": {"type": "thing", "id": target, "version": "3"},
        "environment": "prod",
        "request": {"id": "req-1", "method": "POST", "route": "/things/<uuid>", "task": ""},
        "reason": "tidy",
        "change": {"state": ["new", "used"], "until": [None, "2026-11-22T01:02:03.456789Z"]},
        "details": {"count": 2},
        "correlation": "inc-7",
        "approvals": ["a1", "a2"],
        "policy": {"rule": "may_change", "version": "4"},
        "app": "0.1.0",
        "private": {
            "alg": "sha-256",
            "commitment": hashlib.sha256(bytes(row.private.salt) + bytes(row.private.body)).hexdigest(),
        },
    }  # fmt: skip
    assert row.private.facts() == {
        "actor": {
            "name": "Alice Adams", "ip": "192.0.2.7", "user_agent": "Firefox", "on_behalf_of": "Carol Clark",
        },
        "details": {"comment": "free words"},
    }  # fmt: skip
    assert len(bytes(row.private.salt)) == 32
    assert bytes(row.payload) == canonical_json(parse_strict(bytes(row.payload)))
    for word in (b"Alice", b"Carol", b"192.0.2.7", b"Firefox", b"free words"):
        assert word not in bytes(row.payload)


def test_the_columns_are_a_projection_of_the_payload(db: None) -> None:
    before = clock.now()
    uid = log.record(ThingChanged(target_id="t-1", environment="test"), actor=ALICE, at=AT)
    row = AuditEvent.objects.get(uid=uid)
    assert (row.actor_type, row.actor_id, row.action) == ("person", ALICE.id, "thing.changed")
    assert (row.target_type, row.target_id, row.environment) == ("thing", "t-1", "test")
    assert (row.outcome, row.request_id) == ("success", "req-1")
    assert row.occurred_at == AT.replace(microsecond=456000)
    assert before <= row.recorded_at <= clock.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text")
        assert row.txid == int(cursor.fetchone()[0])


def test_recording_is_one_statement(db: None) -> None:
    with CaptureQueriesContext(connection) as queries:
        log.record(ThingChanged(target_id="t"), actor=ALICE, at=AT)
    assert len(queries) == 1
    with CaptureQueriesContext(connection) as queries:
        log.record_many([ThingChanged(target_id=str(n)) for n in range(50)], actor=ALICE, at=AT)
    assert len(queries) == 1


def test_many_events_keep_their_order_private_parts_and_places_in_the_queue(db: None) -> None:
    events = [ThingChanged(target_id=str(n), comment=f"words {n}") for n in range(20)]
    uids = log.record_many(events, actor=ALICE, at=AT)
    rows = list(AuditEvent.objects.select_related("private").filter(uid__in=uids).order_by("id"))
    assert [row.uid for row in rows] == uids
    assert [row.target_id for row in rows] == [str(n) for n in range(20)]
    assert [row.private.facts()["details"] for row in rows] == [{"comment": f"words {n}"} for n in range(20)]
    assert AuditPending.objects.filter(event_id__in=[row.id for row in rows]).count() == 20
    assert log.record_many([], actor=ALICE, at=AT) == []


def test_a_job_has_an_empty_private_part_with_a_commitment_of_its_own(db: None) -> None:
    one, two = (log.record(ThingChanged(target_id="t"), actor=Actor.system("x"), at=AT) for _ in range(2))
    rows = AuditEvent.objects.filter(uid__in=[one, two]).select_related("private")
    assert {row.private.facts()["details"]["comment"] for row in rows} == {""}  # type: ignore[index,call-overload]
    assert len({json.dumps(row.envelope()["private"]) for row in rows}) == 2


def test_an_event_over_16_kib_or_with_too_much_private_text_is_refused(db: None) -> None:
    with pytest.raises(log.PayloadTooLarge, match="at most 16384"):
        log.record(LogRead(target_id="log", searched={"q": "x" * 17_000}), actor=CLOCK, at=AT)
    with pytest.raises(log.PayloadTooLarge, match="private bytes"):
        log.record(ThingChanged(target_id="t", comment="x" * 70_000), actor=CLOCK, at=AT)


def test_an_act_that_needs_mfa_is_refused_to_a_person_without_and_not_to_the_shell(db: None) -> None:
    event = ThingBroken(target_id="t", reason="fell")
    with pytest.raises(log.MfaRequired):
        log.record(event, actor=Actor(kind=ActorKind.PERSON, id="mallory"), at=AT)
    denied = ThingBroken(target_id="t", reason="fell", outcome=Outcome.DENIED)
    log.record(denied, actor=Actor(kind=ActorKind.PERSON, id="mallory"), at=AT)
    log.record(event, actor=Actor.operator("root"), at=AT)


def test_a_time_without_a_zone_and_a_value_without_a_form_are_refused(db: None) -> None:
    with pytest.raises(ValueError, match="zone"):
        log.record(LogRead(target_id="log"), actor=CLOCK, at=AT.replace(tzinfo=None))
    for value in (1.5, object(), {1, 2}):
        with pytest.raises(TypeError):
            log.record(ThingChanged(target_id="t", change={"size": (None, value)}), actor=CLOCK, at=AT)
    with pytest.raises(CanonicalError):
        log.record(ThingChanged(target_id="t", reason="a\x00b"), actor=CLOCK, at=AT)


SECRETS = {
    "keystead-key": "ks_prod_abcDEF123456_" + "k" * 43 + "ABCdef",
    "private-key": "-----BEGIN EC " + "PRIVATE KEY-----\nMHcC",
    "otp-seed": "otpauth:" + "//totp/x?secret=JBSW",
    "aws-key": "AKIA" + "IOSFODNN7EXAMPLE",
    "github-token": "ghp_" + "a1" * 18,
    "slack-token": "xoxb-" + "1234567890-abcdef",
    "json-web-token": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0." + "SflKxwRJSMeKKF2QT4fw",
    "password-in-url": "postgres://u:" + "hunter2@db/x",
}


@pytest.mark.parametrize("kind", SECRETS)
def test_what_looks_like_a_secret_is_refused_in_the_payload_and_in_the_private_part(db: None, kind: str) -> None:
    before = AuditEvent.objects.count()
    for event in (
        LogRead(target_id="log", searched={"q": f"so {SECRETS[kind]} it is"}),
        ThingChanged(target_id="t", comment=SECRETS[kind]),
    ):
        with pytest.raises(log.SecretBlocked) as blocked:
            log.record(event, actor=CLOCK, at=AT)
        assert blocked.value.kind == kind
        assert SECRETS[kind] not in str(blocked.value)
    assert AuditEvent.objects.count() == before


def test_ordinary_words_and_public_parts_of_keys_are_no_secrets(db: None) -> None:
    words = "ks_prod_abcDEF123456 https://example.com/a:b ghost risk-free task-force high-value " + "ab" * 32
    log.record(ThingChanged(target_id="t", comment=words), actor=ALICE, at=AT)


def test_when_the_act_rolls_back_so_does_its_event(committed_db: None) -> None:
    before = AuditEvent.objects.count()
    with transaction.atomic():
        log.record(LogRead(target_id="log"), actor=CLOCK, at=clock.now())
        transaction.set_rollback(True)
    assert AuditEvent.objects.count() == before
    assert AuditPrivate.objects.count() == before


def test_identifiers_are_version_7_and_sort_by_time() -> None:
    made = [uuid7(1_700_000_000_000 + step) for step in range(100)]
    assert all(each.version == 7 and each.variant == uuid.RFC_4122 for each in made)
    assert made == sorted(made)
    assert made[5].int >> 80 == 1_700_000_000_005
    assert len({uuid7(1) for _ in range(1000)}) == 1000
