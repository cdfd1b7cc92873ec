"""Say in words what a bundle holds, what it proves and what it does not: a page for people, and the file they read first."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from audit.exporters.bundle import BundleManifest

_COMPLETE = (
    "Every event of the log in this range is here, and unchanged: nothing between the first and the last is missing."
)
_PRESENT = (
    "Every event here is in the log, unchanged. That these are all that the search should have found is not proved: "
    "for that, ask for a whole range."
)
NOT_PROVED = (
    "That an event tells the truth, and that everything that happened was recorded, no log can prove. Whether this bundle is "
    "genuine is not known by looking at it: verify it."
)
HOW = (
    "Take verify.py and the log's public key from where you kept them, not from this bundle: whoever could forge the "
    "bundle could forge them too. Any Python from 3.11 on, nothing to install:"
)
COMMAND = "python verify.py bundle BUNDLE.zip --key log.vkey"
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;"
    "border-bottom:1px solid #d0d7de;overflow-wrap:anywhere}th{width:14rem;font-weight:600}code{font-family:ui-monospace,monospace}"
    "@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th,td{border-color:#30363d}}"
)


def facts(manifest: BundleManifest) -> list[tuple[str, str]]:
    """Return what the summary tells, line by line."""
    told = [
        ("Log", manifest.origin),
        ("Proves", claim(manifest)),
        ("Events", f"{manifest.rows}"),
        ("Leaves", f"{manifest.from_leaf} up to and without {manifest.upto_leaf}"),
        ("First, last", f"{manifest.first_at} - {manifest.last_at}"),
        ("Checkpoint", f"{manifest.size} leaves, root {manifest.root}"),
        ("Exported by", manifest.exported_by),
        ("Exported at", manifest.exported_at.isoformat()),
        (
            "Private parts",
            "included: names, addresses and free text of people" if manifest.with_private else "left out",
        ),
    ]
    return told + [(f"Search: {name}", value) for name, value in sorted(manifest.searched.items())]


def claim(manifest: BundleManifest) -> str:
    """Return what the bundle proves, in a sentence."""
    return _COMPLETE if manifest.proves == "completeness" else _PRESENT


def summary(manifest: BundleManifest) -> bytes:
    """Return a page that needs nothing beside it: no script, no font, no address."""
    rows = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts(manifest)
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Evidence from {escape(manifest.origin)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>Evidence from the audit log</h1><table>{rows}</table><h2>What it does not prove</h2><p>{escape(NOT_PROVED)}</p>"
        f"<h2>Verify it</h2><p>{escape(HOW)}</p><p><code>{escape(COMMAND)}</code></p></main></body></html>\n"
    ).encode()


def readme(manifest: BundleManifest) -> bytes:
    """Return the file to read first."""
    told = "\n".join(f"{name}: {value}" for name, value in facts(manifest))
    return f"""Evidence from the audit log of Keystead

{told}

Not proved: {NOT_PROVED}

Verify: {HOW}

    {COMMAND}

manifest.json      what is here: the SHA-256, bytes and rows of every file
events.jsonl       the events, each the exact bytes that were hashed into the log
support.jsonl      of a range: earlier events that its approvals are proved with, such as enrolments
proof.txt          the subtrees between them; events and subtrees give the root
checkpoint         the root, signed by the log, with what witnesses signed under it
export.json        the log's own event of this export, with the SHA-256 of manifest.json
export.tlog-proof  that this event is in the log, signed by the log: nobody else can sign a manifest
export.growth      that the log with that event grew out of the one in checkpoint
report.csv         the events as a table; no cell is a formula
log.vkey           the log's public key, to compare with the one you kept
verify.py          the program, to compare with the one you kept
""".encode()
