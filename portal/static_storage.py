"""Name static files by their content, so they may be cached for ever."""

from pathlib import PurePosixPath

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.exceptions import ImproperlyConfigured
from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedStaticStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # whitenoise has no types
    """Hash and compress, but leave alone the source-map comments of third-party files.

    Those name maps that the packages do not ship; following them would fail the whole collection.
    """

    support_js_module_import_aggregation = False
    patterns = (
        (
            "*.css",
            (
                r"""(?P<matched>url\((?P<quote>['"]{0,1})\s*(?P<url>.*?)(?P=quote)\))""",
                (
                    r"""(?P<matched>@import\s*(?P<quote>['"])\s*(?P<url>.*?)(?P=quote))""",
                    """@import url("%(url)s")""",
                ),
            ),
        ),
    )


def refuse_uncollected_files() -> None:
    """Raise where this production's pages name static files that were not collected: each page would be a 500 without a cause."""
    if not settings.PRODUCTION:
        return
    found = (each for finder in get_finders() for each in finder.list([]))
    # As collectstatic names them; a folder of STATICFILES_DIRS may have a prefix.
    here = {str(PurePosixPath(getattr(storage, "prefix", None) or "", path)) for path, storage in found}
    missing = sorted(here - set(HashedStaticStorage().hashed_files))
    if missing:
        message = (
            f"{len(missing)} of {len(here)} static files of this release are not in {settings.STATIC_ROOT} "
            f"({missing[0]}, ...): run manage.py collectstatic --noinput, which an upgrade needs too."
        )
        raise ImproperlyConfigured(message)
