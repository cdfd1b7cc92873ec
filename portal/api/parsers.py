"""Read JSON strictly: no repeated names, no NUL, no floats, ten levels and 64 KiB at most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser

from audit.canonical import CanonicalError, parse_strict


class StrictJSONParser(BaseParser):
    """JSON that two readers cannot read differently."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:  # Any: whatever the body holds
        """Return the value, or raise ParseError."""
        charset = (media_type or "").lower().partition("charset=")[2].strip(' "')
        if charset not in ("", "utf-8"):
            raise UnsupportedMediaType(media_type or "")
        body = stream.read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        if len(body) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise RequestDataTooBig
        try:
            return parse_strict(body)
        except CanonicalError as error:
            raise ParseError(f"This is not strict JSON: {error}.") from error
