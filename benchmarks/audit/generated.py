"""Fill a log with made-up events as PostgreSQL alone can: millions in a minute, past the triggers but true to them.

Every column says what the payload says and every commitment fits its private part, as if each event had been recorded.
Who, what and when are skewed as in life: few people do most, few actions are most of the log, most things are quiet.
"""

from __future__ import annotations

from typing import Any

import psycopg

from benchmarks.cluster import Cluster

PEOPLE, TARGETS, DAYS = 5_000, 200_000, 730
# An action and its share of ten thousand events.
ACTIONS = (
    ("usage.rolled-up", 3_000), ("person.signed-in", 1_800), ("notice.sent", 900), ("audit.log-read", 700),
    ("session.opened", 600), ("version.issued", 500), ("version.claimed", 500), ("notice.read", 450), ("access.denied", 400),
    ("version.rotated", 350), ("version.retired", 300), ("service.changed", 150), ("scope.created", 100),
    ("membership.changed", 100), ("version.suspended", 60), ("version.reinstated", 50), ("template.changed", 20),
    ("version.revoked", 15), ("factor.removed", 4), ("leak.reported", 1),
)  # fmt: skip
_TARGET_TYPES = "ARRAY['key', 'version', 'request', 'person', 'service']"

_FILL = """
WITH dice AS MATERIALIZED (
    SELECT n, (random() * 10000)::int AS roll, floor({people} * power(random(), 3))::int AS who,
        floor({targets} * power(random(), 2))::int AS what, random() AS luck,
        -- Ids follow time nearly, as when transactions end in another order than they began.
        timestamptz '2024-01-01 00:00Z' + ({days} * interval '1 day') * (n::float8 / {rows}) + random() * interval '2 s' AS at,
        decode(md5(n::text || 'salt') || md5(n::text || 'more'), 'hex') AS salt,
        (ARRAY['dev', 'test', 'prod', 'prod', 'prod', ''])[1 + floor(random() * 6)::int] AS environment
    FROM generate_series({first}, {last}) AS n
), told AS MATERIALIZED (
    SELECT n, salt, date_trunc('milliseconds', at) AS at, environment,
        (SELECT action FROM bench_action WHERE upto >= dice.roll ORDER BY upto LIMIT 1) AS action,
        CASE WHEN luck < 0.3 THEN 'job' WHEN luck < 0.34 THEN 'program' ELSE 'person' END AS actor_type,
        CASE WHEN luck < 0.3 THEN 'monitoring.roll-up' ELSE md5('who' || who)::uuid::text END AS actor_id,
        ({target_types})[1 + what %% 5] AS target_type, md5('what' || what)::uuid::text AS target_id,
        CASE WHEN roll %% 41 = 0 THEN 'denied' WHEN roll %% 97 = 0 THEN 'failure' ELSE 'success' END AS outcome,
        CASE WHEN luck < 0.3 THEN '' ELSE md5(n::text || 'request') END AS request_id,
        convert_to(format('{{"actor":{{"ip":"192.0.2.%%s","name":"Person %%s","user_agent":"Mozilla/5.0 (X11; Linux x86_64; '
            'rv:128.0) Gecko/20100101 Firefox/128.0"}}}}', who %% 250, who), 'UTF8') AS body
    FROM dice
), event AS MATERIALIZED (
    SELECT *, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS time,
        (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text || 'uid'), 14, 3)
            || '8' || substr(md5(n::text || 'uid'), 18))::uuid AS uid
    FROM told
), kept AS (
    INSERT INTO audit_private (event_id, salt, body) SELECT n, salt, body FROM event
), queued AS (
    INSERT INTO audit_pending (event_id) SELECT n FROM event WHERE {queued}
)
INSERT INTO audit_event (id, uid, occurred_at, recorded_at, txid, actor_type, actor_id, action, target_type, target_id,
    environment, outcome, request_id, payload) OVERRIDING SYSTEM VALUE
SELECT n, uid, at, at, pg_current_xact_id(), actor_type, actor_id, action, target_type, target_id, environment, outcome,
    request_id, convert_to(format(
        '{{"action":"%%s","actor":{{"id":"%%s","session":"%%s","type":"%%s"}},"app":"0.1.0","approvals":[],'
        '"auth":{{"age":%%s,"assurance":"aal2","device":"%%s","methods":["password","passkey"],"mfa":true}},'
        '"change":{{"description":["what it said before, number %%s","what it says from now on, number %%s"],'
        '"state":["pending","active"]}},"correlation":"","details":{{}},"environment":"%%s","on_behalf_of":null,'
        '"outcome":"%%s","policy":{{"rule":"may_change_key","version":"%%s"}},"private":{{"alg":"sha-256",'
        '"commitment":"%%s"}},"reason":"","request":{{"id":"%%s","method":"POST","route":"/keys/<int:number>/change",'
        '"task":""}},"severity":"informational","target":{{"id":"%%s","type":"%%s","version":"%%s"}},"time":"%%s",'
        '"uid":"%%s","version":1}}',
        action, actor_id, md5(actor_id) || md5(time), actor_type, n %% 3600, md5(actor_id)::uuid, n - 1, n, environment,
        outcome, n %% 40, encode(sha256(salt || body), 'hex'), request_id, target_id, target_type, n %% 9, time, uid
    ), 'UTF8')
FROM event
"""
_CHUNK = 250_000


def fill(cluster: Cluster, database: str, rows: int, *, queued: bool) -> int:
    """Write `rows` events and their private parts; with `queued` they wait for the sealer. Return the bytes of the payloads."""
    with cluster.superuser(database) as superuser:
        superuser.execute("SET search_path = public")
        superuser.execute("SET synchronous_commit = off")
        superuser.execute("SET work_mem = '256MB'")
        superuser.execute("SET maintenance_work_mem = '1GB'")
        start = int(_one(superuser, "SELECT coalesce(max(id), 0) FROM audit_event"))
        _name_actions(superuser)
        indexes = _drop_indexes(superuser) if rows >= _CHUNK else []
        for table in ("audit_event", "audit_private"):
            superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
        superuser.execute("SELECT setseed(0.5)")
        for first in range(1, rows + 1, _CHUNK):
            last = min(rows, first + _CHUNK - 1)
            superuser.execute(_statement(start + first, start + last, start + rows, queued=queued), ())
        for statement in indexes:
            superuser.execute(statement.encode())
        for table in ("audit_event", "audit_private"):
            superuser.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL".encode())
        superuser.execute(
            "SELECT setval(pg_get_serial_sequence('audit_event', 'id'), (SELECT max(id) FROM audit_event))"
        )
        _enable_always(superuser)
        superuser.execute("DROP TABLE bench_action")
        superuser.execute("VACUUM ANALYZE")
        superuser.execute("CHECKPOINT")  # or the server writes out all of this beside what is measured
        return int(_one(superuser, "SELECT sum(length(payload))::bigint FROM audit_event"))


def place(cluster: Cluster, database: str) -> None:
    """Give every event its leaf, and every twenty a head that nobody signed: what looking seals up meets, without a sealer."""
    with cluster.superuser(database) as superuser:
        superuser.execute("SET search_path = public")
        superuser.execute("SET synchronous_commit = off")
        superuser.execute(
            "INSERT INTO audit_leaf (index, event_id, leaf_hash)"
            " SELECT id - first, id, sha256('\\x00' || payload) FROM audit_event,"
            " (SELECT min(id) AS first FROM audit_event) AS log ORDER BY id"
        )
        superuser.execute(
            "INSERT INTO audit_checkpoint (size, root, note, signed_at)"
            " SELECT index + 1, leaf_hash, repeat('-', 250), clock_timestamp() FROM audit_leaf WHERE index % 20 = 19"
        )
        superuser.execute("VACUUM ANALYZE")
        superuser.execute("CHECKPOINT")


def _statement(first: int, last: int, rows: int, *, queued: bool) -> bytes:
    return _FILL.format(
        people=PEOPLE,
        targets=TARGETS,
        days=DAYS,
        rows=rows,
        first=first,
        last=last,
        target_types=_TARGET_TYPES,
        queued=str(queued).lower(),
    ).encode()


def _name_actions(superuser: psycopg.Connection[Any]) -> None:
    superuser.execute("CREATE TEMPORARY TABLE bench_action (action text, upto integer)")
    upto = 0
    for action, share in ACTIONS:
        upto += share
        superuser.execute("INSERT INTO bench_action VALUES (%s, %s)", (action, upto))


def _drop_indexes(superuser: psycopg.Connection[Any]) -> list[str]:
    """Drop the indexes that only serve reading, and return how to make them again: at once is five times faster."""
    found = superuser.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'audit_event' AND indexname LIKE 'audit_event\\_%'"
        " AND indexdef NOT LIKE '%UNIQUE%'"
    ).fetchall()
    for name, _ in found:
        superuser.execute(f"DROP INDEX {name}".encode())
    return [str(statement) for _, statement in found]


def _enable_always(superuser: psycopg.Connection[Any]) -> None:
    """Leave the triggers as the migrations made them."""
    rows = superuser.execute(
        "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal"
        " AND tgrelid IN ('audit_event'::regclass, 'audit_private'::regclass)"
    ).fetchall()
    for table, name in rows:
        superuser.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}".encode())


def _one(superuser: psycopg.Connection[Any], query: str) -> Any:
    """Return the one value of a query (Any: whatever it selects)."""
    row = superuser.execute(query.encode()).fetchone()
    return None if row is None else row[0]
