"""At the doors of a real server: strangers learn nothing by bytes or time, and nobody's key opens another's door."""

from __future__ import annotations

import random
import statistics
import time

import pytest

from keys.catalogue.services import create_scope, create_service
from keys.crypto.key_text import mint
from keys.operations import operation
from tests.people import SYSTEM, issued, verifying_credential
from tests.portal.verify.doors import DOORS, Caller, is_accepted, signed
from tests.portal.verify.storms import VerifyServer, be_patient
from tests.signing import Call, by_hmac
from tests.signing_keys import allow_signing, signer_of

pytestmark = pytest.mark.usefixtures("sealing", "settled_nonces")
SAMPLES = 300
APART = 0.10  # of the smaller median
TRIES = 3  # a machine that is busy tells one from the other now and then; a door that does tells it each time


def of_strangers(kid):
    """Texts of our form that nobody was given: of a kid that is known, or of none."""
    return [mint("prod", kid=kid).secret.reveal() for _ in range(SAMPLES)]


def signed_by_strangers(kid, *, at):
    """Signed with a secret that nobody was given, by a kid that is known, or by one that is not."""
    call = Call(path="/v1/orders")
    questions = []
    for _ in range(SAMPLES):
        text = mint("prod", kid=kid)
        headers = call.signed(by_hmac(text.secret.reveal()), kid=text.kid, algorithm="hmac-sha256", created=at)
        questions.append({"method": "GET", "authority": call.authority, "path": call.path, "headers": headers})
    return questions


def asked(caller, known, unknown):
    """Ask both kinds in an order that nobody can foresee; the times of each, and everything that was said."""
    mixed = [("known", each) for each in known] + [("unknown", each) for each in unknown]
    random.shuffle(mixed)
    times, told = {"known": [], "unknown": []}, {"known": set(), "unknown": set()}
    for kind, request in mixed:
        answer = caller.ask(request)
        times[kind].append(answer.seconds)
        told[kind].add(answer.told)
    return times, told


def test_a_known_kid_with_a_wrong_secret_looks_like_one_that_is_unknown(world, superuser, tmp_path):
    be_patient(superuser)
    credential = verifying_credential(world).reveal()
    kid = issued(world)[1].kid
    allow_signing(world)
    signing = signer_of(world, "hmac-sha256").version.kid
    questions = {
        name: ([door(credential, text) for text in of_strangers(kid)], [door(credential, text) for text in of_strangers(None)])
        for name, door in DOORS.items()
    }  # fmt: skip
    with VerifyServer(tmp_path) as server, Caller(server.port) as caller:
        at = int(time.time())
        questions["signature"] = tuple(
            [signed(credential, each) for each in signed_by_strangers(kid, at=at)] for kid in (signing, None)
        )
        for name, (known, unknown) in questions.items():
            medians = []
            for _ in range(TRIES):
                times, told = asked(caller, known, unknown)
                if name == "signature":  # its answers tell the time, to set clocks by
                    assert {len(each) for each in told["known"]} == {len(each) for each in told["unknown"]}
                else:
                    assert len(told["known"]) == 1
                    assert told["known"] == told["unknown"], name
                medians.append({kind: statistics.median(each) for kind, each in times.items()})
                if max(medians[-1].values()) <= (1 + APART) * min(medians[-1].values()):
                    break
            else:
                pytest.fail(f"{name}: {medians}")


@operation
def another_service(world, *, actor):
    billing = create_service(
        slug_text="billing", name="Billing", description="Sends bills.", owner_team=world.orders_team, actor=actor
    )
    create_scope(billing, name="billing:read", description="Reads.", access="read", risk="low", actor=actor)
    return billing


def test_keys_of_one_environment_or_service_verify_in_no_other(world, superuser, tmp_path):
    be_patient(superuser)
    billing = another_service(world, actor=SYSTEM)
    allow_signing(world)
    allow_signing(world, environment="test")
    allow_signing(world, service="billing", approver_team_id=world.security.pk)
    places = {
        ("orders", "prod"): {},
        ("orders", "test"): {"environment": "test", "cryptoperiod_days": 10},
        ("billing", "prod"): {"service": "billing", "scopes": ("billing:read",)},
    }
    keys = {place: issued(world, name=f"{place}", **wish)[2].reveal() for place, wish in places.items()}
    credentials = {
        place: verifying_credential(
            world, service=billing if place[0] == "billing" else world.orders, environment=place[1]
        ).reveal()
        for place in places
    }
    signers = {
        (kind, place): signer_of(world, kind, name=f"{kind} {place}", **places[place])
        for kind in ("hmac-sha256", "ed25519")
        for place in (("orders", "prod"), ("orders", "test"))
    }
    call = Call(path="/v1/orders")
    with VerifyServer(tmp_path) as server, Caller(server.port) as caller:
        for of_key, text in keys.items():
            for of_caller, credential in credentials.items():
                for name, door in DOORS.items():
                    accepted = is_accepted(caller.ask(door(credential, text)))
                    assert accepted is (of_key == of_caller), (name, of_key, of_caller)
        for (kind, of_key), signer in signers.items():
            for of_caller, credential in credentials.items():
                headers = signer.headers(call, created=int(time.time()))
                question = {"method": "GET", "authority": call.authority, "path": call.path, "headers": headers}
                accepted = is_accepted(caller.ask(signed(credential, question)))
                assert accepted is (of_key == of_caller), (kind, of_key, of_caller)
