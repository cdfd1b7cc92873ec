"""Take what a program that verifies in its own process counted: once for each batch, and only of its own service's keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import UUID, uuid5

from django.http import HttpRequest

from keys.monitoring.tally_files import add_batch, versions_by_kid
from keys.states import VALID
from keys.verification.counting.tallies import Tally
from keys.verification.credentials import Credential
from keys.verification.programs.renewing import holder_of
from keys.verification.programs.sharing import time_of_database
from keys.verification.reasons import Reason
from keys.verification.verifier import Binding
from portal.verify.clients import body_of, for_programs
from portal.verify.problems import NEVER_STORED, Reply
from portal.verify.reading import Refused, read_client

MOST_USES: Final = 500
MOST_COUNT: Final = 10**9
OUTCOMES: Final = {VALID, *map(str, Reason)}
# Seconds. Who was away for longer has nothing to tell that anybody waits for; refused, it would be brought for ever.
FORGOTTEN: Final = 2 * 86_400
OLDEST: Final = 366 * 86_400  # what is older is no time in milliseconds
_MEMBERS: Final = {"kid", "outcome", "minute", "count", "client"}


@for_programs("POST")
def report(http: HttpRequest, caller: Credential, binding: Binding, verifier: UUID) -> Reply:
    """Add a batch; one that was brought before adds nothing."""
    value = body_of(http, {"batch", "uses"})
    if holder_of(verifier, credential=caller.key_id) is None:
        raise Refused(404, "not_found")
    try:
        batch = UUID(str(value.get("batch")))
    except ValueError:
        raise Refused(422, "invalid_input", {"batch": "not_a_uuid"}) from None
    uses = value.get("uses")
    if not isinstance(uses, list) or not 1 <= len(uses) <= MOST_USES:
        raise Refused(422, "invalid_input", {"uses": "not_a_list_of_uses"})
    now = time_of_database()
    read = [_read(each, f"uses.{place}", now=now) for place, each in enumerate(uses)]
    told = [each for each in read if each["at"] > now - FORGOTTEN]
    versions = versions_by_kid(
        {each["kid"] for each in told}, service=binding.service_id, environment=binding.environment_id
    )
    # Within the verifier's own names: nobody can spend the name of somebody else's batch.
    add_batch(uuid5(verifier, str(batch)), list(_tallies(told, versions)))
    return Reply(status=204, body=b"", headers=NEVER_STORED)


def _read(value: object, place: str, *, now: float) -> Mapping[str, Any]:  # Any: read, each with its type
    if not isinstance(value, dict):
        raise Refused(422, "invalid_input", {place: "not_an_object"})
    errors = {f"{place}.{name}": "unknown_field" for name in value.keys() - _MEMBERS}
    kid, outcome, minute, count = (value.get(name) for name in ("kid", "outcome", "minute", "count"))
    if not isinstance(kid, str) or not 1 <= len(kid) <= 16:
        errors[f"{place}.kid"] = "not_a_kid"
    if not isinstance(outcome, str) or outcome not in OUTCOMES:
        errors[f"{place}.outcome"] = "unknown_choice"
    if type(minute) is not int or not now - OLDEST <= minute / 1000 <= now + 60:
        errors[f"{place}.minute"] = "out_of_range"
    if type(count) is not int or not 1 <= count <= MOST_COUNT:
        errors[f"{place}.count"] = "out_of_range"
    client = read_client(value.get("client", {}), errors)
    if errors:
        raise Refused(422, "invalid_input", errors)
    assert isinstance(minute, int)
    return {"kid": kid, "outcome": outcome, "at": minute / 1000, "count": count, "client": client}


def _tallies(told: list[Mapping[str, Any]], versions: Mapping[str, UUID]) -> Iterator[Tally]:
    for each in told:
        if each["kid"] in versions:
            yield Tally(
                version=versions[each["kid"]],
                outcome=each["outcome"],
                client=each["client"],
                count=each["count"],
                first_at=each["at"],
                last_at=each["at"],
            )
