"""Make a peer's tables and keys, and print the keys as JSON: `python -m benchmarks.verify.peer_keys 1000`."""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta

import django
from django.core.management import call_command

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402 - after the setup above
from django.utils import timezone  # noqa: E402 - as above


def main() -> None:
    """Make as many keys as was asked for."""
    call_command("migrate", verbosity=0)
    count, peer = int(sys.argv[1]), os.environ["PEER"]
    user = get_user_model().objects.create(username="client")
    if peer == "djangorestframework-api-key":
        from rest_framework_api_key.models import APIKey

        keys = [APIKey.objects.create_key(name=f"key {number}")[1] for number in range(count)]
    elif peer == "django-rest-knox":
        from knox.models import AuthToken

        keys = [AuthToken.objects.create(user)[1] for _ in range(count)]
    else:
        from oauth2_provider.models import AccessToken, Application

        application = Application.objects.create(
            name="a", user=user, client_type="confidential", authorization_grant_type="client-credentials"
        )
        until = timezone.now() + timedelta(days=1)
        keys = [f"token-{number}" for number in range(count)]
        for key, scope in [*((key, "read") for key in keys), ("asker", "introspection")]:
            AccessToken.objects.create(user=user, application=application, token=key, expires=until, scope=scope)
        keys.append("asker")
    print(json.dumps(keys))


if __name__ == "__main__":
    main()
