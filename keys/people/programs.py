"""Say which browser or program a User-Agent names, in words for people; it is what the program says of itself, and proves nothing."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext as _

# The first that is found counts: browsers carry the names of those they wish to be taken for behind their own.
_BROWSERS: Final = (
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("HeadlessChrome/", "Chrome"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Darwin", "macOS"),
    ("Linux", "Linux"),
)
_COMMAND_LINE: Final = "keystead-cli ("


def program_words(claimed: str) -> str:
    """Return such as “Firefox on Linux”, or nothing when it is none of the common ones."""
    if claimed.startswith(_COMMAND_LINE):
        program = _("Keystead's command line")
    elif claimed.startswith("Mozilla/5.0 (") and "compatible;" not in claimed:
        program = _first(_BROWSERS, claimed)
    else:
        program = ""
    system = _first(_SYSTEMS, claimed[claimed.find("(") : claimed.find(")")])
    return _("%(program)s on %(system)s") % {"program": program, "system": system} if program and system else program


def _first(names: tuple[tuple[str, str], ...], text: str) -> str:
    return next((name for mark, name in names if mark in text), "")
