"""Hold a policy's rules as a value: what they allow, which of two is stricter, and what a change would weaken."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from keys.policy.rotation_plan import RotationPlan
from keys.states import KeyKind

KINDS = tuple(str(kind) for kind in KeyKind)
# Groups and alternatives are what makes a pattern take for ever; a ticket needs neither: [A-Z]{2,5}-[0-9]+
_PATTERN = re.compile(
    r"(?:(?:[A-Za-z0-9 _/#:-]|\\[dw.]|\[[A-Za-z0-9 _/#:-]+\])(?:\{[0-9]{1,2}(?:,[0-9]{1,2})?\}|[+?])?)*"
)
_OPEN_COUNT = re.compile(r"[+?]|\{[0-9]+,[0-9]+\}")
MOST_OPEN_COUNTS = 3
LONGEST_OVERLAP_HOURS = 90 * 24
# How old a signature may be: below, honest clocks fail; above, whoever captured a request has too long (RFC 9421, 7.2.2).
SHORTEST_WINDOW_SECONDS = 30
LONGEST_WINDOW_SECONDS = 120
MOST_SIGNED_SCOPES = 100
Problem = tuple[str, Mapping[str, object]]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules of a service in an environment. Spans are in the unit that the name says."""

    approvals_required: int
    service_approvals_required: int
    approver_team_id: UUID | None
    max_cryptoperiod_days: int
    max_authorised_days: int
    networks_required: bool
    ticket_pattern: str
    kinds: tuple[str, ...]
    self_fetch_allowed: bool
    lapse_days: int
    claim_hours: int
    longest_overlap_hours: int
    deadline_wins: bool
    brownouts: bool
    unused_days: int
    signature_required: bool
    signed_scopes: tuple[str, ...]
    signature_window_seconds: int


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The part of a request that rules speak of."""

    kind: str
    scopes: tuple[str, ...]
    networks: tuple[str, ...]
    cryptoperiod_days: int
    authorised_days: int
    ticket: str
    self_fetch: bool
    rotation: RotationPlan | None = None  # nothing said is the usual plan, as far as the policy lets it


def problems(wish: Wish, rules: Rules) -> dict[str, Problem]:
    """What in `wish` the rules forbid: field -> (code, parameters). Empty means allowed."""
    found: dict[str, Problem] = {}
    if wish.cryptoperiod_days > rules.max_cryptoperiod_days:
        found["cryptoperiod_days"] = ("over_policy_limit", {"most": rules.max_cryptoperiod_days})
    if wish.authorised_days > rules.max_authorised_days:
        found["authorised_days"] = ("over_policy_limit", {"most": rules.max_authorised_days})
    if wish.cryptoperiod_days > wish.authorised_days:
        found.setdefault("cryptoperiod_days", ("longer_than_authorised", {"most": wish.authorised_days}))
    if rules.networks_required and not wish.networks:
        found["networks"] = ("networks_required", {})
    if rules.ticket_pattern and not re.fullmatch(rules.ticket_pattern, wish.ticket):
        found["ticket"] = ("ticket_required", {"pattern": rules.ticket_pattern})
    if wish.kind not in rules.kinds:
        found["kind"] = ("kind_not_allowed", {"kinds": list(rules.kinds)})
    elif wish.kind == KeyKind.BEARER and rules.signature_required:
        found["kind"] = ("signature_required", {})
    elif wish.kind == KeyKind.BEARER and set(wish.scopes) & set(rules.signed_scopes):
        signed = sorted(set(wish.scopes) & set(rules.signed_scopes))
        found["kind"] = ("scopes_must_be_signed", {"scopes": signed})
    if wish.self_fetch and wish.kind != KeyKind.BEARER:
        found["self_fetch"] = (
            "self_fetch_bearer_only",
            {},
        )  # the old secret is presented for the next; these never travel
    elif wish.self_fetch and not rules.self_fetch_allowed:
        found["self_fetch"] = ("self_fetch_not_allowed", {})
    elif wish.self_fetch and not wish.networks:
        # Otherwise whoever finds an old secret anywhere could keep the key for ever.
        found["self_fetch"] = ("self_fetch_needs_networks", {})
    return found | _problems_of_plan(wish, rules)


def _problems_of_plan(wish: Wish, rules: Rules) -> dict[str, Problem]:
    plan, found = wish.rotation, dict[str, Problem]()
    if plan is None:
        return found
    if plan.period > timedelta(hours=rules.longest_overlap_hours):
        found["rotation.overlap"] = ("overlap_too_long", {"most": rules.longest_overlap_hours})
    if plan.every_days is not None and plan.every_days >= wish.cryptoperiod_days:
        found["rotation.every_days"] = ("interval_never_reached", {"most": wish.cryptoperiod_days - 1})
    elif plan.every_days is not None and plan.period > timedelta(days=plan.every_days):
        found["rotation.every_days"] = ("interval_within_overlap", {})  # the next would wait for the one before
    return found


def stricter(one: Rules, other: Rules) -> Rules:
    """The rules that hold for a request when they changed while it was pending: of each, the stricter.

    When the named approver teams differ, nobody may approve in the name of the team that is not named any more.
    """
    return Rules(
        approvals_required=max(one.approvals_required, other.approvals_required),
        service_approvals_required=max(one.service_approvals_required, other.service_approvals_required),
        approver_team_id=one.approver_team_id if one.approver_team_id == other.approver_team_id else None,
        max_cryptoperiod_days=min(one.max_cryptoperiod_days, other.max_cryptoperiod_days),
        max_authorised_days=min(one.max_authorised_days, other.max_authorised_days),
        networks_required=one.networks_required or other.networks_required,
        ticket_pattern=other.ticket_pattern or one.ticket_pattern,
        kinds=tuple(kind for kind in one.kinds if kind in other.kinds),
        self_fetch_allowed=one.self_fetch_allowed and other.self_fetch_allowed,
        lapse_days=min(one.lapse_days, other.lapse_days),
        claim_hours=min(one.claim_hours, other.claim_hours),
        longest_overlap_hours=min(one.longest_overlap_hours, other.longest_overlap_hours),
        deadline_wins=one.deadline_wins or other.deadline_wins,
        brownouts=one.brownouts or other.brownouts,
        unused_days=min(one.unused_days, other.unused_days),
        signature_required=one.signature_required or other.signature_required,
        signed_scopes=tuple(sorted({*one.signed_scopes, *other.signed_scopes})),
        signature_window_seconds=min(one.signature_window_seconds, other.signature_window_seconds),
    )


def weakened(old: Rules, new: Rules) -> list[str]:
    """The names of the rules that `new` makes weaker than `old`; a changed pattern or group counts, since it may."""
    weaker = {
        "approvals_required": new.approvals_required < old.approvals_required,
        "service_approvals_required": new.service_approvals_required < old.service_approvals_required,
        "approver_team_id": new.approver_team_id is not None and new.approver_team_id != old.approver_team_id,
        "max_cryptoperiod_days": new.max_cryptoperiod_days > old.max_cryptoperiod_days,
        "max_authorised_days": new.max_authorised_days > old.max_authorised_days,
        "networks_required": old.networks_required and not new.networks_required,
        "ticket_pattern": bool(old.ticket_pattern) and new.ticket_pattern != old.ticket_pattern,
        "kinds": not set(new.kinds) <= set(old.kinds),
        "self_fetch_allowed": new.self_fetch_allowed and not old.self_fetch_allowed,
        "lapse_days": new.lapse_days > old.lapse_days,
        "claim_hours": new.claim_hours > old.claim_hours,
        "longest_overlap_hours": new.longest_overlap_hours > old.longest_overlap_hours,
        "deadline_wins": old.deadline_wins and not new.deadline_wins,
        "brownouts": old.brownouts and not new.brownouts,
        "unused_days": new.unused_days > old.unused_days,
        "signature_required": old.signature_required and not new.signature_required,
        "signed_scopes": not set(old.signed_scopes) <= set(new.signed_scopes),
        "signature_window_seconds": new.signature_window_seconds > old.signature_window_seconds,
    }
    return [name for name, is_weaker in weaker.items() if is_weaker]


def faults(rules: Rules) -> dict[str, Problem]:
    """What is wrong with the rules themselves, whoever sets them."""
    found: dict[str, Problem] = {}
    for name in ("max_cryptoperiod_days", "max_authorised_days", "lapse_days", "claim_hours", "unused_days"):
        if not 1 <= getattr(rules, name) <= 3650:
            found[name] = ("out_of_range", {"least": 1, "most": 3650})
    if not 0 <= rules.longest_overlap_hours <= LONGEST_OVERLAP_HOURS:
        found["longest_overlap_hours"] = ("out_of_range", {"least": 0, "most": LONGEST_OVERLAP_HOURS})
    if not 0 <= rules.approvals_required <= 10:
        found["approvals_required"] = ("out_of_range", {"least": 0, "most": 10})
    if not 0 <= rules.service_approvals_required <= rules.approvals_required:
        found["service_approvals_required"] = ("out_of_range", {"least": 0, "most": rules.approvals_required})
    if not rules.kinds or not set(rules.kinds) <= set(KINDS):
        found["kinds"] = ("unknown_kind", {"kinds": list(KINDS)})
    elif rules.signature_required and set(rules.kinds) == {str(KeyKind.BEARER)}:
        found["kinds"] = ("no_kind_that_signs", {})
    if not SHORTEST_WINDOW_SECONDS <= rules.signature_window_seconds <= LONGEST_WINDOW_SECONDS:
        found["signature_window_seconds"] = (
            "out_of_range",
            {"least": SHORTEST_WINDOW_SECONDS, "most": LONGEST_WINDOW_SECONDS},
        )
    if len(rules.signed_scopes) > MOST_SIGNED_SCOPES:
        found["signed_scopes"] = ("too_many", {"most": MOST_SIGNED_SCOPES})
    if len(rules.ticket_pattern) > 120 or not _is_safe_pattern(rules.ticket_pattern):
        found["ticket_pattern"] = ("bad_pattern", {})
    return found


def _is_safe_pattern(pattern: str) -> bool:
    """Whether the pattern keeps to literals, classes and counts, few of them open, so that no ticket makes it run away."""
    return bool(_PATTERN.fullmatch(pattern)) and len(_OPEN_COUNT.findall(pattern)) <= MOST_OPEN_COUNTS
