"""Write the summary of a bundle as a PDF: what it holds, counted, under which head of the log, and what is not proved.

The fonts are those that come with the library, Latin letters only. What they cannot draw is written as its code point, so
that a name in any script is told exactly, if not beautifully, and no PDF fails because of a name.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Final

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, LongTable, Paragraph, SimpleDocTemplate, Spacer, TableStyle

from audit.exporters import summary
from audit.exporters.tally import Tally
from audit.notes import Note

if TYPE_CHECKING:
    from audit.exporters.bundle import BundleManifest

PDF_FILE: Final = "summary.pdf"
# A catalogue of events is not longer; what is more is told as a number.
_MOST_LINES: Final = 300
_LONGEST: Final = 2_000
_PLAIN, _BOLD, _CODE = "KeysteadPlain", "KeysteadBold", "Courier"
_GREY: Final = colors.HexColor("#57606a")
_LINE: Final = colors.HexColor("#d0d7de")


@cache
def _drawable() -> frozenset[int]:
    """Load the fonts once a process; return the characters that both of them draw."""
    plain, bold = TTFont(_PLAIN, "Vera.ttf"), TTFont(_BOLD, "VeraBd.ttf")
    for font in (plain, bold):
        pdfmetrics.registerFont(font)
    return frozenset(plain.face.charToGlyph) & frozenset(bold.face.charToGlyph)


def drawable(text: str) -> str:
    """Return `text` with each character that the fonts lack as its code point, and no longer than a page can bear."""
    known = _drawable()
    drawn = "".join(
        each if ord(each) in known and each.isprintable() else f"[U+{ord(each):04X}]" for each in text[:_LONGEST]
    )
    return drawn if len(text) <= _LONGEST and len(drawn) <= _LONGEST else f"{drawn[:_LONGEST]} ..."


def summary_pdf(manifest: BundleManifest, tally: Tally, *, note: str) -> bytes:
    """Return the PDF; its size depends on how many kinds of events there were, and not on how many events."""
    _drawable()
    styles = _styles()
    story: list[Flowable] = [
        Paragraph("Evidence from the audit log", styles["title"]),
        Paragraph(
            _text(f"What {manifest.exported_by} took out of {manifest.origin}, counted while it was written."),
            styles["lede"],
        ),
        _table(summary.facts(manifest) + [("Signed by", each) for each in _signers(note)], styles),
    ]
    for heading, counted in (
        ("Actions", tally.actions),
        ("Outcomes", tally.outcomes),
        ("Kinds of actors", tally.actors),
    ):
        story += [Paragraph(heading, styles["heading"]), _table(_counted(counted), styles, numbers=True)]
    story += [
        Paragraph("What it proves", styles["heading"]),
        Paragraph(_text(summary.claim(manifest)), styles["text"]),
        Paragraph("What it does not prove", styles["heading"]),
        Paragraph(_text(summary.NOT_PROVED), styles["text"]),
        Paragraph("Verify it", styles["heading"]),
        Paragraph(_text(summary.HOW), styles["text"]),
        Paragraph(_text(summary.COMMAND), styles["code"]),
        Spacer(1, 4 * mm),
        Paragraph("This page is a summary. The events, the proofs and the signed manifest beside it are the evidence.", styles["lede"]),
    ]  # fmt: skip
    into = io.BytesIO()
    page = SimpleDocTemplate(
        into,
        pagesize=A4,
        leftMargin=18 * mm,
        rightMargin=18 * mm,
        topMargin=18 * mm,
        bottomMargin=18 * mm,
        title="Evidence from the audit log",
        author="Keystead",
        lang="en",
        invariant=1,  # the same bundle gives the same bytes
    )
    page.build(story)
    return into.getvalue()


def _text(text: str) -> str:
    """Return `text` for a paragraph: no mark-up of whoever wrote it, and only what can be drawn."""
    return escape(drawable(text), quote=False)


def _signers(note: str) -> list[str]:
    """Return name and key id of everybody who signed the head: the log first, then witnesses."""
    return [f"{each.name}, key {each.key_id.hex()}" for each in Note.parse(note).signatures]


def _counted(counted: Counter[str]) -> list[tuple[str, str]]:
    lines = [(name, f"{number}") for name, number in sorted(counted.items(), key=lambda item: (-item[1], item[0]))]
    left = lines[_MOST_LINES:]
    return lines[:_MOST_LINES] + ([("further kinds", f"{len(left)}")] if left else [])


def _table(lines: Sequence[tuple[str, str]], styles: dict[str, ParagraphStyle], *, numbers: bool = False) -> Flowable:
    if not lines:
        return Paragraph("none", styles["text"])
    widths = (120 * mm, 50 * mm) if numbers else (38 * mm, 132 * mm)
    value = styles["number" if numbers else "text"]
    rows = [
        [Paragraph(_text(name), styles["text" if numbers else "name"]), Paragraph(_text(told), value)]
        for name, told in lines
    ]
    ruled = TableStyle([("LINEBELOW", (0, 0), (-1, -1), 0.4, _LINE), ("VALIGN", (0, 0), (-1, -1), "TOP")])
    return LongTable(rows, colWidths=widths, style=ruled, hAlign="LEFT")


def _styles() -> dict[str, ParagraphStyle]:
    text = ParagraphStyle("text", fontName=_PLAIN, fontSize=9, leading=13, splitLongWords=True)
    return {
        "text": text,
        "title": ParagraphStyle("title", parent=text, fontName=_BOLD, fontSize=18, leading=24),
        "heading": ParagraphStyle(
            "heading", parent=text, fontName=_BOLD, fontSize=11, leading=15, spaceBefore=8 * mm, spaceAfter=mm, keepWithNext=1
        ),
        "lede": ParagraphStyle("lede", parent=text, textColor=_GREY, spaceAfter=4 * mm),
        "name": ParagraphStyle("name", parent=text, fontName=_BOLD),
        "number": ParagraphStyle("number", parent=text, alignment=2),
        "code": ParagraphStyle("code", parent=text, fontName=_CODE, spaceBefore=2 * mm),
    }  # fmt: skip
