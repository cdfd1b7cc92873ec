"""Choose, change and reset passwords. A reset never signs in and never touches a factor."""

from __future__ import annotations

import unicodedata
from datetime import datetime, timedelta
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from audit import clock
from audit.actor import Actor, ActorKind
from audit.log import record
from keys import text
from keys.crypto.secrets import Secret
from keys.errors import Conflict, Denied, Gone, Invalid
from keys.events import PasswordChanged, PasswordResetCompleted, PasswordResetLinkMade, PasswordResetRequested
from keys.models import PasswordReset, Person
from keys.operations import locked, operation
from keys.people import links
from keys.people.proofs import Refusal, prove_password
from keys.people.sessions import end_sessions_of
from keys.policy.enforcement import enforce
from keys.policy.people_rules import may_change_password

LONGEST_PASSWORD = 256
RESET_PERIOD = timedelta(hours=1)
# A second wish within this time sends no second mail: nobody floods a colleague's inbox.
RESET_PAUSE = timedelta(minutes=5)


def canonical_password(typed: str) -> str:
    """Write a password the one way it is hashed (NFKC: NIST SP 800-63B-4, section 3.1.1.2)."""
    return unicodedata.normalize("NFKC", typed)


def accepted_password(typed: str, person: Person, field: str = "password") -> str:
    """Check a new password: length, not common, not the person's own name; any visible character is welcome."""
    password = canonical_password(typed)
    if len(password) > LONGEST_PASSWORD:
        raise Invalid.field(field, "too_long", most=LONGEST_PASSWORD)
    if any(unicodedata.category(each) in ("Cc", "Cs", "Cf") for each in password):
        raise Invalid.field(field, "unseen_characters")
    try:
        validate_password(password, person)
    except ValidationError as refused:
        raise Invalid.field(field, refused.error_list[0].code or "weak_password", words=refused.messages[0]) from None
    return password


def store_password(person: Person, password: str) -> None:
    """Write the hash and nothing else."""
    person.set_password(password)
    Person.objects.filter(pk=person.pk).update(password=person.password)


@operation
def change_password(
    person: Person, *, actor: Actor, current: str, new: str, session_id: UUID | None = None
) -> Refusal | None:
    """Change one's own password, proving the old one; every other session of the person ends.

    A wrong old one is counted and committed, so it is answered with a Refusal; None when the password is changed.
    """
    person = locked(person)
    at = clock.now()
    enforce(may_change_password(actor, person_id=person.pk, active=person.is_active, at=at))
    refusal = prove_password(person, actor=actor, password=canonical_password(current)[:LONGEST_PASSWORD])
    if refusal is not None:
        return refusal
    store_password(person, accepted_password(new, person, "new"))
    end_sessions_of(person.pk, actor=actor, at=at, but=session_id)
    record(PasswordChanged(target_id=str(person.pk)), actor=actor, at=at)
    return None


@operation
def request_password_reset(email: str, *, actor: Actor) -> None:
    """Note that somebody asked for a new password for an address; for strangers nothing happens, and none can tell."""
    at = clock.now()
    try:
        address = text.canonical_email(email)
    except Invalid:
        return
    person = Person.objects.active().filter(email=address).select_for_update(no_key=True).first()
    if person is None or not person.has_usable_password():
        return
    if PasswordReset.objects.filter(person=person, created_at__gt=at - RESET_PAUSE).exists():
        return
    reset = PasswordReset.objects.create(person=person, created_at=at, expires_at=at + RESET_PERIOD)
    record(PasswordResetRequested(target_id=str(person.pk), reset=str(reset.pk)), actor=actor, at=at)


@operation
def make_reset_link(reset: PasswordReset, *, actor: Actor) -> Secret:
    """Make the link of a reset for the mail that is about to be sent; an earlier link of the same person is void.

    For the sender, which knows the reset by the event `password.reset-requested`. Gone when it lapsed or was used.
    """
    reset = locked(reset)
    at = clock.now()
    if actor.kind not in (ActorKind.JOB, ActorKind.SYSTEM, ActorKind.OPERATOR):
        raise Denied("not_the_sender", rule="password.link")
    if reset.used_at is not None or reset.expires_at <= at or not reset.person.is_active:
        raise Gone("reset_over")
    token = links.new_token()
    PasswordReset.objects.filter(person=reset.person, used_at=None).update(link_hash="")
    PasswordReset.objects.filter(pk=reset.pk).update(
        link_hash=links.hash_of(token, purpose=links.PASSWORD_RESET), link_made_at=at, expires_at=at + RESET_PERIOD
    )
    record(PasswordResetLinkMade(target_id=str(reset.person_id), reset=str(reset.pk)), actor=actor, at=at)
    return links.link_of(token, purpose=links.PASSWORD_RESET)


def find_reset(token: str) -> PasswordReset | None:
    """Return the open reset of a presented link, or None for anything else."""
    hashes = links.hashes_of(token, purpose=links.PASSWORD_RESET)
    if not hashes:
        return None
    return (
        PasswordReset.objects.filter(
            link_hash__in=hashes, used_at=None, expires_at__gt=clock.now(), person__is_active=True
        )
        .select_related("person")
        .first()
    )


@operation
def complete_password_reset(reset: PasswordReset, token: str, *, actor: Actor, new: str) -> None:
    """Set the new password, once; all sessions end, nobody is signed in, factors and codes stay as they are."""
    reset = locked(reset)
    at = clock.now()
    found = find_reset(token)
    if found is None or found.pk != reset.pk:
        raise Gone("reset_over")
    person = locked(found.person)
    store_password(person, accepted_password(new, person, "new"))
    if not PasswordReset.objects.filter(pk=reset.pk, used_at=None).update(used_at=at, link_hash=""):
        raise Conflict("changed_meanwhile")
    PasswordReset.objects.filter(person=person, used_at=None).update(used_at=at, link_hash="")
    end_sessions_of(person.pk, actor=actor, at=at)
    record(PasswordResetCompleted(target_id=str(person.pk), reset=str(reset.pk)), actor=actor, at=at)


def forget_resets(*, before: datetime) -> int:
    """Delete wishes for a new password that ended before then; what came of them is in the log."""
    return PasswordReset.objects.filter(expires_at__lt=before).delete()[0]
