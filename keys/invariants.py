"""State the invariants of the design as SQL: each query names what breaks one, and must return no row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import connection

from audit import clock
from audit.actor import Actor
from audit.log import record
from keys.events import InvariantsBroken
from keys.models import KeyVersion
from keys.operations import operation
from keys.sealing import mac_holds


@dataclass(frozen=True)
class Breach:
    """One row that breaks an invariant. `subject` is what people call it."""

    invariant: str
    subject: str


INVARIANTS: dict[str, str] = {
    "1: a secret is issued at most once a version": """
        SELECT target_id FROM audit_event WHERE action = 'version.issued' AND outcome = 'success'
        GROUP BY target_id HAVING count(*) > 1""",
    "1: a version with a digest was issued": """
        SELECT v.kid FROM keys_keyversion v WHERE v.digest IS NOT NULL AND NOT EXISTS (
            SELECT FROM audit_event e WHERE e.target_type = 'version' AND e.target_id = v.id::text
            AND e.action = 'version.issued')""",
    "4: at most two versions of a key verify at once": """
        SELECT k.number::text FROM keys_managedkey k JOIN keys_keyversion v ON v.managed_key_id = k.id
        WHERE v.state = 'active' AND v.expires_at > clock_timestamp()
          AND (v.retire_at IS NULL OR v.retire_at > clock_timestamp())
        GROUP BY k.number HAVING count(*) > 2""",
    "5: no version of a revoked key lives": """
        SELECT v.kid FROM keys_keyversion v JOIN keys_managedkey k ON k.id = v.managed_key_id
        WHERE k.revoked_at IS NOT NULL AND v.state IN ('pre-activation', 'active', 'suspended')""",
    "6: no version outlives its key's authorisation": """
        SELECT v.kid FROM keys_keyversion v JOIN keys_managedkey k ON k.id = v.managed_key_id
        WHERE v.state IN ('active', 'suspended') AND v.expires_at > k.authorised_until""",
    # The policy it was asked under, and the one in force when it was decided: of each the stricter.
    "7: a key from a request had its quorum": """
        SELECT k.number::text FROM keys_managedkey k
        JOIN keys_keyrequest r ON r.id = k.request_id
        CROSS JOIN LATERAL (
            SELECT max(p.approvals_required) AS required, max(p.service_approvals_required) AS of_service
            FROM keys_policy p WHERE p.id = r.policy_id OR p.id = (
                SELECT q.id FROM keys_policy q WHERE q.service_id = r.service_id AND q.environment_id = r.environment_id
                  AND q.created_at <= r.decided_at ORDER BY q.version DESC LIMIT 1)
        ) AS rules
        CROSS JOIN LATERAL (
            SELECT count(DISTINCT a.person_id) AS given,
                   count(DISTINCT a.person_id) FILTER (WHERE a.on_service_side) AS of_service
            FROM keys_approval a
            WHERE a.request_id = r.id AND a.voided_at IS NULL AND a.digest = r.digest
              AND a.decision IN ('approve', 'narrow') AND a.person_id IS DISTINCT FROM r.requester_id
              AND a.person_id <> r.recipient_id AND a.person_id IS DISTINCT FROM r.last_editor_id
        ) AS approvals
        WHERE k.origin = 'request' AND (approvals.given < rules.required OR approvals.of_service < rules.of_service)""",
    "7: a production key came from a request, break-glass, adoption or the first start": """
        SELECT k.number::text FROM keys_managedkey k WHERE k.origin = 'request' AND k.request_id IS NULL""",
    "7: an approved request has its key": """
        SELECT r.number::text FROM keys_keyrequest r WHERE r.state = 'approved' AND r.renews_id IS NULL
          AND (SELECT count(*) FROM keys_managedkey k WHERE k.request_id = r.id) <> 1""",
    "7: a key exists only for an approved request": """
        SELECT k.number::text FROM keys_managedkey k JOIN keys_keyrequest r ON r.id = k.request_id
        WHERE r.state <> 'approved'""",
    "8: a key opens what was approved and no more": """
        SELECT k.number::text FROM keys_managedkey k JOIN keys_keyrequest r ON r.id = k.request_id
        JOIN keys_environment n ON n.id = k.environment_id JOIN keys_service s ON s.id = k.service_id
        WHERE NOT to_jsonb(k.scopes) <@ (r.content -> 'scopes') OR r.content ->> 'environment' <> n.tag
           OR r.content ->> 'service' <> s.slug""",
    "9: every governed key has its birth on record": """
        SELECT k.number::text FROM keys_managedkey k WHERE NOT EXISTS (
            SELECT FROM audit_event e WHERE e.target_type = 'key' AND e.target_id = k.id::text AND e.action = 'key.created')""",
}


def breaches() -> Iterator[Breach]:
    """Every row that breaks an invariant, and every living version whose row MAC does not hold."""
    with connection.cursor() as cursor:
        for invariant, statement in INVARIANTS.items():
            cursor.execute(statement)
            for (subject,) in cursor.fetchall():
                yield Breach(invariant, str(subject))
    rows = KeyVersion.objects.select_related("managed_key__environment").iterator(chunk_size=2000)
    for version in rows:
        if not mac_holds(version):
            yield Breach("rows: a version's row MAC holds", version.kid)


@operation
def report_breaches(*, actor: Actor) -> int:
    """Record which invariants are broken and by how many rows; nothing when all hold."""
    found = list(breaches())
    if found:
        names = tuple(sorted({breach.invariant for breach in found}))
        record(InvariantsBroken(target_id="-", invariants=names, rows=len(found)), actor=actor, at=clock.now())
    return len(found)
