"""Read JSON values as exactly the type they are written in: DRF would take 7 for "7", "on" for true."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn
from uuid import UUID

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

from portal.api.parameters import read_uuid


class Text(serializers.CharField):
    """A JSON string; blanks are kept for the operation to judge."""

    default_error_messages = {"not_text": "This has to be text."}

    def __init__(self, **kwargs: Any) -> None:  # Any: DRF's options
        kwargs.setdefault("trim_whitespace", False)
        super().__init__(**kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:  # Any: whatever JSON held
        """Refuse what is not text before anything converts it."""
        if data is not serializers.empty and data is not None and not isinstance(data, str):
            self.fail("not_text")
        return super().run_validation(data)


class WholeNumber(serializers.IntegerField):
    """A JSON integer."""

    default_error_messages = {"not_a_whole_number": "This has to be a whole number."}

    def to_internal_value(self, data: Any) -> int:  # Any: whatever JSON held
        """Refuse text and truth values."""
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("not_a_whole_number")
        return super().to_internal_value(data)


class YesNo(serializers.BooleanField):
    """A JSON true or false."""

    default_error_messages = {"not_true_or_false": "This has to be true or false."}

    def to_internal_value(self, data: Any) -> bool:  # Any: whatever JSON held
        """Refuse everything that only looks like it."""
        if not isinstance(data, bool):
            self.fail("not_true_or_false")
        return data


@extend_schema_field({"type": "string", "format": "uuid"})
class Identifier(serializers.Field):  # type: ignore[type-arg]  # DRF's Field is generic in the stubs only
    """The id of a row, in its one spelling."""

    default_error_messages = {"not_an_identifier": "This has to be an identifier."}

    def to_internal_value(self, data: Any) -> UUID:  # Any: whatever JSON held
        """Read it."""
        try:
            return read_uuid(data if isinstance(data, str) else "")
        except ValueError:
            self.fail("not_an_identifier")

    def to_representation(self, value: UUID) -> str:
        """Write it."""
        return str(value)

    def fail(self, key: str, **kwargs: Any) -> NoReturn:  # Any: DRF's parameters
        """Raise, and tell the types so."""
        super().fail(key, **kwargs)
        raise AssertionError


@extend_schema_field({"type": "string", "format": "date-time"})
class Moment(Text):
    """A time with its zone (RFC 3339)."""

    default_error_messages = {"not_a_moment": "This has to be a time with its zone."}

    def to_internal_value(self, data: Any) -> Any:  # Any: whatever JSON held; DRF's types say str
        """Read it."""
        try:
            at = datetime.fromisoformat(super().to_internal_value(data))
            return at.astimezone(UTC) if at.tzinfo is not None and "T" in str(data) else self.fail("not_a_moment")
        except (ValueError, OverflowError):
            self.fail("not_a_moment")


class Texts(serializers.ListField):
    """A JSON list of texts."""

    def __init__(self, *, most: int, longest: int, **kwargs: Any) -> None:  # Any: DRF's options
        super().__init__(child=Text(max_length=longest), max_length=most, **kwargs)

    def to_internal_value(self, data: Any) -> list[Any]:  # Any: whatever JSON held
        """Refuse what can be walked through but is no list."""
        if not isinstance(data, list):
            self.fail("not_a_list", input_type=type(data).__name__)
        return super().to_internal_value(data)


class Body(serializers.Serializer):  # type: ignore[type-arg]  # DRF's Serializer is generic in the stubs only
    """A JSON object whose every member is named here; others are refused."""

    def to_internal_value(self, data: Any) -> Any:  # Any: whatever JSON held
        """Refuse unknown members before reading the known ones."""
        if isinstance(data, Mapping):
            unknown = sorted(str(name)[:80] for name in data.keys() - self.fields.keys())
            if unknown:
                raise serializers.ValidationError(
                    {name: [ErrorDetail("There is no such field.", "unknown_field")] for name in unknown}
                )
        return super().to_internal_value(data)


class Nothing(Body):
    """No members: the operation needs no more than its address."""
