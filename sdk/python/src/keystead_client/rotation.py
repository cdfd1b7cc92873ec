"""Hold a secret that replaces itself: fetch the next version with the old one, activate it, swap, without a failed request.

Every step is stored before it is acted upon, so that a crash in any of them loses nothing:

    GET ready -> store a token -> POST next -> store the next secret -> POST activate -> store it as the current one
"""

from __future__ import annotations

import json
import logging
import random
import secrets
import ssl
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Self

from keystead_client.errors import Busy, KeysteadError, Refused, Unreachable
from keystead_client.key_text import kid_of, parse
from keystead_client.secret import Secret, as_secret
from keystead_client.stores import MemoryStore, Store
from keystead_client.transport import Transport, raise_for

_log: Final = logging.getLogger("keystead_client")
_SOON: Final = 1.0
_AT_ONCE: Final = 0.2
_LONGEST: Final = 366 * 24 * 3600.0
# Until every verifier knows the new version: their leases are at most this long, as a rule three seconds.
_SETTLING: Final = 4.0
# Any other no says nothing of the token: it may have brought a secret whose answer was lost, and a second token is an alarm.
_ENDS_THE_TRY: Final = ("already_activated", "rotation_not_due", "no_rotation", "fetched_by_another", "fetch_contested")


@dataclass(frozen=True, kw_only=True, repr=False)
class Held:
    """What is stored. `seed` is the kid that the operator gave: another one there later means a fresh start."""

    seed: str
    current: str
    previous: str = ""
    token: str = ""
    next: str = ""
    at_once: bool = False


class RotatingCredential:
    """A credential that survives rotations. Thread-safe. Use it wherever a credential is asked for.

    `initial` is the secret as it was claimed; it is used until the store holds a later one. `start()` follows rotations in
    a thread of its own; or call `refresh()` yourself, from time to time. `on_trouble` is told what a person must settle.

    In seconds: `timeout`, that Keystead may be silent; `settling`, between activation and swap, in which every verifier learns
    of the new version; `longest_pause`, after which it looks again at the latest.
    """

    def __init__(
        self,
        url: str,
        *,
        initial: str | Secret | None = None,
        store: Store | None = None,
        timeout: float = 5.0,
        settling: float = _SETTLING,
        longest_pause: float = 3600.0,
        on_trouble: Callable[[KeysteadError], None] | None = None,
        tls: ssl.SSLContext | None = None,
        allow_plain_http: bool = False,
    ) -> None:
        self._transport = Transport(url, timeout=timeout, connections=1, tls=tls, allow_plain_http=allow_plain_http)
        self._store = store if store is not None else MemoryStore()
        self._settling, self._longest_pause = settling, longest_pause
        self._on_trouble = on_trouble or _warn
        self._wake, self._stopped, self._refused = threading.Event(), threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._keeping = threading.Lock()  # what is held and what is stored change together, and nobody reads in between
        with self._store.exclusive():
            self._held = self._loaded(as_secret(initial) if initial else None)

    def current(self) -> Secret:
        """Return the secret to present now."""
        return Secret(self._held.current)

    def rejected(self, secret: Secret) -> Secret | None:
        """Hear that a service answered 401 to `secret`; return another one to try, once, if there is one.

        Around a swap, a verifier may not know the new version yet, or not the old one any more.
        """
        self._wake.set()
        self._refused.set()
        try:
            with self._keeping:
                self._held = self._stored() or self._held  # another process that shares it may have gone on
        except Exception as error:  # noqa: BLE001 - whoever was refused gets that answer, and `refresh` says what is wrong here
            _log.debug("nothing could be loaded: %s", type(error).__name__)
        held = self._held
        # The next one is among them: between the answer to its activation and its place in the store it may be all there is.
        others = [text for text in (held.next, held.current, held.previous) if text and text != secret.reveal()]
        return Secret(others[0]) if others else None

    def refresh(self) -> float:
        """Take whatever step of a rotation can be taken now; return after how many seconds to call again.

        Raises Refused when only a person can help, Unreachable or Busy when it should be tried again soon.
        """
        with self._store.exclusive():
            with self._keeping:
                held = self._stored()  # another process may have gone on
                if held is None:
                    words = "what was stored is gone: this process has the secret, and one that starts now would not"
                    raise KeysteadError(words, code="store_gone")
                self._held = held
            if self._held.next:
                self._activate()
            said = self._get()
            if said.get("is_current") is False:
                # Nothing of ours fetched it: a person claimed it and has to give it to us, or somebody else has our secret.
                raise Refused("a newer secret of this key works, and this client was not given it", code="superseded")
            if not said["ready"]:
                return _seconds(said["check_after"])
            if not self._held.token:
                self._keep(token=secrets.token_urlsafe(24))
            return self._fetch()

    def start(self) -> Self:
        """Follow rotations in the background until `close`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, name="keystead-rotation", daemon=True)
            self._thread.start()
        return self

    def close(self) -> None:
        """Stop following. What is stored stays."""
        self._stopped.set()
        self._wake.set()
        self._refused.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
        self._transport.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fetch(self) -> float:
        """Fetch the next secret under the stored token, store it, activate it."""
        try:
            answer = self._post("next", self._held.current, token=self._held.token)
        except Refused as refused:
            if refused.code in _ENDS_THE_TRY:
                self._keep(token="")
            if refused.code in ("rotation_not_due", "no_rotation", "already_activated"):
                return _seconds(refused.try_after)
            raise
        fetched = str(answer["secret"])
        parse(fetched)  # what is no key must not replace one
        self._keep(next=fetched, at_once=answer.get("overlap") == "now")
        self._activate()
        return _SOON

    def _activate(self) -> None:
        """Activate the stored next secret and swap. Nothing that is not stored is ever activated."""
        held = self._held
        self._refused.clear()
        try:
            self._post("activate", held.next)
        except Busy:
            raise
        except Refused as refused:
            if refused.status == 401 or refused.code == "nothing_to_activate":
                self._keep(next="", at_once=False)  # it is dead; the same token brings another
                return
            raise
        # With an overlap the old one verifies too: let every verifier learn of the new one. Without, a verifier that has not
        # heard of this takes the old one, and one that has refuses it and takes the other: so the old one is presented first.
        (self._refused if held.at_once else self._stopped).wait(self._settling)
        self._keep(current=held.next, previous=held.current, next="", token="", at_once=False)
        _log.info("the key rotated: %s follows %s", kid_of(held.next), kid_of(held.current))

    def _get(self) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._held.current}"}
        reply = self._transport.request("GET", "/v1/rotation", headers=headers)
        raise_for(reply)
        answer: dict[str, Any] = reply.json()
        return answer

    def _post(self, step: str, secret: str, *, token: str = "") -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        if token:
            headers["Idempotency-Key"] = token
        reply = self._transport.request("POST", f"/v1/rotation/{step}", headers=headers, body=b"{}", timeout=30)
        raise_for(reply)
        answer: dict[str, Any] = reply.json()
        return answer

    def _stored(self) -> Held | None:
        text = self._store.load()
        try:
            return Held(**json.loads(text)) if text else None
        except (TypeError, ValueError):
            words = "what is stored is no rotating credential: remove it, and give a secret that works as `initial`"
            raise KeysteadError(words, code="store_unreadable") from None  # what failed quotes what it read

    def _loaded(self, initial: Secret | None) -> Held:
        held = self._stored()
        if initial is None:
            if held is None:
                raise ValueError("nothing is stored yet: give the secret as it was claimed, as `initial`")
            return held
        seed = parse(initial).kid
        if held is not None and held.seed == seed:
            return held
        held = Held(seed=seed, current=initial.reveal())
        self._store.save(json.dumps(asdict(held)))
        return held

    def _keep(self, **changes: Any) -> None:
        with self._keeping:
            held = replace(self._held, **changes)
            self._store.save(json.dumps(asdict(held)))
            self._held = held

    def _tell(self, error: KeysteadError) -> None:
        try:
            self._on_trouble(error)
        except Exception as unheard:  # noqa: BLE001 - it is somebody else's, and may be in trouble for the same reason
            _log.error("nobody was told of trouble: %s", type(unheard).__name__)
            _warn(error)

    def _follow(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            try:
                pause = self.refresh()
                failures = 0
            except (Busy, Unreachable) as error:
                failures += 1
                said = error.try_after if isinstance(error, Busy) else None
                pause = _seconds(said, otherwise=min(_SOON * 2 ** min(failures, 20), 60.0))
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever an answer holds
                failures += 1
                pause = 60.0 * failures
                self._tell(error if isinstance(error, KeysteadError) else KeysteadError(f"{type(error).__name__}"))
            # A little disorder, so that a thousand clients do not knock at once.
            self._wake.wait(min(pause, self._longest_pause) * random.uniform(0.9, 1.1))  # noqa: S311 - no secret hangs on it
            if self._wake.is_set() and not self._stopped.is_set():
                self._wake.clear()
                # Many threads hear 401 at once, and of a key that was revoked they hear nothing else: one look is enough.
                self._stopped.wait(min(_AT_ONCE * 2 ** min(failures, 20), 60.0))


def _seconds(told: object, *, otherwise: float = 60.0) -> float:
    """Take the pause that was told. What is none would have Keystead asked without end, or end the thread that asks."""
    if not isinstance(told, int | float) or not told > 0:
        return otherwise
    return float(min(max(told, _SOON), _LONGEST))


def _warn(error: KeysteadError) -> None:
    _log.error("the key cannot rotate by itself: %s (%s)", error, error.code)
