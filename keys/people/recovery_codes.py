"""Make recovery codes: shown once, kept as slow hashes, each used once."""

from __future__ import annotations

from audit import clock
from audit.actor import Actor
from audit.log import record
from keys.crypto.recovery_codes import canonical_recovery_code, mint_recovery_codes
from keys.crypto.secrets import Secret
from keys.crypto.slow_hash import slow_hash
from keys.events import RecoveryCodesMade
from keys.models import Person, RecoveryCode
from keys.operations import locked, operation
from keys.policy.enforcement import enforce
from keys.policy.people_rules import may_change_own_factors
from keys.sealing import keyring


@operation
def make_recovery_codes(person: Person, *, actor: Actor) -> tuple[Secret, ...]:
    """Make a new set; older codes are void. The caller shows them once."""
    codes = mint_recovery_codes()
    hashes = [slow_hash(canonical_recovery_code(code), context=str(person.pk), keyring=keyring()) for code in codes]
    person = locked(person)
    at = clock.now()
    enforce(may_change_own_factors(actor, person_id=person.pk, has_factor=True, at=at))
    RecoveryCode.objects.unused().filter(person=person).update(voided_at=at)
    RecoveryCode.objects.bulk_create(RecoveryCode(person=person, created_at=at, hashed=hashed) for hashed in hashes)
    record(RecoveryCodesMade(target_id=str(person.pk), count=len(codes)), actor=actor, at=at)
    return codes
