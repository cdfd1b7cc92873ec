"""Be Django's session engine over hashed keys: limits by the database's clock, no life after the end."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends.base import SessionBase, UpdateError

from keys.errors import Conflict
from keys.models import Session
from keys.people import session_table


class SessionStore(SessionBase):
    """One browser's session. `row` holds what decides; the dictionary holds what Django and messages keep."""

    row: Session | None = None
    has_new_key = False

    def current(self) -> Session | None:
        """Return the living row of this session, or None."""
        self._get_session()  # type: ignore[attr-defined]  # the base class loads on first use
        return self.row

    def load(self) -> dict[str, Any]:
        """Find the session; a key that is unknown, idle or old is no key."""
        self.row = session_table.find_session(self.session_key or "")
        if self.row is None:
            self._session_key = None
            return {}
        if self.row.must_rotate:
            self._new_key()
        return self.decode(self.row.content) if self.row.content else {}

    def exists(self, session_key: str | None = None) -> bool:
        """Say whether a key opens a living session."""
        return session_table.find_session(session_key or "") is not None

    def create(self) -> None:
        """Begin a session of nobody."""
        self._session_key = session_table.new_session_key()
        self.save(must_create=True)
        self.modified = True

    def save(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002 - Django's signature
        """Keep the dictionary. A session that ended meanwhile stays ended."""
        if self.session_key is None:
            self.create()
            return
        content = self.encode(self._get_session(no_load=must_create))  # type: ignore[attr-defined]  # see current
        if must_create:
            self.row = session_table.open_session(self.session_key, content)
        elif not session_table.write_content(self.session_key, content):
            raise UpdateError

    def delete(self, session_key: str | None = None) -> None:
        """End the session."""
        key = session_key or self.session_key
        if key is not None:
            session_table.delete_session(key)
        self.row = None

    def cycle_key(self) -> None:
        """Give the same session a new key; the old one is void at once."""
        self.rotate()

    def rotate(self, **columns: Any) -> Session:
        """Give this session a new key and change columns of its row with it (Any: columns differ in type)."""
        row = self.current()
        if row is None:
            self.create()
            row = self.row
        if row is None or not self._new_key(**columns):
            raise Conflict("session_changed")
        return row

    def _new_key(self, **columns: Any) -> bool:
        key = session_table.new_session_key()
        if self.row is None or not session_table.rotate_session(self.row, key, **columns):
            return False
        self._session_key = key
        self.modified = self.has_new_key = True
        return True

    @classmethod
    def clear_expired(cls) -> None:
        """Forget what nobody can use any more."""
        session_table.forget_dead_sessions()
