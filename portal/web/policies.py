"""Show proposals that would weaken production, old beside new, and let a second administrator decide."""

from __future__ import annotations
