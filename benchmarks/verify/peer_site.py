"""Be a Django site that protects one view with another package: `PEER` names it. Also its own settings and addresses.

Pared down to what the package needs, unless `PEER_AS_NEW` says that it is as `startproject` makes one.
"""

from __future__ import annotations

import os
from typing import Any

from django.core.wsgi import get_wsgi_application
from django.urls import path

PEER = os.environ.get("PEER", "")
APPS = {
    "djangorestframework-api-key": ["rest_framework", "rest_framework_api_key"],
    "django-rest-knox": ["rest_framework", "knox"],
    "django-oauth-toolkit": ["oauth2_provider"],
}
DEBUG = False
SECRET_KEY = "a benchmark has none"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "benchmarks.verify.peer_site"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AS_NEW = bool(os.environ.get("PEER_AS_NEW"))
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", *APPS.get(PEER, [])]
MIDDLEWARE: list[str] = []
if AS_NEW:
    INSTALLED_APPS += ["django.contrib.sessions", "django.contrib.messages"]
    MIDDLEWARE = [
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ]
_place = dict(part.split("=", 1) for part in os.environ.get("PEER_DATABASE", "").split())
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _place.get("dbname", ""),
        "USER": _place.get("user", ""),
        "HOST": _place.get("host", ""),
        "CONN_MAX_AGE": 0 if AS_NEW else None,  # a connection for each request, or the fastest that Django offers
    }
}


def _urls() -> list[Any]:
    """Build the one view when Django asks for the addresses: the packages may be imported only then."""
    if PEER == "django-oauth-toolkit":
        from oauth2_provider.views import IntrospectTokenView

        return [path("check", IntrospectTokenView.as_view())]
    from rest_framework.decorators import api_view, authentication_classes, permission_classes
    from rest_framework.permissions import IsAuthenticated
    from rest_framework.response import Response

    if PEER == "django-rest-knox":
        from knox.auth import TokenAuthentication

        who, may = [TokenAuthentication], [IsAuthenticated]
    else:
        from rest_framework_api_key.permissions import HasAPIKey

        who, may = [], [HasAPIKey]

    @api_view(["POST"])
    @authentication_classes(who)
    @permission_classes(may)
    def check(_request: Any) -> Any:  # Any: the packages' own types
        return Response({"valid": True})

    return [path("check", check)]


def __getattr__(name: str) -> Any:  # Any: a module's attribute
    if name == "urlpatterns":
        return _urls()
    if name == "application":
        return get_wsgi_application()
    raise AttributeError(name)
