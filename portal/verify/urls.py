"""Name the addresses of the data plane that the site serves."""

from __future__ import annotations

from django.urls import path

from portal.verify import clients, uses
from portal.verify.views import described, verify

urlpatterns = [
    path("verify", verify, name="verify"),
    path("jwks", clients.jwks, name="jwks"),
    path("openapi.json", described, name="verify_openapi"),
    path("snapshot", clients.snapshot, name="snapshot"),
    path("verifiers", clients.verifiers, name="verifiers_register"),
    path("verifiers/<uuid:verifier>", clients.stopping, name="verifiers_stop"),
    path("verifiers/<uuid:verifier>/uses", uses.report, name="verifiers_uses"),
    path("verifiers/<uuid:verifier>/lease", clients.renewal, name="verifiers_lease"),
    path("verifiers/<uuid:verifier>/applied", clients.applied, name="verifiers_applied"),
]
