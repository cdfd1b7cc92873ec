"""Read versions from the database into memory, each row only if its MAC holds: what memory holds is what an operation wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from django.db import connections, transaction

from audit.bound import bound_cursor
from keys.catalogue.own_service import OWN_SERVICE, VERIFY_SCOPE
from keys.crypto.digests import CURRENT_ALGORITHM
from keys.sealing import keyring
from keys.states import KeyKind
from keys.verification.lookup import EVERYTHING, VERIFIER, Found, found_in
from keys.verification.memory import lease
from keys.verification.memory.snapshot import NEVER, Entry, Grant, Held, Place, Snapshot
from keys.verification.standing import Standing, standing_of
from keys.verification.verifier import is_intact

# What ended long ago is told as unknown: memory is for what is presented.
_REMEMBERED: Final = (
    "v.state IN ('pre-activation', 'active', 'suspended') OR v.expires_at > clock_timestamp() - interval '90 days'"
)
_ALL: Final = f"{EVERYTHING} WHERE {_REMEMBERED} ORDER BY v.managed_key_id"
_OF_KEYS: Final = f"{EVERYTHING} WHERE v.managed_key_id = ANY(%s) AND ({_REMEMBERED}) ORDER BY v.managed_key_id"
# A version's MAC names the key of the keyring that made it (keys.crypto.row_mac).
_MADE_BY: Final = f"""{EVERYTHING} WHERE ({_REMEMBERED}) AND v.managed_key_id IN (
    SELECT managed_key_id FROM keys_keyversion WHERE split_part(row_mac, ':', 2) = ANY(%s)
) ORDER BY v.managed_key_id"""  # noqa: S608 - constants of ours
_PLACES: Final = """
SELECT s.id, e.id, s.slug, e.tag, e.max_staleness_ms, p.signature_required, p.signed_scopes
FROM keys_service s CROSS JOIN keys_environment e
LEFT JOIN LATERAL (SELECT signature_required, signed_scopes FROM keys_policy
                   WHERE service_id = s.id AND environment_id = e.id ORDER BY version DESC LIMIT 1) AS p ON true
"""
_TEAMS: Final = "SELECT id, slug FROM keys_team"
_CHUNK: Final = 2000


class Catalogue:
    """The services, environments and teams that versions share; read again when one of them changes."""

    def __init__(self) -> None:
        self.places: dict[tuple[UUID, UUID], Place] = {}
        self._teams: dict[UUID, str] = {}
        self._grants: dict[tuple[Any, ...], Grant] = {}

    def read(self) -> None:
        """Read names and rules, and bring everything that rests on them up to date."""
        with connections[VERIFIER].cursor() as cursor:
            cursor.execute(_TEAMS)
            self._teams = dict(cursor.fetchall())
            cursor.execute(_PLACES)
            for service_id, environment_id, service, environment, staleness, signed, scopes in cursor.fetchall():
                place = self.place(service_id, environment_id)
                place.service, place.environment = service, environment
                place.staleness = min(staleness / 1000, lease.LONGEST)
                place.signature_required, place.signed_scopes = bool(signed), frozenset(scopes or ())
        for grant in self._grants.values():
            self._tell(grant)

    def place(self, service_id: UUID, environment_id: UUID) -> Place:
        """The one object of a service in an environment."""
        place = self.places.get((service_id, environment_id))
        if place is None:
            place = self.places[service_id, environment_id] = Place(service_id, environment_id)
        return place

    def terms(self) -> dict[UUID, int]:
        """How long each environment is answered for without a look at the database, in milliseconds."""
        return {
            place.environment_id: round(place.staleness * 1000) for place in self.places.values() if place.staleness
        }

    def grant_of(self, found: Found) -> Grant:
        """The one object of all versions that open the same, from the same networks, for the same team."""
        fields, limits = found.fields, tuple(sorted(found.limits.items()))
        place = self.place(found.service_id, found.environment_id)
        asks = found.verifies_service_id, found.verifies_environment_id
        known = (place, fields.kind, found.owner_team_id, fields.scopes, fields.networks, asks, limits)
        grant = self._grants.get(known)
        if grant is None:
            grant = self._grants[known] = Grant(
                place=place,
                kind=fields.kind,
                team_id=found.owner_team_id,
                scopes=fields.scopes,
                networks=fields.networks,
                bound=self.place(asks[0], asks[1]) if asks[0] is not None and asks[1] is not None else None,
                limits=limits,
            )
            self._tell(grant)
        return grant

    def _tell(self, grant: Grant) -> None:
        place = grant.place
        grant.team = self._teams.get(grant.team_id, "")
        bearer = grant.kind == KeyKind.BEARER
        free = [scope for scope in grant.scopes if not (bearer and scope in place.signed_scopes)]
        grant.free = frozenset(free)
        grant.asks = grant.bound if VERIFY_SCOPE in grant.free and place.service == OWN_SERVICE else None
        needs_signature = not bearer or place.signature_required
        grant.is_open = not (grant.networks or grant.limits or needs_signature)
        grant.told = inside(
            {"service": place.service, "environment": place.environment, "scopes": free, "owner_team": grant.team}
        )


def load(catalogue: Catalogue) -> Snapshot:
    """Read every version that is remembered."""
    snapshot = Snapshot()
    for key, held in _by_key(_rows(_ALL, ()), catalogue):
        snapshot.put(key, held)
    return snapshot


def load_keys(keys: Iterable[UUID], catalogue: Catalogue) -> dict[UUID, Held]:
    """Read all versions of these keys as they are now; a key without any is told too."""
    wanted = list(keys)
    return {key: Held() for key in wanted} | dict(_by_key(_few(_OF_KEYS, (wanted,)), catalogue))


def load_made_by(keyring_keys: Iterable[str], catalogue: Catalogue) -> Iterator[tuple[UUID, Held]]:
    """Read every key again of which some version was written with one of these keys of the keyring."""
    if wanted := list(keyring_keys):
        yield from _by_key(_rows(_MADE_BY, (wanted,)), catalogue)


def read_found(condition: str, parameters: Iterable[Any]) -> Iterator[Found]:  # Any: what the driver takes
    """Read the rows for which a condition of ours holds, however many."""
    return _rows(f"{EVERYTHING} WHERE {condition}", tuple(parameters))


def read_few(condition: str, parameters: Iterable[Any]) -> Iterator[Found]:
    """The same for a few rows, which somebody waits for."""
    return _few(f"{EVERYTHING} WHERE {condition}", tuple(parameters))


def inside(members: dict[str, Any]) -> bytes:
    """Write the members of a JSON object without its braces."""
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()[1:-1]


def _few(statement: str, parameters: tuple[Any, ...]) -> Iterator[Found]:
    with bound_cursor(VERIFIER) as cursor:
        cursor.execute(statement, parameters)
        rows = cursor.fetchall()
    yield from map(found_in, rows)


def _rows(statement: str, parameters: tuple[Any, ...]) -> Iterator[Found]:
    connection = connections[VERIFIER]
    with transaction.atomic(using=VERIFIER), connection.chunked_cursor() as cursor:
        cursor.execute(statement, parameters)
        while rows := cursor.fetchmany(_CHUNK):
            yield from map(found_in, rows)


def _by_key(rows: Iterator[Found], catalogue: Catalogue) -> Iterator[tuple[UUID, Held]]:
    held: dict[UUID, Held] = {}
    for found in rows:
        if found.key_id not in held:
            # Rows come key by key, or are few: whatever is complete goes out.
            if len(held) > _CHUNK:
                yield from held.items()
                held = {}
            held[found.key_id] = Held()
        _add(held[found.key_id], found, catalogue)
    yield from held.items()


def _add(held: Held, found: Found, catalogue: Catalogue) -> None:
    digest = found.fields.digest
    if digest is not None and found.fields.digest_algorithm == CURRENT_ALGORITHM:
        held.entries[digest] = entry_of(found, catalogue.grant_of(found))
    if found.fields.kind != KeyKind.BEARER and digest is not None:
        held.signers[found.fields.kid] = found


def entry_of(found: Found, grant: Grant) -> Entry:
    """What memory keeps of a version."""
    intact = is_intact(found, keyring())
    standing: Standing | None = standing_of(found)
    assert standing is not None
    until = _seconds(min(standing.expires, standing.retires or standing.expires))
    if not intact or standing.ended or standing.stopped or standing.begins > found.at or found.warned_since is not None:
        until = NEVER
    elif standing.retires is None:
        standing = None
    ends_at = found.ends_at
    own = {
        "kid": found.fields.kid,
        "key": f"KEY-{found.number}",
        "name": found.name,
        "consumer": found.consumer,
        "expires_at": told_time(ends_at),
    }
    return Entry(
        version=found.version_id,
        key=found.key_id,
        told=inside(own),
        grant=grant,
        until=until,
        ends=None if ends_at is None else _seconds(ends_at),
        standing=standing,
        warned_since=None if found.warned_since is None else _seconds(found.warned_since),
        is_forged=not intact,
    )


def told_time(at: datetime | None) -> str | None:
    """Write an instant as every answer does."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z" if at else None


def _seconds(at: datetime) -> float:
    return at.timestamp()
