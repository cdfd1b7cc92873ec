"""Say how one part of the site is: what the health page, `/status` and alarms read."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise


@dataclass(frozen=True, kw_only=True)
class Part:
    """How one part is: `ok`, and a word why not."""

    name: str
    label: str | Promise
    ok: bool
    reason: str = ""
    detail: str = ""
