"""A rotating credential: no request fails, nothing is lost in a crash of any step, and nobody else reads the file."""

import json
import stat
import threading

import httpx2
import pytest
import requests
from fake_keystead import problem, times_meanwhile
from fake_rotation import FakeRotation, mint
from keystead_client import (
    Busy,
    FileStore,
    KeysteadError,
    MemoryStore,
    Refused,
    RotatingCredential,
    Secret,
    Unreachable,
    Unsafe,
)
from keystead_client.httpx_auth import KeyAuth as HttpxKeyAuth
from keystead_client.requests_auth import KeyAuth
from test_local import until


@pytest.fixture
def rotation(keystead):
    return FakeRotation(keystead)


def rotating(keystead, rotation, **more):
    more.setdefault("initial", rotation.first)
    return RotatingCredential(keystead.url, settling=0, **more)


def works(keystead, secret):
    headers = {"Authorization": f"Bearer {secret.reveal()}"}
    return requests.get(f"{keystead.url}/api", headers=headers, timeout=60).status_code == 200


def test_a_due_rotation_is_fetched_activated_and_swapped(keystead, rotation):
    credential = rotating(keystead, rotation)
    assert credential.refresh() == 60
    assert credential.current() == Secret(rotation.first)
    rotation.prepare()
    credential.refresh()
    assert credential.current() == Secret(rotation.newest) != Secret(rotation.first)
    rotation.retire()
    assert works(keystead, credential.current())
    assert credential.refresh() == 60


class Crash(BaseException):
    """The process ends here."""


class CrashingStore(MemoryStore):
    """Ends the process at the n-th write, before or after it is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.writes_left, self.keeps = 1000, True

    def save(self, text):
        self.writes_left -= 1
        if self.writes_left < 0:
            if self.keeps:
                super().save(text)
            raise Crash
        super().save(text)


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("writes", range(3))
@pytest.mark.parametrize("failing", [[], ["after next"], ["after activate"], ["before activate", "before next"]])
def test_a_crash_in_any_step_loses_nothing(keystead, rotation, writes, keeps, failing):
    store = CrashingStore()
    rotating(keystead, rotation, store=store)
    rotation.prepare()
    store.writes_left, store.keeps, rotation.fail = writes, keeps, list(failing)
    for _ in range(8):
        credential = rotating(keystead, rotation, store=store)  # the process starts again
        assert works(keystead, credential.current())
        try:
            credential.refresh()
        except Crash:
            store.writes_left = 1000
        except (Busy, Unreachable):
            pass
        assert works(keystead, rotating(keystead, rotation, store=store).current())
    assert rotation.completed == 1
    rotation.retire()
    assert works(keystead, credential.current())
    assert credential.current() == Secret(rotation.newest)


def poll(keystead, auth, over, heard, client):
    with client() as session:
        while not over.is_set():
            heard.append(session.get(f"{keystead.url}/api", auth=auth).status_code)


@pytest.mark.parametrize("overlap", ["24h", "now"])
def test_no_request_fails_through_rotations_and_restarts(keystead, rotation, overlap, tmp_path):
    """The old version ends the moment the new one works, or soon after; the process restarts between."""
    store, heard = FileStore(tmp_path / "key"), ([], [])
    for _ in range(3):
        with RotatingCredential(
            keystead.url, initial=rotation.first, store=store, settling=0.02, longest_pause=0.05
        ) as credential:
            over = threading.Event()
            auth = [(KeyAuth(credential), requests.Session), (HttpxKeyAuth(credential), httpx2.Client)]
            threads = [
                threading.Thread(target=poll, args=(keystead, a, over, mine, c))
                for mine, (a, c) in zip(heard, auth, strict=True)
            ]
            for thread in threads:
                thread.start()
            for _ in range(3):
                done = rotation.completed
                rotation.prepare(overlap)
                until(lambda done=done: rotation.completed > done and credential.current() == Secret(rotation.newest))
                rotation.retire()
                # A request may meet one rotation and be sent once more; a real one takes days, and no request lasts for two.
                lengths = [len(each) + 2 for each in heard]
                until(lambda lengths=lengths: all(len(h) >= n for h, n in zip(heard, lengths, strict=True)))
            over.set()
            for thread in threads:
                thread.join()
    assert rotation.completed == 9
    assert [set(each) for each in heard] == [{200}, {200}]


def test_without_an_overlap_the_old_one_is_presented_until_somebody_refuses_it(keystead, rotation):
    """A verifier that is a moment behind knows only the old one; presented first, the new one might meet it before and after."""
    known = {rotation.first}
    keystead.on("GET /api", lambda asked: (200, {}) if asked.bearer in known else problem("invalid_token", 401))
    credential = RotatingCredential(keystead.url, initial=rotation.first, settling=600)
    rotation.prepare("now")
    thread = threading.Thread(target=credential.refresh)
    thread.start()
    until(lambda: rotation.completed)
    auth = KeyAuth(credential)
    assert requests.get(f"{keystead.url}/api", auth=auth, timeout=60).status_code == 200
    assert credential.current() == Secret(rotation.first)
    known.clear()
    known.add(rotation.newest)
    assert requests.get(f"{keystead.url}/api", auth=auth, timeout=60).status_code == 200
    thread.join(30)
    assert credential.current() == Secret(rotation.newest)


def test_after_a_revocation_requests_fail_and_a_person_is_told(keystead, rotation):
    told = []
    rotation.revoke()
    with rotating(keystead, rotation, longest_pause=0.05, on_trouble=told.append) as credential:
        answer = requests.get(f"{keystead.url}/api", auth=KeyAuth(credential), timeout=60)
        assert answer.status_code == 401
        until(lambda: told)
    assert told[0].code == "invalid_token"


class Impatient(threading.Event):
    """Waits for nothing, and hears a refusal meanwhile, as whoever sends a hundred requests a second does."""

    def __init__(self, credential, times):
        super().__init__()
        self.credential, self.times, self.waited = credential, times, []

    def wait(self, timeout=None):
        self.waited.append(timeout)
        self.credential.rejected(self.credential.current())
        if len(self.waited) == self.times:
            self.set()
        return self.is_set()


def test_a_key_that_was_revoked_is_not_asked_about_at_every_refusal(keystead, rotation):
    told = []
    credential = rotating(keystead, rotation, on_trouble=told.append)
    rotation.revoke()
    credential._stopped = Impatient(credential, times=12)
    credential._wake.set()
    credential._follow()
    assert len(told) == 12
    assert credential._stopped.waited[:4] == [0.4, 0.8, 1.6, 3.2]
    assert credential._stopped.waited[-1] == 60


def test_trouble_that_cannot_be_told_ends_no_thread(keystead, rotation):
    """Whoever is told sends a mail, say, and the mail server is away too."""
    told = []

    def tell(error):
        told.append(error)
        raise OSError("no mail today")

    credential = rotating(keystead, rotation, on_trouble=tell)
    rotation.revoke()
    credential._stopped = Impatient(credential, times=3)
    credential._wake.set()
    credential._follow()
    assert [each.code for each in told] == ["invalid_token"] * 3


def test_an_absence_of_a_day_ends_no_thread(keystead, rotation, monkeypatch):
    """A thousand tries, a minute apart: their pauses were doubled until no number held them."""
    credential = rotating(keystead, rotation)
    credential._stopped = Impatient(credential, times=1100)
    monkeypatch.setattr(credential, "refresh", lambda: (_ for _ in ()).throw(Unreachable("away")))
    credential._wake.set()
    credential._follow()
    assert credential._stopped.waited[-1] == 60


def test_what_only_a_person_can_settle_is_raised_and_not_tried_again(keystead, rotation):
    credential = rotating(keystead, rotation)
    rotation.prepare()
    keystead.on("POST /v1/rotation/next", problem("fetch_contested", 403))
    with pytest.raises(Refused) as raised:
        credential.refresh()
    assert raised.value.code == "fetch_contested"
    assert '"token": ""' in credential._store.load()
    assert credential.current() == Secret(rotation.first)


@pytest.mark.parametrize(
    "refusal", [("network_not_allowed", 403), ("self_fetch_not_allowed", 403), ("invalid_token", 401)]
)
def test_a_refusal_between_a_lost_answer_and_the_next_try_makes_no_second_token(keystead, rotation, refusal):
    """A laptop changes its network, say: the answer is lost, and the next try comes from outside."""
    credential = rotating(keystead, rotation)
    rotation.prepare()
    rotation.fail = ["after next"]
    with pytest.raises(Unreachable):
        credential.refresh()
    keystead.on("POST /v1/rotation/next", problem(*refusal))
    with pytest.raises(Refused) as raised:
        credential.refresh()
    assert raised.value.code == refusal[0]
    keystead.on("POST /v1/rotation/next", rotation._guarded("next", rotation._next))
    credential.refresh()
    assert (rotation.completed, credential.current()) == (1, Secret(rotation.newest))


def test_a_token_waits_until_a_fetch_would_be_answered(keystead, rotation):
    """Each refusal of a fetch is on record: whoever may not fetch looks, and does not try."""
    credential = rotating(keystead, rotation)
    rotation.prepare()
    rotation.fail = ["after next"]
    with pytest.raises(Unreachable):
        credential.refresh()
    keystead.on("GET /v1/rotation", (200, {"ready": False, "is_current": True, "check_after": 3600}))
    keystead.on("POST /v1/rotation/next", problem("self_fetch_not_allowed", 403))
    assert credential.refresh() == 3600


_NOTHING = {"ready": False, "is_current": True}


@pytest.mark.parametrize(
    "answer",
    [(200, _NOTHING | {"check_after": told}) for told in (0, -5, "soon", None, 10**400, float("nan"), float("inf"))]
    + [problem("busy_retry", 503, retry_after=told) for told in (0, -5, 10**400, float("nan"), float("inf"))],
    ids=str,
)
def test_a_pause_that_is_none_has_keystead_asked_no_more_often_than_else_and_ends_no_thread(keystead, rotation, answer):
    keystead.on("GET /v1/rotation", answer)
    with rotating(keystead, rotation, longest_pause=float("inf")) as credential:
        until(lambda: keystead.asked)
        assert times_meanwhile(keystead, "/v1/rotation") < 40
        assert credential._thread.is_alive()


BROKEN = {"half of it": '{"seed": "x", "curr', "another shape": "[1]", "other members": '{"x": "ks_prod_secret"}'}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_read_is_said_in_words_and_stops_no_request(keystead, rotation, tmp_path, text):
    path, told = tmp_path / "key", []
    credential = rotating(keystead, rotation, store=FileStore(path), on_trouble=told.append)
    rotation.prepare()
    credential.refresh()
    path.write_text(text)
    assert credential.rejected(Secret(rotation.newest)) == Secret(rotation.first), "what is in memory is still good"
    assert works(keystead, credential.current())
    for again in (credential.refresh, lambda: rotating(keystead, rotation, store=FileStore(path))):
        with pytest.raises(KeysteadError) as raised:
            again()
        assert raised.value.code == "store_unreadable"
        assert raised.value.__cause__ is None
        assert raised.value.__suppress_context__, "what failed quotes what it read"
    path.unlink()
    with pytest.raises(KeysteadError) as raised:
        credential.refresh()
    assert raised.value.code == "store_gone"
    assert works(keystead, credential.current())


class InterruptedStore(MemoryStore):
    """Lets something else happen between a load and what is done with it."""

    def __init__(self):
        super().__init__()
        self.between = None

    def load(self):
        text, between, self.between = super().load(), self.between, None
        if between is not None:
            between()
        return text


def test_a_refusal_that_is_heard_during_a_step_brings_no_earlier_state_back(keystead, rotation):
    store = InterruptedStore()
    credential = rotating(keystead, rotation, store=store)
    rotation.prepare()
    step = threading.Thread(target=credential.refresh)

    def begin():
        step.start()
        step.join(0.3)  # it is over, or waits

    store.between = begin
    assert credential.rejected(Secret("another")) is not None
    step.join()
    assert credential.current() == Secret(rotation.newest)


def test_a_secret_that_was_fetched_by_somebody_else_is_not_passed_over_in_silence(keystead, rotation):
    mine, theirs = rotating(keystead, rotation), rotating(keystead, rotation)
    rotation.prepare()
    theirs.refresh()
    with pytest.raises(Refused) as raised:
        mine.refresh()
    assert raised.value.code == "superseded"
    assert mine.current() == Secret(rotation.first)


def test_a_secret_that_is_no_key_never_replaces_one(keystead, rotation):
    credential = rotating(keystead, rotation)
    rotation.prepare()
    keystead.on("POST /v1/rotation/next", (200, {"secret": "hello", "overlap": "now"}))
    with pytest.raises(Exception, match="not the text of a key"):
        credential.refresh()
    assert credential.current() == Secret(rotation.first)


def test_a_fleet_that_shares_a_file_has_one_fetcher(keystead, rotation, tmp_path):
    fleet = [rotating(keystead, rotation, store=FileStore(tmp_path / "key")) for _ in range(4)]
    rotation.prepare("now")
    threads = [threading.Thread(target=each.refresh) for each in fleet]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rotation.secrets_told) == 1
    assert {each.current().reveal() for each in fleet} == {rotation.newest}


def test_the_other_version_is_offered_to_whoever_was_refused(keystead, rotation):
    credential = rotating(keystead, rotation)
    assert credential.rejected(Secret(rotation.first)) is None
    rotation.prepare()
    credential.refresh()
    assert credential.rejected(Secret(rotation.newest)) == Secret(rotation.first)
    assert credential.rejected(Secret(rotation.first)) == Secret(rotation.newest)


def test_a_body_that_is_made_piece_by_piece_is_sent_once_and_the_refusal_is_what_is_heard(keystead, rotation):
    credential = rotating(keystead, rotation)
    rotation.prepare()
    credential.refresh()
    keystead.on("POST /api", problem("invalid_token", 401))
    pieces = lambda: (piece for piece in (b"a", b"b"))  # noqa: E731
    assert httpx2.post(f"{keystead.url}/api", content=pieces(), auth=HttpxKeyAuth(credential)).status_code == 401
    assert requests.post(f"{keystead.url}/api", data=pieces(), auth=KeyAuth(credential), timeout=60).status_code == 401


def test_a_secret_that_the_operator_gives_anew_begins_anew(keystead, rotation, tmp_path):
    store = FileStore(tmp_path / "key")
    first = rotating(keystead, rotation, store=store)
    rotation.prepare()
    first.refresh()
    assert rotating(keystead, rotation, store=store).current() == Secret(rotation.newest)
    assert rotating(keystead, rotation, store=store, initial=None).current() == Secret(rotation.newest)
    other = mint()
    assert rotating(keystead, rotation, store=store, initial=other).current() == Secret(other)


def test_the_file_is_for_its_owner_alone(tmp_path):
    path = tmp_path / "key"
    store = FileStore(path)
    assert store.load() is None
    store.save(json.dumps({"x": 1}))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with store.exclusive():
        pass
    assert stat.S_IMODE((tmp_path / "key.lock").stat().st_mode) == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["key", "key.lock"]
    path.chmod(0o640)
    with pytest.raises(Unsafe):
        store.load()


def test_a_key_is_not_sent_in_the_clear(keystead, rotation):
    with pytest.raises(Unsafe):
        requests.get("http://api.example.com/", auth=KeyAuth(rotation.first), timeout=1)
    with pytest.raises(Unsafe):
        httpx2.get("http://api.example.com/", auth=HttpxKeyAuth(rotation.first))
