"""In process: the snapshot is believed only signed, the lease only while it lasts, and a revocation at once."""

import hashlib
import os
import queue
import threading
import time
import tracemalloc
from contextlib import closing, suppress

import pytest
from fake_feed import POLICY, FakeFeed, now_ms, record, version
from fake_keystead import problem, times_meanwhile, vectors
from keystead_client import Client, IntegrityError, KeysteadError, LocalVerifier, Reason, Refused, Unreachable, digest
from keystead_client.snapshots import read_snapshot
from test_verifier import Rotates

KEYS = [each["text"] for each in vectors("key_text")["valid"]]
KIDS = [each["kid"] for each in vectors("key_text")["valid"]]


def until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture
def feed(keystead):
    feed = FakeFeed(keystead)
    feed.records = [record(digest(text), kid) for text, kid in zip(KEYS, KIDS, strict=True)]
    return feed


@pytest.fixture
def verifier(keystead, feed):
    with LocalVerifier(keystead.url, credential=KEYS[6], name="tests") as verifier:
        yield verifier


def test_keys_of_the_snapshot_verify_and_others_do_not(verifier):
    for text, kid in zip(KEYS, KIDS, strict=True):
        verdict = verifier.verify(text, scopes=["orders:read"])
        assert (verdict.valid, verdict.kid, verdict.owner_team) == (True, kid, "reporting")
    stranger = vectors("key_text")["invalid"][4]["text"]
    assert verifier.verify(stranger).reason == Reason.MALFORMED
    assert verifier.verify("ks_dev_5QoUduDDUQkGp2_" + "0" * 49).reason == Reason.MALFORMED
    assert verifier.verify(None).reason == Reason.MALFORMED
    assert verifier.verify(KEYS[0], scopes=["orders:write"]).reason == Reason.SCOPE


def test_a_revoked_key_is_refused_and_that_is_confirmed_at_once(keystead, feed):
    feed.renew_ms = 3_600_000  # it is confirmed now, or not before the lease is due again
    with LocalVerifier(keystead.url, credential=KEYS[6]) as verifier:
        assert verifier.verify(KEYS[0])
        position = feed.change(gone=(KIDS[0],))
        verifier._ring.set()
        until(lambda: not verifier.verify(KEYS[0]))
        until(lambda: position in feed.applied)
        assert verifier.verify(KEYS[0]).reason == Reason.UNKNOWN
        assert verifier.verify(KEYS[1])


@pytest.mark.parametrize("beside", [False, True], ids=["at the same address", "where Keystead says"])
def test_a_ring_of_the_doorbell_brings_a_revocation_at_once(keystead, feed, beside):
    feed.renew_ms = 3_600_000  # without a ring nobody asks again within a test
    rings, over = queue.Queue(), threading.Event()
    rings.put(b"event: change\ndata: {}\n\n")

    def ring(wire, _):
        while not over.is_set():
            with suppress(queue.Empty):
                wire.write(rings.get(timeout=0.05))
                wire.flush()

    path = "/elsewhere/feed" if beside else "/v1/feed"
    feed.bell_url = keystead.url + path if beside else None
    keystead.on(f"GET {path}", lambda _: (200, ring))
    with LocalVerifier(keystead.url, credential=KEYS[6]) as verifier:
        until(lambda: len(feed.applied) > 1)  # the first ring was heard
        asked = next(each for each in keystead.asked if each.path == path)
        assert (asked.bearer, asked.headers["accept"]) == (KEYS[6], "text/event-stream")
        position = feed.change(gone=(KIDS[0],))
        rings.put(b"event: change\ndata: {}\n\n")
        until(lambda: not verifier.verify(KEYS[0]))
        until(lambda: position in feed.applied)
        assert verifier.verify(KEYS[1])
        over.set()


def test_a_bell_that_is_no_address_or_would_show_the_credential_is_not_called(keystead, feed):
    for odd in ("nonsense", "http://keys.example.com/v1/feed", "https://keys.example.com/v1/feed?key=1"):
        feed.bell_url = odd
        with LocalVerifier(keystead.url, credential=KEYS[6]) as verifier:
            assert verifier.verify(KEYS[0])
            with pytest.raises(KeysteadError):
                verifier._feed.bell()


def test_a_change_that_was_applied_counts_though_its_lease_could_not_be_read(verifier, feed):
    """The next renewal confirms it: from then on somebody has been told that the key is dead here."""
    assert verifier.verify(KEYS[0])
    feed.broken = True
    position = feed.change(gone=(KIDS[0],))
    until(lambda: position in feed.applied)
    assert not verifier.verify(KEYS[0])
    assert verifier.verify(KEYS[1]).reason in (None, Reason.STALE)


def test_a_key_that_ends_ends_for_everybody_who_found_it_before(keystead, feed, stopped_clock):
    """Found while it lived, by one lease and the next; the others go on to be found the short way."""
    feed.lease_ms = 300
    feed.records[0] = record(digest(KEYS[0]), KIDS[0], ends_at=stopped_clock.now_ms() + 590)
    with LocalVerifier(keystead.url, credential=KEYS[6]) as verifier:
        for reason in (None, None, None, Reason.EXPIRED):
            for _ in range(3):
                assert verifier.verify(KEYS[0]).reason == reason
                assert verifier.verify(KEYS[1], scopes=["orders:read"])
            ended = verifier._feed.belief.until
            stopped_clock.seconds += 0.2
            until(lambda ended=ended: verifier._feed.belief.until > ended)
        assert verifier.verify(KEYS[1])
        assert digest(KEYS[1]) in verifier._feed.state.plain
        assert digest(KEYS[0]) not in verifier._feed.state.plain


def test_a_change_says_all_that_verifies_of_a_key(verifier, feed):
    def applied(position):
        until(lambda: position in feed.applied)

    applied(feed.change(version(digest(KEYS[0]), KIDS[0], policy={**POLICY, "scopes": ["orders:cancel"]})))
    assert verifier.verify(KEYS[0], scopes=["orders:cancel"])
    assert verifier.verify(KEYS[0], scopes=["orders:read"]).reason == Reason.SCOPE
    # A new version beside it; then the old one ends; then the new one too.
    new = "ks_prod_" + "n" * 14 + "_" + "n" * 49
    applied(feed.change(version(digest(KEYS[0]), KIDS[0]), version(digest(new), "n" * 14)))
    assert verifier.verify(KEYS[0])
    assert verifier.verify(new)
    applied(feed.change(version(digest(new), "n" * 14), gone=(KIDS[0],)))
    assert not verifier.verify(KEYS[0])
    assert verifier.verify(new)
    applied(feed.change(gone=(KIDS[0], "n" * 14)))
    assert not verifier.verify(new)


@pytest.mark.parametrize("begins", ["before", "after"])
def test_a_rotation_of_its_own_credential_costs_no_lease(keystead, feed, begins):
    """With an overlap of `now` the old secret stops at once, and what is current is the old one until all has settled."""
    stopped = []
    for door in list(keystead.doors):
        answer = keystead.doors[door]

        def guarded(asked, answer=answer):
            return problem("invalid_token", 401) if asked.bearer in stopped else answer(asked)

        keystead.on(door, guarded)
    keystead.on(
        "GET /v1/feed", lambda asked: problem("invalid_token", 401) if asked.bearer in stopped else (200, rings)
    )
    heard = threading.Event()

    def rings(wfile, _rfile):
        heard.set()
        wfile.write(b": beat\n\n")

    if begins == "after":
        stopped.append(KEYS[6])
    with LocalVerifier(keystead.url, credential=Rotates(KEYS[6], KEYS[5])) as verifier:
        assert verifier.verify(KEYS[0])
        stopped[:] = [KEYS[6]]
        heard.clear()
        renewed = len(feed.applied)
        until(lambda: not verifier.verify(KEYS[0]) or (heard.is_set() and len(feed.applied) > renewed + 10))
        assert verifier.verify(KEYS[0])
    assert feed.uses
    assert keystead.asked[-1].method == "DELETE"
    assert keystead.asked[-1].bearer == KEYS[5]


def test_without_a_lease_everything_is_stale_and_it_heals_by_itself(keystead, feed, stopped_clock):
    feed.lease_ms = 3000
    with LocalVerifier(keystead.url, credential=KEYS[6]) as verifier:
        feed.away = True
        stopped_clock.seconds += 2.9
        assert verifier.verify(KEYS[0])  # the lease still runs
        stopped_clock.seconds += 0.1
        assert verifier.verify(KEYS[0]).reason == Reason.STALE
        assert verifier.verify(KEYS[0]).status == 503
        feed.away = False
        until(lambda: verifier.verify(KEYS[0]))


def test_where_the_site_is_away_too_the_other_place_is_asked_again_at_once(keystead, feed):
    """For half a minute nobody asked the feed, which was back, since the site would do; and then the site was away."""
    feed.beside = {"lease": f"{keystead.url}/beside/lease"}
    places = {path: keystead.doors[path] for path in ("POST /beside/lease", "POST /v1/verifiers/v-1/lease")}
    with LocalVerifier(keystead.url, credential=KEYS[6]) as verifier:
        until(lambda: feed.applied)
        keystead.on("POST /beside/lease", (502, b"away"))
        until(lambda: "/v1/verifiers/v-1/lease" in [each.path for each in keystead.asked])
        keystead.on("POST /v1/verifiers/v-1/lease", (502, b"away"))
        keystead.on("POST /beside/lease", places["POST /beside/lease"])
        renewed = len(feed.applied)
        until(lambda: len(feed.applied) > renewed + 3)
        assert verifier.verify(KEYS[0])


def test_an_absence_of_hours_ends_no_thread(keystead, monkeypatch):
    """A thousand tries, five seconds apart: their pauses were doubled until no number held them."""
    verifier = LocalVerifier(keystead.url, credential=KEYS[6])
    tries = []

    def away():
        tries.append(None)
        if len(tries) == 1100:
            verifier._stopped.set()
        raise Unreachable("away")

    monkeypatch.setattr(verifier._feed, "renew", away)
    monkeypatch.setattr(verifier._ring, "wait", lambda pause: pause <= 5 or pytest.fail("too long"))
    verifier._follow()
    assert len(tries) == 1100
    verifier.close()


@pytest.mark.parametrize("told", [0, -1, None, "soon", 2**60, float("nan"), {}])
def test_a_pause_that_is_none_has_keystead_asked_no_more_often_than_else_and_ends_no_thread(keystead, feed, told):
    feed.renew_ms = told
    with LocalVerifier(keystead.url, credential=KEYS[6]) as verifier:
        assert times_meanwhile(keystead, "/v1/verifiers/v-1/lease") < 40
        assert all(thread.is_alive() for thread in verifier._threads)
        position = feed.change(gone=(KIDS[0],))
        verifier._ring.set()
        until(lambda: position in feed.applied)


def test_a_keystead_that_forgets_each_registration_is_not_asked_without_a_pause(keystead, feed):
    keystead.on("POST /v1/verifiers/v-1/lease", problem("not_found", 404))
    with closing(LocalVerifier(keystead.url, credential=KEYS[6]).start(wait=0)) as verifier:
        assert times_meanwhile(keystead, "/v1/verifiers") < 20
        assert verifier.verify(KEYS[0]).reason == Reason.STALE
        keystead.on("POST /v1/verifiers/v-1/lease", feed._lease)
        until(lambda: verifier.verify(KEYS[0]))  # and is heard when it is whole again


def test_whoever_leaves_while_its_registration_hangs_has_no_lease_and_answers_nothing(keystead, feed):
    """Nobody would have heard of it: it held a lease from then on, and answered by it until that ended."""
    registers = keystead.doors["POST /v1/verifiers"]
    asked, arrives = threading.Event(), threading.Event()

    def hang(request):
        asked.set()
        assert arrives.wait(20)
        return registers(request)

    keystead.on("POST /v1/verifiers", hang)
    verifier = LocalVerifier(keystead.url, credential=KEYS[6], timeout=20)
    verifier.start(wait=0)
    assert asked.wait(20)
    for thread in verifier._threads:
        thread.join = lambda timeout, of=thread: threading.Thread.join(of, 0.1)  # nobody waits five seconds
    verifier.close()
    arrives.set()
    for thread in verifier._threads:
        threading.Thread.join(thread, 30)
    assert verifier.verify(KEYS[0]).reason == Reason.STALE
    assert not feed.applied
    assert [each.path for each in keystead.asked if each.method == "DELETE"] == ["/v1/verifiers/v-1"]


def test_ends_come_by_the_servers_clock_without_a_message(keystead, feed, stopped_clock):
    soon = stopped_clock.now_ms() + 390
    feed.records = [
        record(digest(KEYS[0]), KIDS[0], ends_at=soon),
        record(digest(KEYS[1]), KIDS[1], flags=1, ends_at=soon),
    ]
    with LocalVerifier(keystead.url, credential=KEYS[6]) as verifier:
        assert verifier.verify(KEYS[0])
        assert verifier.verify(KEYS[1])
        stopped_clock.seconds += 0.4
        assert verifier.verify(KEYS[0]).reason == Reason.EXPIRED
        assert verifier.verify(KEYS[1]).reason == Reason.RETIRED


def test_networks_and_warnings_are_decided_in_process(keystead, feed):
    hour = 3_600_000
    feed.policies = [{**POLICY, "networks": ["10.0.0.0/8", "2001:db8::/32"]}, POLICY]
    feed.warned = {KIDS[1]: now_ms() - 30 * hour}
    feed.records = [
        record(digest(KEYS[0]), KIDS[0]),
        record(digest(KEYS[1]), KIDS[1], policy=1, flags=1, ends_at=now_ms() + hour - 1000),
    ]
    with LocalVerifier(keystead.url, credential=KEYS[6]) as verifier:
        for address, valid in (
            ("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("2001:db8::1", True), ("11.0.0.1", False), (None, False),
            ("x", False), ("fe80::1%eth0", False),
        ):  # fmt: skip
            assert verifier.verify(KEYS[0], client=Client(address=address)).valid is valid, address
        assert verifier.verify(KEYS[0]).reason == Reason.NETWORK
        assert verifier.verify(KEYS[1]).reason == Reason.ROTATE_NOW


def test_uses_are_reported(keystead, feed):
    with LocalVerifier(keystead.url, credential=KEYS[6]) as verifier:
        for _ in range(3):
            verifier.verify(KEYS[0], client=Client(address="192.0.2.1"))
        verifier.verify(KEYS[0], scopes=["x"])
    told = {(use["outcome"], use["count"], use.get("client", {}).get("address")) for use in feed.uses}
    assert told == {("valid", 3, "192.0.2.1"), ("scope", 1, None)}
    assert "DELETE" in {asked.method for asked in keystead.asked}


def test_a_program_that_has_much_to_tell_renews_between_its_batches(keystead, feed, monkeypatch):
    """Thirty batches that take longer than a lease may last: nothing was renewed until the last was told."""
    monkeypatch.setattr("keystead_client.local._REPORT_SECONDS", 0.0)
    asked = []

    def noted(place, takes):
        def answer(request):
            asked.append(place)
            time.sleep(0.005)
            return takes(request)

        return answer

    for place in ("uses", "lease"):
        path = f"POST /v1/verifiers/v-1/{place}"
        keystead.on(path, noted(place, keystead.doors[path]))
    with LocalVerifier(keystead.url, credential=KEYS[6]) as verifier:
        for number in range(30 * 500):
            verifier.verify(KEYS[0], client=Client(instance=f"worker-{number}"))
        until(lambda: asked.count("uses") > 20, seconds=60)
    batches = " ".join(asked).split("lease")
    # A batch takes a quarter of the time after which it renews.
    assert max(each.count("uses") for each in batches) < 15


@pytest.mark.parametrize("days", [-3, 3])
def test_uses_are_told_by_the_servers_clock(keystead, feed, monkeypatch, days):
    """Of a minute that has not begun there Keystead takes none, and what seems days old it forgets."""

    def there():
        return now_ms() + days * 86_400_000

    monkeypatch.setattr("fake_feed.now_ms", there)
    feed.records = [record(digest(KEYS[0]), KIDS[0])]
    with LocalVerifier(keystead.url, credential=KEYS[6]) as verifier:
        assert verifier.verify(KEYS[0])
    assert [abs(use["minute"] - there()) < 300_000 for use in feed.uses] == [True]


def test_a_resync_and_a_forgotten_verifier_begin_anew(verifier, feed, keystead):
    feed.records = [record(digest(KEYS[2]), KIDS[2])]
    feed.resync = True
    until(lambda: verifier.verify(KEYS[2]) and not verifier.verify(KEYS[0]))
    lease = keystead.doors["POST /v1/verifiers/v-1/lease"]
    feed.records = [record(digest(KEYS[3]), KIDS[3])]
    keystead.on("POST /v1/verifiers/v-1/lease", problem("not_found", 404))
    until(lambda: not verifier.verify(KEYS[2]))
    keystead.on("POST /v1/verifiers/v-1/lease", lease)
    until(lambda: verifier.verify(KEYS[3]))


def test_a_new_signing_key_is_learnt_and_what_is_held_stays(keystead, feed, stopped_clock):
    """Keystead's own rotation is no moment in which a service refuses everybody."""
    with LocalVerifier(keystead.url, credential=KEYS[6]) as verifier:
        assert verifier.verify(KEYS[0])
        feed.sign_with("snap-2")
        stopped_clock.seconds += 90  # whatever lease there was is over
        until(lambda: verifier.verify(KEYS[0]))
        assert [each.path for each in keystead.asked].count("/v1/snapshot") == 1


def test_a_pinned_signing_key_is_not_replaced(keystead, feed, stopped_clock):
    with LocalVerifier(keystead.url, credential=KEYS[6], signing_keys={feed.kid: feed.x}) as verifier:
        assert verifier.verify(KEYS[0])
        feed.sign_with("snap-2")
        stopped_clock.seconds += 90
        renewals = len(feed.applied)
        until(lambda: len(feed.applied) > renewals + 2)  # asked twice more, and answered in vain
        assert verifier.verify(KEYS[0]).reason == Reason.STALE


def test_a_forged_change_is_not_applied_and_renews_nothing(verifier, feed, keystead):
    lease = keystead.doors["POST /v1/verifiers/v-1/lease"]

    def forged(asked):
        status, said = lease(asked)
        return status, {**said, "changes": [{"key_id": "k", "versions": [version(b"x" * 32, "evil")], "gone": []}]}

    feed.lease_ms = 200
    until(lambda: verifier.lease_seconds < 0.2)
    keystead.on("POST /v1/verifiers/v-1/lease", forged)
    until(lambda: verifier.verify(KEYS[0]).reason == Reason.STALE)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_believe_its_parents_lease(verifier):
    assert verifier.verify(KEYS[0])
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, str(verifier.verify(KEYS[0]).reason).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100) == b"stale"
    assert verifier.verify(KEYS[0])


def test_a_credential_that_may_not_is_told_at_the_start(keystead):
    keystead.on("POST /v1/verifiers", problem("insufficient_scope", 403))
    verifier = LocalVerifier(keystead.url, credential=KEYS[6])
    with pytest.raises(Refused):
        verifier.start()
    assert verifier.verify(KEYS[0]).reason == Reason.STALE
    verifier.close()


@pytest.mark.parametrize("place", [0, 9, 40, 400, -100, -1])
def test_a_changed_byte_anywhere_in_a_snapshot_is_noticed(feed, place):
    content = bytearray(feed.snapshot())
    assert read_snapshot(bytes(content), keys={"snap-1": feed.x}).count == len(KEYS)
    content[place] ^= 1
    with pytest.raises(IntegrityError):
        read_snapshot(bytes(content), keys={"snap-1": feed.x})


def test_a_snapshot_of_another_signer_or_place_is_refused(feed, keystead):
    content = feed.snapshot()
    for keys, more in (({}, {}), ({"snap-2": feed.x}, {}), ({"snap-1": feed.x}, {"environment": "test"})):
        with pytest.raises(IntegrityError):
            read_snapshot(content, keys=keys, **more)
    for cut in (0, 7, 11, 200, len(content) - 64):
        with pytest.raises(IntegrityError):
            read_snapshot(content[:cut], keys={"snap-1": feed.x})
    verifier = LocalVerifier(keystead.url, credential=KEYS[6], signing_keys={"snap-2": feed.x}).start(wait=0.2)
    assert verifier.verify(KEYS[0]).reason == Reason.STALE
    verifier.close()


def test_many_keys_take_less_than_110_bytes_each(feed):
    count = 20_000
    feed.records = [record(hashlib.sha256(b"%d" % number).digest(), f"{number:014d}") for number in range(count)]
    content = feed.snapshot()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    snapshot = read_snapshot(content, keys={"snap-1": feed.x})
    each = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    assert each < 110, f"{each:.1f} bytes a key"
    for number in (0, 1, count // 2, count - 1):
        entry = snapshot.find(hashlib.sha256(b"%d" % number).digest())
        assert entry is not None
        assert entry.kid == f"{number:014d}"
    assert snapshot.find(b"\xff" * 32) is None
    assert snapshot.find(bytes(32)) is None


def test_a_batch_is_no_larger_than_keystead_reads(keystead, feed, verifier):
    """Five hundred clients with the user agents of ordinary browsers are more than that, and were lost each time."""
    clients = [Client(address=f"192.0.2.{number % 250}", user_agent=f"{number} " + "x" * 200) for number in range(600)]
    for client in [*clients, *(Client(user_agent="\U0001f511" * 2000, instance=str(number)) for number in range(4))]:
        verifier.verify(KEYS[0], client=client)
    verifier._report()
    sent = [asked.body for asked in keystead.asked if asked.path.endswith("/uses")]
    assert len(feed.uses) == 604
    assert len(sent) > 2
    assert max(map(len, sent)) <= 64 * 1024


def test_what_no_json_of_keysteads_holds_is_left_out_of_a_client(keystead, feed, verifier):
    verifier.verify(KEYS[0], client=Client(user_agent="a\0b\ud800c", instance="\0"))
    verifier._report()
    assert [use["client"] for use in feed.uses] == [{"user_agent": "abc"}]


def test_uses_that_are_never_taken_hold_up_none_that_come_later(keystead, feed, verifier):
    verifier.verify(KEYS[0])
    keystead.on("POST /v1/verifiers/v-1/uses", problem("invalid_input", 422))
    verifier._report()
    keystead.on("POST /v1/verifiers/v-1/uses", feed._uses)
    verifier.verify(KEYS[1])
    verifier._report()
    assert {use["kid"] for use in feed.uses} == {KIDS[1]}
