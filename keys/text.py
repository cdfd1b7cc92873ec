"""Accept text that people typed, or refuse it: what a database, a terminal or a reader would trip over stays out."""

from __future__ import annotations

import re
import unicodedata

from keys.errors import Invalid

# Control characters, and the format characters that hide or reorder text (Trojan Source, CVE-2021-42574).
_LINE_BREAKS = {"\n", "\r", "\t"}
_EMAIL = re.compile(r"[^@\s]{1,64}@[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_SLUG = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


def _unseen(character: str, *, multiline: bool) -> bool:
    if character in _LINE_BREAKS:
        return not multiline
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def line(value: str, field: str, *, most: int, least: int = 1) -> str:
    """One visible line of at most `most` characters, NFC, without surrounding blanks."""
    return _clean(value, field, most=most, least=least, multiline=False)


def paragraph(value: str, field: str, *, most: int = 2000, least: int = 0) -> str:
    """Visible text of several lines, at most `most` characters."""
    return _clean(value, field, most=most, least=least, multiline=True)


def _clean(value: str, field: str, *, most: int, least: int, multiline: bool) -> str:
    text = unicodedata.normalize("NFC", value.replace("\r\n", "\n")).strip()
    if any(_unseen(character, multiline=multiline) for character in text):
        raise Invalid.field(field, "unseen_characters")
    if len(text) < least:
        raise Invalid.field(field, "too_short" if text else "required", least=least)
    if len(text) > most:
        raise Invalid.field(field, "too_long", most=most)
    return text


def canonical_email(value: str) -> str:
    """The one spelling by which a person is found: NFKC, case-folded, stripped (one counter, one account)."""
    text = unicodedata.normalize("NFKC", value).casefold().strip()
    if len(text) > 254 or not _EMAIL.fullmatch(text) or any(_unseen(c, multiline=False) for c in text):
        raise Invalid.field("email", "not_an_email")
    return text


def slug(value: str, field: str = "slug") -> str:
    """A name for machines: lower-case words joined by single hyphens, at most 40 characters."""
    text = line(value, field, most=40)
    if not _SLUG.fullmatch(text):
        raise Invalid.field(field, "not_a_slug")
    return text
