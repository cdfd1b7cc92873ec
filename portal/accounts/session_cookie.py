"""Send a new session key to the browser whatever the answer: a key that changed before a 503 must not sign anybody out."""

from __future__ import annotations

from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse

from portal.accounts.session_store import SessionStore


class SessionCookie(SessionMiddleware):
    """Django's session middleware, which forgets the cookie of a session whose answer is a 5xx."""

    def process_response(self, http: HttpRequest, answer: HttpResponse) -> HttpResponse:
        """Set the cookie also on a 5xx when this request changed the key."""
        answer = super().process_response(http, answer)
        session = http.session
        if answer.status_code >= 500 and isinstance(session, SessionStore) and session.has_new_key:
            answer.set_cookie(
                settings.SESSION_COOKIE_NAME,
                session.session_key or "",
                max_age=session.get_expiry_age(),
                path=settings.SESSION_COOKIE_PATH,
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
                samesite="Lax",
            )
        return answer
