"""Name the addresses of the data plane."""

from __future__ import annotations

from django.urls import path

from portal.verify.views import verify

urlpatterns = [path("verify", verify, name="verify")]
