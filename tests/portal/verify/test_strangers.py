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
MEDIAN, QUICKEST = 4, 0  # among the deciles; where others hold the processor, the quick answers tell more of the door
APART = 0.10  # of the smaller one
TRIES = 4  # a machine that is busy tells one from the other now and then; a door that does tells it each time


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


def are_alike(deciles, which):
    """Whether known and unknown took as long."""
    spent = [each[which] for each in deciles.values()]
    return max(spent) <= (1 + APART) * min(spent)


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


def strangers_learn_nothing(caller, credential, *, kid, signing):
    """A known kid with a wrong secret looks like one that is unknown, at every door."""
    at = int(time.time())
    questions = {
        name: [[door(credential, text) for text in of_strangers(each)] for each in (kid, None)]
        for name, door in DOORS.items()
    }
    questions["signature"] = [
        [signed(credential, each) for each in signed_by_strangers(one, at=at)] for one in (signing, None)
    ]
    for name, (known, unknown) in questions.items():
        found = []
        for _ in range(TRIES):
            times, told = asked(caller, known, unknown)
            if name == "signature":  # its answers tell the time, to set clocks by
                assert {len(each) for each in told["known"]} == {len(each) for each in told["unknown"]}
            else:
                assert len(told["known"]) == 1
                assert told["known"] == told["unknown"], name
            found.append({kind: statistics.quantiles(each, n=10) for kind, each in times.items()})
            if any(are_alike(found[-1], decile) for decile in (MEDIAN, QUICKEST)):
                break
        else:
            pytest.fail(f"{name}: {[{kind: each[MEDIAN] for kind, each in times.items()} for times in found]}")


@operation
def another_service(world, *, actor):
    billing = create_service(
        slug_text="billing", name="Billing", description="Sends bills.", owner_team=world.orders_team, actor=actor
    )
    create_scope(billing, name="billing:read", description="Reads.", access="read", risk="low", actor=actor)
    return billing


class Places:
    """Keys, signers and credentials of a service in two environments, and of another service."""

    def __init__(self, world):
        billing = another_service(world, actor=SYSTEM)
        allow_signing(world)
        allow_signing(world, environment="test")
        allow_signing(world, service="billing", approver_team_id=world.security.pk)
        test = {"environment": "test", "cryptoperiod_days": 10}
        wishes = {
            "orders prod": {},
            "orders test": test,
            "billing prod": {"service": "billing", "scopes": ("billing:read",)},
        }
        self.keys = {place: issued(world, name=place, **wish) for place, wish in wishes.items()}
        self.signers = {
            (kind, place): signer_of(world, kind, name=f"{kind} {place}", **wishes[place])
            for kind in ("hmac-sha256", "ed25519")
            for place in ("orders prod", "orders test")
        }
        self.credentials = {
            "orders prod": verifying_credential(world).reveal(),
            "orders test": verifying_credential(world, environment="test").reveal(),
            "billing prod": verifying_credential(world, service=billing).reveal(),
        }


def keys_open_no_others_door(caller, places):
    """A key verifies for its own service in its own environment, and for nobody else who asks."""
    call = Call(path="/v1/orders")
    for of_caller, credential in places.credentials.items():
        for of_key, (_, _, secret) in places.keys.items():
            for name, door in DOORS.items():
                accepted = is_accepted(caller.ask(door(credential, secret.reveal())))
                assert accepted is (of_key == of_caller), (name, of_key, of_caller)
        for (kind, of_key), signer in places.signers.items():
            headers = signer.headers(call, created=int(time.time()))
            question = {"method": "GET", "authority": call.authority, "path": call.path, "headers": headers}
            accepted = is_accepted(caller.ask(signed(credential, question)))
            assert accepted is (of_key == of_caller), (kind, of_key, of_caller)


def test_strangers_learn_nothing_and_keys_open_no_others_door(world, superuser, tmp_path):
    """One server for both: to start it takes longest."""
    be_patient(superuser)
    places = Places(world)
    kid, signing = places.keys["orders prod"][1].kid, places.signers["hmac-sha256", "orders prod"].version.kid
    with VerifyServer(tmp_path) as server, Caller(server.port) as caller:
        keys_open_no_others_door(caller, places)
        strangers_learn_nothing(caller, places.credentials["orders prod"], kid=kid, signing=signing)
