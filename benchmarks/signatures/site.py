"""Be a Django site whose one view makes one look-up in Valkey: its settings, its address and its view, and nothing of ours.

The look-up is the caller's authentication: a token that Valkey does not know gets 401. No middleware, one connection kept.
"""

from __future__ import annotations

import hashlib
import json
import os

import redis
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

DEBUG = False
SECRET_KEY = "a benchmark has none"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "benchmarks.signatures.site"
INSTALLED_APPS: list[str] = []
MIDDLEWARE: list[str] = []
TOKENS = "bench:tokens:"

_valkey = redis.Redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:1/0"))


def check(http: HttpRequest) -> HttpResponse:
    """Answer whoever shows a token that Valkey knows."""
    token = http.headers.get("Authorization", "").removeprefix("Bearer ")
    name = _valkey.get(TOKENS + hashlib.sha256(token.encode()).hexdigest())
    if name is None:
        return HttpResponse(status=401)
    asked = json.loads(http.body)
    return JsonResponse({"valid": True, "caller": str(name), "method": asked["method"]}, json_dumps_params=COMPACT)


COMPACT = {"separators": (",", ":")}
urlpatterns = [path("check", check)]


def __getattr__(name: str) -> object:
    if name == "application":
        return get_wsgi_application()
    raise AttributeError(name)
