"""Find Keystead's keys in files, folders and git changes, offline: by their shape and their check, so that nothing else is found."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keystead_client.errors import KeysteadError
from keystead_client.key_text import digest, find_keys

_CHUNK: Final = 4 * 1024 * 1024
_OVERLAP: Final = 128  # longer than any key with its borders


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A key that lies where it can be read. It holds what is public of it and its digest, never the key."""

    source: str
    line: int
    environment: str
    kid: str
    digest: str

    @property
    def prefix(self) -> str:
        """The public beginning of the key."""
        return f"ks_{self.environment}_{self.kid}"


def scan_text(text: str, *, source: str, first_line: int = 1) -> Iterator[Finding]:
    """Find keys in a text."""
    line, counted = first_line, 0
    for found in find_keys(text):
        line += text.count("\n", counted, found.start)
        counted = found.start
        yield Finding(
            source=source,
            line=line,
            environment=found.parsed.environment,
            kid=found.parsed.kid,
            digest=digest(text[found.start : found.end]).hex(),
        )


def scan_paths(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Finding]:
    """Find keys in files and, through all their folders, in folders. Links are not followed, and `.git` is not entered."""
    for path in map(Path, paths):
        if path.is_dir() and not path.is_symlink():
            for folder, folders, names in os.walk(path):
                folders[:] = sorted(name for name in folders if name != ".git")
                for name in sorted(names):
                    file = Path(folder, name)
                    if file.is_file() and not file.is_symlink():
                        yield from _scan_file(file)
        elif path.exists():
            yield from _scan_file(path)
        else:
            raise KeysteadError(f"There is no {path}.", code="no_such_file")


def _scan_file(path: Path) -> Iterator[Finding]:
    """Read a file of any kind and size. Latin-1 maps every byte, so a key inside a binary is found too."""
    try:
        with path.open("rb") as file:
            line, rest = 1, ""
            while chunk := file.read(_CHUNK):
                text = rest + chunk.decode("latin-1")
                last = len(chunk) < _CHUNK
                # A key that may go on in the next chunk is left to it.
                end = len(text) if last else len(text) - _OVERLAP
                reach = next((each.start for each in find_keys(text) if each.end > end), end)
                yield from scan_text(text[:reach], source=str(path), first_line=line)
                line += text.count("\n", 0, reach)
                rest = text[reach:]
            yield from scan_text(rest, source=str(path), first_line=line)
    except PermissionError as error:
        raise KeysteadError(f"{path} cannot be read.", code="unreadable_file") from error


def scan_git(*, commits: str = "", staged: bool = False, folder: str | os.PathLike[str] = ".") -> Iterator[Finding]:
    """Find keys in the lines that commits add (a range such as `main..HEAD`), or that are staged."""
    shape = [
        "--unified=0",
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        "--text",
        "--src-prefix=a/",
        "--dst-prefix=b/",
    ]
    if staged:
        command = ["git", "diff", "--cached", *shape]
    else:
        if commits.startswith("-"):
            raise KeysteadError("A range of commits does not begin with a dash.", code="bad_range")
        command = ["git", "log", "--patch", "--format=commit %H", *shape, commits or "HEAD", "--"]
    done = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.stdout is not None
    assert done.stderr is not None
    with done.stdout, done.stderr:
        yield from _scan_diff(line.decode("latin-1").rstrip("\r\n") for line in done.stdout)
        words = done.stderr.read().decode("utf-8", "replace").strip()
    if done.wait() != 0:
        raise KeysteadError(f"git refused: {words}", code="git_failed")


def _scan_diff(lines: Iterable[str]) -> Iterator[Finding]:
    commit, name, line, in_hunk = "", "", 0, False
    for text in lines:
        if in_hunk and text.startswith("+"):
            source = f"{commit[:12]}:{name}" if commit else name
            yield from scan_text(text[1:], source=source, first_line=line)
            line += 1
        elif text.startswith("@@ "):
            in_hunk = True
            line = int(text.split("+", 1)[1].split(" ", 1)[0].split(",", 1)[0])
        elif text.startswith("diff --git "):
            in_hunk = False
        elif text.startswith("+++ b/"):
            name = text[6:].rstrip("\t")
        elif text.startswith("commit "):
            commit, in_hunk = text[7:], False
