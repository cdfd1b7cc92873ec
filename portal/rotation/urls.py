"""Name the addresses at which a client replaces its own secret."""

from __future__ import annotations

from django.urls import path

from portal.rotation.views import activate, fetch, see

urlpatterns = [
    path("rotation", see, name="own_rotation"),
    path("rotation/next", fetch, name="fetch_next"),
    path("rotation/activate", activate, name="activate_fetched"),
]
