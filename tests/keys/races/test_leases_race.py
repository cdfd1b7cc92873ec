"""Programs renew their leases and say what they have applied at once, many of them in one statement each: nobody waits in a circle."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from keys.models import Environment, KeyVersion
from keys.verification.lookup import VERIFIER
from keys.verification.programs.renewing import Asked, acknowledge_clients, register, renew_clients
from keys.verification.programs.sharing import snapshot_of
from keys.verification.verifier import Binding
from portal.verify.renewals import Serve
from tests.people import verifying_credential
from tests.snapshots import as_records

pytestmark = pytest.mark.usefixtures("sealing")
PROGRAMS, ROUNDS = 200, 20


def test_leases_and_words_of_the_same_programs_end_no_transaction(world):
    credential = KeyVersion.objects.get(kid=verifying_credential(world).reveal().split("_")[2]).managed_key_id
    binding = Binding(service_id=world.orders.pk, environment_id=Environment.objects.get(tag="prod").pk)
    holders = [register(f"v{number}", credential=credential, binding=binding) for number in range(PROGRAMS)]
    position = as_records(snapshot_of(binding)[1])[0]["position"]
    asked = [Asked(verifier=each.id, credential=credential, applied=position) for each in holders if each is not None]

    def serve(work: Serve, seed: int) -> int:
        chance, served = random.Random(seed), 0
        try:
            for _ in range(ROUNDS):
                answers = work(chance.sample(asked, PROGRAMS))  # as they came
                served += sum(not isinstance(each, str) for each in answers)
            return served
        finally:
            connections[VERIFIER].close()

    with ThreadPoolExecutor(4) as threads:
        works = (renew_clients, acknowledge_clients) * 2
        served = [threads.submit(serve, work, seed) for seed, work in enumerate(works)]
        assert [each.result() for each in served] == [PROGRAMS * ROUNDS] * len(works)
