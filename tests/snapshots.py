"""Read what Keystead hands out as a snapshot, without asking its signature."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from typing import Any

from keys.verification.programs.sharing import MAGIC, RECORD

SIGNATURE = 64  # bytes at the end


def as_records(content: bytes) -> tuple[Mapping[str, Any], Iterable[tuple[Any, ...]]]:
    """Its header, and its records."""
    (length,) = struct.unpack_from("<I", content, len(MAGIC))
    start = len(MAGIC) + 4
    return json.loads(content[start : start + length]), RECORD.iter_unpack(content[start + length : -SIGNATURE])
