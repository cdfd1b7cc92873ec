"""Make the archive store that the settings name."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from audit.archives.base import ArchiveStore
from audit.archives.folder import FolderStore


def archive_store(folder: str = "") -> ArchiveStore:
    """Return the store of KEYSTEAD_ARCHIVE, or a folder that somebody named."""
    if folder:
        return FolderStore(Path(folder))
    try:
        plug = cast("type[ArchiveStore]", import_string(settings.KEYSTEAD_ARCHIVE))
    except ImportError as error:  # a slip of the pen, or the package of an object store is not installed
        message = f"KEYSTEAD_ARCHIVE cannot be used: {error}"
        raise ImproperlyConfigured(message) from error
    return plug.from_settings(settings.KEYSTEAD_ARCHIVE_OPTIONS)
