"""Let programs verify in their own process: a snapshot, signed, and leases that bring what changed. Served by the site.

Not by the process that answers from memory: here the database is asked for everything, and nobody there shall wait for it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec
from uuid import UUID

from django.conf import settings
from django.db.utils import Error as DatabaseError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from keys.errors import Invalid, Unavailable
from keys.text import line
from keys.verification.counting.sightings import note_now_and_then
from keys.verification.credentials import Credential
from keys.verification.memory import lease
from keys.verification.programs.renewing import acknowledge_clients, holder_of, register, renew_clients
from keys.verification.programs.sharing import signing_keys, snapshot_of, term_of
from keys.verification.verifier import Binding
from portal import client_address
from portal.middleware import request_id_of
from portal.verify.door import program_of
from portal.verify.problems import NEVER_STORED, Reply, problem, reply
from portal.verify.reading import Refused, members_of, readable
from portal.verify.renewals import read_renewal, renewed

RENEW_PART: Final = 3  # a lease is renewed three times in its life, so that one lost answer costs nothing
LONGEST_NAME: Final = 80
P = ParamSpec("P")


def for_programs(
    method: str,
) -> Callable[[Callable[Concatenate[HttpRequest, Credential, Binding, P], Reply]], Callable[..., HttpResponse]]:
    """Let a view be asked by a credential that may verify; what it refuses is a problem."""

    def wrap(view: Callable[Concatenate[HttpRequest, Credential, Binding, P], Reply]) -> Callable[..., HttpResponse]:
        @csrf_exempt
        @functools.wraps(view)
        def run(http: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            authorization = http.headers.get("Authorization", "")
            try:
                if http.method != method:
                    raise Refused(405, "method_not_allowed")
                if http.META.get("QUERY_STRING"):
                    raise Refused(400, "address_not_allowed_here")
                address, user_agent = client_address.of_request(http), http.headers.get("User-Agent", "")
                caller = program_of(authorization, address=address, user_agent=user_agent, note=note_now_and_then)
                assert caller.asks_about is not None
                said = view(http, caller, caller.asks_about, *args, **kwargs)
            except Unavailable as refused:
                said = problem(Refused(refused.status, refused.code), request_id=request_id_of(http))
            except DatabaseError:
                said = problem(Refused(503, "unavailable"), request_id=request_id_of(http))
            except Refused as refused:
                said = problem(refused, request_id=request_id_of(http), knows_how=bool(authorization), allow=method)
            return HttpResponse(said.body, status=said.status, headers=dict(said.headers))

        return run

    return wrap


@for_programs("POST")
def verifiers(http: HttpRequest, caller: Credential, binding: Binding) -> Reply:
    """Register a verifier; what it holds is what its credential may ask about."""
    value = body_of(http, {"name"})
    try:
        given = value.get("name")
        name = line(given if isinstance(given, str) else "", "name", most=LONGEST_NAME)
    except Invalid as invalid:
        raise Refused(422, "invalid_input", {field: code for field, (code, *_) in invalid.fields.items()}) from None
    term = _term(binding)
    holder = register(name, credential=caller.key_id, binding=binding)
    if holder is None:
        raise Refused(429, "too_many_verifiers", retry_after=30)
    feed = settings.KEYSTEAD_FEED_URL
    told = {
        "verifier": str(holder.id),
        "lease_ms": term,
        "renew_ms": term // RENEW_PART,
        "feed": feed,
        "feed_hears": True,
    }
    there = f"{feed.removesuffix('/feed')}/verifiers/{holder.id}"
    return reply(201, {**told, "lease": f"{there}/lease", "applied": f"{there}/applied"})


@for_programs("GET")
def snapshot(_http: HttpRequest, _caller: Credential, binding: Binding) -> Reply:
    """Hand out every key that verifies now, signed."""
    _term(binding)
    position, content = snapshot_of(binding)
    headers = {"Content-Type": "application/octet-stream", "Keystead-Position": position, **NEVER_STORED}
    return Reply(status=200, body=content, headers=headers)


@for_programs("POST")
def renewal(http: HttpRequest, caller: Credential, _binding: Binding, verifier: UUID) -> Reply:
    """Renew a lease, take the acknowledgement, and tell what changed. The process of the doorbell answers the same, for many."""
    asked = read_renewal(body_of(http, {"applied"}), verifier=verifier, credential=caller.key_id)
    return renewed(asked, renew_clients([asked])[0])


@for_programs("POST")
def applied(http: HttpRequest, caller: Credential, _binding: Binding, verifier: UUID) -> Reply:
    """Take the acknowledgement of what came with a ring; the lease stays as it is."""
    asked = read_renewal(body_of(http, {"applied"}), verifier=verifier, credential=caller.key_id)
    return renewed(asked, acknowledge_clients([asked])[0])


@for_programs("DELETE")
def stopping(_http: HttpRequest, caller: Credential, _binding: Binding, verifier: UUID) -> Reply:
    """End a lease at once."""
    holder = holder_of(verifier, credential=caller.key_id)
    if holder is None:
        raise Refused(404, "not_found")
    lease.end(holder.id)
    return Reply(status=204, body=b"", headers=NEVER_STORED)


@csrf_exempt  # nothing changes here, and whoever tries is told that, not of a missing token
@require_safe
def jwks(_http: HttpRequest) -> HttpResponse:
    """Tell everybody which keys sign snapshots and changes."""
    said = reply(200, {"keys": signing_keys()})
    return HttpResponse(said.body, headers={**said.headers, "Cache-Control": "public, max-age=300"})


def _term(binding: Binding) -> int:
    term = term_of(binding.environment_id)
    if not term:
        raise Refused(409, "not_kept_in_memory")
    return term


def body_of(http: HttpRequest, members: set[str]) -> dict[str, object]:
    """Read a body that may have these members and no others."""
    raw = http.read(readable(http.headers.get("Content-Length", "0")))
    return members_of(raw, http.headers.get("Content-Type", ""), members)
