"""Name the addresses at which a command line is signed in and out."""

from __future__ import annotations

from django.urls import path

from portal.oauth.views import device_authorization, revoke, token

urlpatterns = [
    path("device_authorization", device_authorization, name="device_authorization"),
    path("token", token, name="oauth_token"),
    path("revoke", revoke, name="oauth_revoke"),
]
