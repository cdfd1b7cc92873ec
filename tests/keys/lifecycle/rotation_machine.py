"""Do anything to keys in any order, as people, clients, jobs and time do, and look after each step whether the invariants hold.

The shape found most faults: it begins with a living key and a pending production request, actors stand in a relation to the
key (its recipient, its client, whoever leads its owners, a responder), and there are three keys at most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from audit import clock
from keys.approvals.decisions import approve_request
from keys.crypto.secrets import Secret
from keys.errors import KeysError
from keys.invariants import breaches
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.fetching import activate_fetched, fetch_next
from keys.lifecycle.leaving import name_recipient
from keys.lifecycle.revocation import reinstate_key, report_leak, revoke_key, suspend_key
from keys.lifecycle.rotation import (
    abort_rotation,
    issue_new_version,
    override_retirement,
    start_rotation,
    take_back_rotation,
    undo_rotation,
)
from keys.models import JobLease, KeyRequest, KeyVersion, ManagedKey, Rotation
from keys.sealing import keyring
from keys.states import Overlap, RevocationReason, RotationCause, SuspensionReason
from keys.tasks import end_what_is_over, rotate
from keys.verification.counting.sightings import note_use
from keys.verification.lookup import find
from keys.verification.verifier import Client, is_genuine, is_intact, kid_of, not_in_force
from tests.ahead import stand_at
from tests.fetching import INSIDE, OTHER_TOKEN, OUTSIDE, TOKEN, client_of
from tests.people import World, acting
from tests.portal.api.stage import rolled_back

WHICH = st.integers(min_value=0, max_value=5)
SELDOM = st.integers(min_value=0, max_value=4)
MOSTLY = 4  # of the six that WHICH gives
INSIDE_MOSTLY = st.sampled_from([True, True, True, False])
_USUAL = [timedelta(minutes=20), timedelta(hours=7), timedelta(days=2)]
SPANS = st.sampled_from([*_USUAL, *_USUAL, timedelta(days=9), timedelta(days=25)])
MOST_KEYS = 3


@dataclass
class Stage:
    """What every run begins with."""

    world: World
    key: ManagedKey
    version: KeyVersion
    secret: Secret
    pending: KeyRequest


@dataclass(eq=False)
class Followed:
    """A key and all that was ever told of it, as the last look saw it."""

    row: ManagedKey
    until: datetime
    may_fetch: bool
    told: dict[UUID, Secret] = field(default_factory=dict)
    unshown: set[UUID] = field(default_factory=set)  # fetched, and never shown to Keystead
    ended: dict[UUID, tuple[str, datetime | None]] = field(default_factory=dict)
    versions: list[KeyVersion] = field(default_factory=list)  # newest first
    rotation: Rotation | None = None
    working: set[UUID] = field(default_factory=set)
    revoked_at: datetime | None = None

    @property
    def state(self) -> str:
        """How far its rotation is."""
        return self.rotation.state if self.rotation is not None else "none"

    @property
    def waiting(self) -> KeyVersion | None:
        """The version that waits to be handed over or activated."""
        return next((each for each in self.versions if each.state == "pre-activation"), None)

    def is_suspended(self) -> bool:
        """Whether any of its versions is."""
        return any(each.state == "suspended" for each in self.versions)

    def look(self) -> None:
        """Read everything again, and ask about every secret as a service would."""
        rows = ManagedKey.objects.select_related("environment", "service", "owner_team", "recipient")
        self.row = rows.get(pk=self.row.pk)
        self.versions = list(KeyVersion.objects.filter(managed_key=self.row).order_by("-sequence"))
        opened = list(Rotation.objects.open().filter(managed_key=self.row).select_related("new_version"))
        assert len(opened) <= 1, "two rotations of a key are open"
        self.rotation = opened[0] if opened else None
        over = {each.pk for each in self.versions if each.ended_at is not None}
        self.working = {pk for pk, secret in self.told.items() if pk not in over and verifies(secret)}


def verifies(secret: Secret) -> bool:
    """What any service would be told of this secret now."""
    kid = kid_of(secret)
    found = find(kid) if kid else None
    return found is not None and is_genuine(found, secret) and is_intact(found, keyring()) and not not_in_force(found)


class RotationMachine(RuleBasedStateMachine):
    """One run; every row is as it was before when it is over."""

    stage: ClassVar[Stage]

    def __init__(self) -> None:
        super().__init__()
        self._block = rolled_back()
        self._block.__enter__()
        self.world, self.ahead = self.stage.world, timedelta()
        stand_at(self.ahead)
        first = Followed(self.stage.key, self.stage.key.authorised_until, may_fetch=True)
        first.told[self.stage.version.pk] = self.stage.secret
        self.keys, self.pending = [first], [self.stage.pending]
        self.is_stale = False  # time went on since the jobs ran
        self.touched = {first}  # keys that this step may have changed
        self.worked: set[UUID] = set()  # keys of which a secret must work after this step, because it did before
        first.look()

    def teardown(self) -> None:
        """Undo everything, the time too."""
        try:
            broken = list(breaches()) if not self.touched else []  # a step that failed says more
            assert not broken, broken
        finally:
            stand_at(timedelta())
            self._block.__exit__(None, None, None)

    # --- how a step is done ---------------------------------------------------------------------------------------
    def _any(self, wanted: Callable[[Followed], object]) -> bool:
        return any(wanted(key) for key in self.keys)

    def _pick(self, which: int, wanted: Callable[[Followed], object] = bool) -> Followed:
        found = [key for key in self.keys if wanted(key)] or self.keys
        picked = found[which % len(found)]
        self.touched.add(picked)
        return picked

    def _peacefully(self, key: Followed, act: Callable[[], Any]) -> Any:  # Any: whatever the operation gives
        """A step that stops nothing must not take the last secret that works from its owner (DESIGN, invariant 3)."""
        if key.working:
            self.worked.add(key.row.pk)
        return tried(act)

    # --- people ---------------------------------------------------------------------------------------------------
    @rule(which=WHICH, overlap=st.sampled_from(list(Overlap)), compromised=SELDOM)
    def start(self, which: int, overlap: Overlap, compromised: int) -> None:
        key, anna = self._pick(which), acting(self.world.anna, "claim")
        cause = RotationCause.DEMAND if compromised else RotationCause.COMPROMISE
        self._peacefully(key, lambda: start_rotation(key.row, overlap=overlap, cause=cause, actor=anna))

    @rule(which=WHICH, claimed=st.booleans())
    def issue(self, which: int, claimed: bool) -> None:
        key = self._pick(which)
        assert key.row.recipient is not None
        recipient = acting(key.row.recipient, "claim")
        version = self._peacefully(key, lambda: issue_new_version(key.row, actor=recipient))
        if claimed and isinstance(version, KeyVersion):
            self._claim(key, version)

    @precondition(lambda self: self._any(lambda key: key.waiting))
    @rule(which=WHICH)
    def claim(self, which: int) -> None:
        key = self._pick(which, lambda key: key.waiting)
        assert key.waiting is not None
        self._claim(key, key.waiting)

    def _claim(self, key: Followed, version: KeyVersion) -> None:
        assert key.row.recipient is not None
        recipient = acting(key.row.recipient, "claim")
        claimed = self._peacefully(key, lambda: claim_secret(version, actor=recipient))
        if not isinstance(claimed, KeysError) and claimed.secret is not None:
            assert version.pk not in key.told, "a secret was told twice"
            key.told[version.pk] = claimed.secret

    @rule(which=WHICH, past=WHICH, seldom=SELDOM)
    def claim_again(self, which: int, past: int, seldom: int) -> None:
        key = self._pick(which, lambda key: key.told)
        if seldom or not key.told:
            return
        assert key.row.recipient is not None
        version, again = told_version(key, past)[0], acting(key.row.recipient, "claim", session="elsewhere")
        outcome = tried(lambda: claim_secret(version, actor=again))
        assert isinstance(outcome, KeysError) or outcome.secret is None, "a secret was told twice"

    @precondition(lambda self: self._any(lambda key: key.state not in ("none", "scheduled")))
    @rule(which=WHICH, act=st.sampled_from([undo_rotation, undo_rotation, abort_rotation, take_back_rotation]))
    def decide(self, which: int, act: Callable[..., Rotation]) -> None:
        key, anna = (
            self._pick(which, lambda key: key.state not in ("none", "scheduled")),
            acting(self.world.anna, "claim"),
        )
        rotation = key.rotation
        assert rotation is not None
        self._peacefully(key, lambda: act(rotation, actor=anna))

    @precondition(lambda self: self._any(lambda key: key.state in ("activated", "draining")))
    @rule(which=WHICH, span=SPANS)
    def override(self, which: int, span: timedelta) -> None:
        key, admin = (
            self._pick(which, lambda key: key.state in ("activated", "draining")),
            acting(self.world.admin, "revoke"),
        )
        rotation, at = key.rotation, clock.now() + span - timedelta(days=1)
        assert rotation is not None
        self._peacefully(key, lambda: override_retirement(rotation, retire_at=at, actor=admin))

    @rule(which=WHICH, to_anna=st.booleans(), replaced=st.booleans())
    def receive(self, which: int, to_anna: bool, replaced: bool) -> None:
        key, person = self._pick(which), self.world.anna if to_anna else self.world.alice
        alice = acting(self.world.alice, "handover")
        self._peacefully(key, lambda: name_recipient(key.row, recipient=person, rotate=replaced, actor=alice))

    @rule(which=WHICH, seldom=SELDOM, leaked=st.booleans())
    def stop(self, which: int, seldom: int, leaked: bool) -> None:
        if seldom:
            return
        key, admin = self._pick(which), acting(self.world.admin, "suspend")
        if leaked:
            stopped = tried(lambda: report_leak(key.row, actor=admin))
        else:
            stopped = tried(lambda: suspend_key(key.row, actor=admin, reason=SuspensionReason.INVESTIGATION))
        key.look()
        assert stopped is not None or not key.working, "it was stopped and works"

    @precondition(lambda self: self._any(Followed.is_suspended))
    @rule(which=WHICH)
    def reinstate(self, which: int) -> None:
        key, responder = self._pick(which, Followed.is_suspended), acting(self.world.responder, "reinstate")
        self._peacefully(key, lambda: reinstate_key(key.row, actor=responder))

    @rule(which=WHICH, seldom=SELDOM)
    def revoke(self, which: int, seldom: int) -> None:
        if seldom:
            return
        key, admin = self._pick(which), acting(self.world.admin, "revoke")
        tried(lambda: revoke_key(key.row, actor=admin, reason=RevocationReason.SUPERSEDED))
        key.look()
        assert key.row.revoked_at is not None

    @precondition(lambda self: self.pending and len(self.keys) < MOST_KEYS)
    @rule(service_first=st.booleans())
    def approve(self, service_first: bool) -> None:
        request, people = self.pending.pop(), [self.world.bob, self.world.carol]
        for approver in people if service_first else reversed(people):
            request.refresh_from_db()
            who = acting(approver, "approve")
            tried(lambda who=who: approve_request(request, digest=request.digest, actor=who))
        for row in ManagedKey.objects.filter(request=request):
            self.keys.append(Followed(row, row.authorised_until, may_fetch=False))
            self.touched.add(self.keys[-1])

    # --- clients --------------------------------------------------------------------------------------------------
    @precondition(lambda self: self._any(lambda key: key.told))
    @rule(which=WHICH, past=WHICH, token=st.sampled_from([TOKEN, OTHER_TOKEN]), inside=INSIDE_MOSTLY)
    def fetch(self, which: int, past: int, token: str, inside: bool) -> None:
        key = self._pick(which, lambda key: key.told)
        wanted = key.rotation.old_version_id if key.rotation is not None else None
        version, address = told_version(key, past, wanted)[0], INSIDE if inside else OUTSIDE
        held = key.rotation.fetch_token if key.rotation is not None and key.state == "handed-over" else ""
        handed = self._peacefully(
            key, lambda: fetch_next(version, token=token, address=address, actor=client_of(key.row))
        )
        if isinstance(handed, KeysError):
            return
        assert inside, "it was handed over to an address outside the key's networks"
        assert key.may_fetch, "nobody approved that this key fetches"
        assert handed.version.pk not in key.told, "a secret was told twice"
        assert held in ("", handed.rotation.fetch_token), "two tokens have a secret each"
        key.told[handed.version.pk] = handed.secret
        key.unshown.add(handed.version.pk)

    @precondition(lambda self: self._any(lambda key: key.unshown))
    @rule(which=WHICH, past=WHICH, inside=INSIDE_MOSTLY)
    def activate(self, which: int, past: int, inside: bool) -> None:
        key = self._pick(which, lambda key: key.unshown)
        wanted = key.rotation.new_version_id if key.rotation is not None else None
        version, address = told_version(key, past, wanted)[0], INSIDE if inside else OUTSIDE
        done = self._peacefully(key, lambda: activate_fetched(version, address=address, actor=client_of(key.row)))
        if not isinstance(done, KeysError):
            assert inside, "it was activated from an address outside the key's networks"
            key.unshown.discard(version.pk)

    @precondition(lambda self: self._any(lambda key: key.working))
    @rule(which=WHICH, past=WHICH)
    def use(self, which: int, past: int) -> None:
        key = self._pick(which, lambda key: key.working)
        working = [version.pk for version in key.versions if version.pk in key.working]
        note_use(working[past % len(working)], outcome="valid", client=Client(address=INSIDE, user_agent="builder/2"))

    # --- jobs and time --------------------------------------------------------------------------------------------
    @rule(span=SPANS)
    def wait(self, span: timedelta) -> None:
        self.ahead += span
        stand_at(self.ahead)
        self.touched, self.is_stale = set(self.keys), True

    @precondition(lambda self: self.is_stale)
    @rule()
    def work(self) -> None:
        self.worked |= {key.row.pk for key in self.keys if key.working}
        self.touched, self.is_stale = set(self.keys), False
        rotate()
        end_what_is_over()
        assert not JobLease.objects.exists(), "a job could not do what is due"

    # --- what always holds ----------------------------------------------------------------------------------------
    @invariant()
    def the_invariants_hold(self) -> None:
        for key in self.touched:
            key.look()
            assert key.working or key.row.pk not in self.worked, "nothing works any more, and nobody stopped it"
            assert len(key.working) <= 2, "more than two secrets work"
            assert not key.unshown & key.working, "it works though its client never showed it"
            self._ends_are_kept(key)
            living = [
                each for each in key.versions if each.activated_at is not None and each.state in ("active", "suspended")
            ]
            assert not living or living[0].retire_at is None, "the last secret has an end without a newer one"
            for each in living:
                assert each.expires_at is not None
                assert each.expires_at <= key.until, "a version outlives its key's authorisation"
        self.worked, self.touched = set(), set()

    def _ends_are_kept(self, key: Followed) -> None:
        assert key.row.authorised_until == key.until, "the authorisation moved"
        assert key.revoked_at in (None, key.row.revoked_at), "a revocation changed"
        key.revoked_at = key.row.revoked_at
        if key.revoked_at is not None:
            assert not key.working, "it is revoked and works"
            assert all(each.ended_at is not None for each in key.versions), "a version of a revoked key lives"
        for version in key.versions:
            if version.ended_at is not None:
                end = (version.ended_reason, version.ended_at)
                assert key.ended.setdefault(version.pk, end) == end, "an end changed"
                assert version.state in ("deactivated", "compromised"), "an ended version came back"


def tried(act: Callable[[], Any]) -> Any:  # Any: whatever the operation gives
    """Every refusal is an answer; anything else is a fault."""
    try:
        return act()
    except KeysError as refused:
        return refused


def told_version(key: Followed, past: int, wanted: UUID | None = None) -> tuple[KeyVersion, Secret]:
    """One of the secrets that were told: mostly the one that is wanted, or a late one."""
    if wanted in key.told and past < MOSTLY:
        return KeyVersion.objects.get(pk=wanted), key.told[wanted]
    pk, secret = list(key.told.items())[-1 - past % len(key.told)]
    return KeyVersion.objects.get(pk=pk), secret
