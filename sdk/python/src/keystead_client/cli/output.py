"""Write for people in columns, for programs in JSON; secrets on stdout or into a private file, never both, never elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keystead_client.errors import Unsafe
from keystead_client.secret import Secret
from keystead_client.stores import write_privately


def show(value: Any, *, as_json: bool, columns: Sequence[str] = ()) -> None:  # Any: whatever the API answered
    """Print rows or one thing."""
    if as_json:
        print(json.dumps(value, indent=2, ensure_ascii=False))
    elif isinstance(value, list):
        _table(value, columns)
    elif isinstance(value, Mapping):
        for name in columns or list(value):
            print(f"{name.replace('_', ' '):<18} {cell(value.get(name))}")
    else:
        print(value)


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    cells = [[cell(row.get(name)) for name in columns] for row in rows]
    widths = [max(len(name), *(len(line[place]) for line in cells), 0) for place, name in enumerate(columns)]
    for line in [[name.replace("_", " ") for name in columns], *cells]:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def cell(value: Any) -> str:  # Any: whatever the API answered
    """Write one value. Control characters are shown, not sent to the terminal."""
    if value is None or value in ("", []):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{cell(name.replace('_', ' '))} {cell(each)}" for name, each in value.items())
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def hand_over(secret: Secret, *, into: str) -> None:
    """Write a secret to stdout, or to a new file with mode 0600."""
    if into in ("", "-"):
        print(secret.reveal())
        return
    path = Path(into)
    if path.exists():
        raise Unsafe(f"{path} exists; a secret is not written over anything.")
    write_privately(path, secret.reveal() + "\n")
    print(f"Written to {path}, readable by you alone.", file=sys.stderr)
