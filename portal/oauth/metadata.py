"""Tell clients where the doors are and what they do (RFC 8414; RFC 8628, section 4), for those that ask and are not told."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from keys.people.device_sign_ins import token_period

DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"


@csrf_exempt  # nothing changes here, and whoever tries is told that, not of a missing token
@require_safe
def authorization_server(http: HttpRequest) -> JsonResponse:
    """Name what is offered at this moment: where the operator signs no device in, there is no address to begin at."""
    site = settings.KEYSTEAD_PUBLIC_URL
    offered: dict[str, Any] = {  # Any: names, and lists of them
        "issuer": site,
        "token_endpoint": site + reverse("oauth_token"),
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint": site + reverse("oauth_revoke"),
        "revocation_endpoint_auth_methods_supported": ["none"],
        "response_types_supported": [],  # nobody is sent back to an address here
        "grant_types_supported": [],
    }
    if token_period():
        offered["device_authorization_endpoint"] = site + reverse("device_authorization")
        offered["grant_types_supported"] = [DEVICE_GRANT]
    return JsonResponse(offered)
