"""Answer from the database, as it is at this instant: for environments that want no memory at all (staleness 0)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from django.db import close_old_connections
from django.db.utils import Error as DatabaseError

from keys.catalogue.own_service import VERIFY_SCOPE
from keys.errors import Unavailable
from keys.nonces.members import NonceStoreUnavailable
from keys.signatures.reading import SignedRequest
from keys.states import VALID
from keys.verification.counting.limits import Limiter
from keys.verification.counting.sightings import note_use
from keys.verification.credentials import authenticate_credential
from keys.verification.lookup import find
from keys.verification.memory.lease import clock
from keys.verification.memory.loading import Catalogue, entry_of
from keys.verification.memory.snapshot import Entry
from keys.verification.reasons import Reason
from keys.verification.signed import SignedVerdict, judge_signed
from keys.verification.verification import verify_key
from keys.verification.verifier import Binding, Question, out_of_bounds
from portal import client_address
from portal.verify.door import bearer_of
from portal.verify.memory import Asker
from portal.verify.reading import Refused


class Database:
    """The same questions as to memory, each a look at the rows."""

    gathering = None

    def __init__(self, catalogue: Catalogue, offset: float, limiter: Limiter) -> None:
        self._catalogue = catalogue
        self._offset = offset
        self._limiter = limiter

    def asker(self, authorization: str, environ: Mapping[str, Any]) -> Asker:
        return self.asker_with(bearer_of(authorization), environ)

    def asker_with(self, credential: str, environ: Mapping[str, Any]) -> Asker:
        """Recognise the caller; raises Refused, with 503 when the database cannot be asked."""
        close_old_connections()
        try:
            caller = authenticate_credential(
                credential,
                address=client_address.of_environ(environ),
                user_agent=str(environ.get("HTTP_USER_AGENT", "")),
            )
        except Unavailable as refused:
            raise Refused(refused.status, refused.code) from None
        except DatabaseError:
            raise Refused(503, "unavailable") from None
        if caller is None:
            raise Refused(401, "invalid_token")
        if VERIFY_SCOPE not in caller.scopes or caller.asks_about is None:
            raise Refused(403, "insufficient_scope")
        asks = self._catalogue.place(caller.asks_about.service_id, caller.asks_about.environment_id)
        return Asker(asks, clock() + self._offset)

    def resume(self, asker: Asker) -> None:
        """Go on when the body has come."""
        asker.at = clock() + self._offset

    def judge(self, text: str, question: Question, asker: Asker) -> tuple[Reason | None, Entry | None]:
        """Say why a presented key is refused, or None with what it opens."""
        binding = Binding(service_id=asker.asks.service_id, environment_id=asker.asks.environment_id)
        try:
            verdict = verify_key(text, binding=binding, question=question, limiter=self._limiter)
        except Unavailable as refused:
            raise Refused(refused.status, refused.code) from None
        except DatabaseError:
            raise Refused(503, "unavailable") from None
        if verdict.found is None:
            return verdict.reason, None
        return None, entry_of(verdict.found, self._catalogue.grant_of(verdict.found))

    def judge_signed(
        self, request: SignedRequest, question: Question, asker: Asker
    ) -> tuple[SignedVerdict, Entry | None]:
        """Say why a signed request is refused, or None with what its key opens."""
        try:
            verdict = judge_signed(
                request,
                find=find,
                is_outside=partial(out_of_bounds, binding=asker.asks),
                question=question,
                now=asker.at,
                warns=True,
            )
        except NonceStoreUnavailable:
            raise
        except Unavailable as refused:
            raise Refused(refused.status, refused.code) from None
        except DatabaseError:
            raise Refused(503, "unavailable") from None
        if verdict.signer is None:
            return verdict, None
        signer = verdict.signer
        if verdict.reason is None and signer.limits:
            reason = self._limiter.refusal(signer.key_id, signer.limits.items(), asker.at)
            verdict = replace(verdict, reason=reason)
        note_use(signer.version_id, outcome=str(verdict.reason or VALID), client=question.client)
        if verdict.reason is not None:
            return verdict, None
        return verdict, entry_of(signer, self._catalogue.grant_of(signer))
