"""Serve the site by WSGI (gunicorn, threads)."""

import os

from django.core.wsgi import get_wsgi_application

from portal.checks import refuse_unsafe_production
from portal.static_storage import refuse_uncollected_files

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
application = get_wsgi_application()
refuse_unsafe_production()
refuse_uncollected_files()
