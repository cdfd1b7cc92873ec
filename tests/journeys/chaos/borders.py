"""Hold whoever writes an event at the border of its transaction, so that the process can be killed right there.

The triggers are the test's own, put on the log by the superuser: the code that is killed knows nothing of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import IntEnum

import psycopg

from tests.audit.processes import wait_until

Superuser = psycopg.Connection[tuple[object, ...]]


class Border(IntEnum):
    """Where a transaction stands when its process is killed."""

    INSIDE = 7001  # written, not committed: all of it is undone
    COMMITTING = 7002  # the commit is under way: it will stand, and nobody will hear of it


_TRIGGERS = f"""
CREATE FUNCTION chaos_border() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(TG_ARGV[0]::int, hashtext(NEW.action));
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_inside AFTER INSERT ON audit_event
    FOR EACH ROW EXECUTE FUNCTION chaos_border('{Border.INSIDE}');
CREATE CONSTRAINT TRIGGER chaos_committing AFTER INSERT ON audit_event DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION chaos_border('{Border.COMMITTING}');
"""
_LEASES = """
UPDATE keys_joblease SET free_at = clock_timestamp() WHERE free_at > clock_timestamp();
UPDATE keys_jobrun SET free_at = clock_timestamp() WHERE ended_at IS NULL;
"""
_AT_THE_BORDER = """
SELECT pid FROM pg_locks
WHERE locktype = 'advisory' AND NOT granted AND classid = %s AND objid::bigint = hashtext(%s)::bigint & 4294967295
"""
# Nothing happens when it is open already, but for a warning of the server's.
_UNLOCK = "SELECT pg_advisory_unlock(%s, hashtext(%s))"


class Borders:
    """The borders of every event of the log; all of them are open unless one is held."""

    def __init__(self, superuser: Superuser) -> None:
        self.superuser = superuser
        superuser.execute(_TRIGGERS)

    @contextmanager
    def held(self, *actions: str, border: Border) -> Iterator[Callable[[str], None]]:
        """Let nobody pass who writes one of `actions`; gives the wait for somebody who stands there."""
        with ExitStack() as open_again:
            for action in actions:
                self._close(action, border)
                open_again.callback(self._open, action, border)
            yield lambda action: wait_until(lambda: bool(self._standing(action, border)))

    def strike(self, *actions: str, cause: Callable[[], object], kill: Callable[[str], object]) -> None:
        """Kill twice for each action in turn: whoever writes it before it is committed, and the next one, while it is."""
        with (
            self.held(*actions, border=Border.COMMITTING) as wait_for_a_commit,
            self.held(*actions, border=Border.INSIDE) as wait_for_a_write,
        ):
            cause()
            for action in actions:
                wait_for_a_write(action)
                kill(action)
                self._open(action, Border.INSIDE)
                wait_for_a_commit(action)
                kill(action)
                self._open(action, Border.COMMITTING)

    def let_leases_pass(self) -> None:
        """Let the half minute pass after which others take over what a dead worker held."""
        self.superuser.execute(_LEASES)

    def _close(self, action: str, border: Border) -> None:
        self.superuser.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", [border, action])

    def _open(self, action: str, border: Border) -> None:
        """Let those who stand there go on: a server process whose client is dead notices it when it wants to answer."""
        standing = self._standing(action, border)
        self.superuser.execute(_UNLOCK, [border, action])
        wait_until(lambda: not self._alive(standing))

    def _standing(self, action: str, border: Border) -> list[int]:
        return [int(str(pid)) for (pid,) in self.superuser.execute(_AT_THE_BORDER, [border, action])]

    def _alive(self, pids: list[int]) -> bool:
        found = self.superuser.execute("SELECT FROM pg_stat_activity WHERE pid = ANY(%s)", [pids])
        return found.fetchone() is not None
