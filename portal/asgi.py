"""Serve the site by ASGI, for servers that speak nothing else."""

import os

from django.core.asgi import get_asgi_application

from portal.checks import refuse_unsafe_production
from portal.static_storage import refuse_uncollected_files

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
application = get_asgi_application()
refuse_unsafe_production()
refuse_uncollected_files()
