"""Keep the files of exports: in one folder, each for the owner's eyes only, each attempt in a file of its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Container
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from django.conf import settings

SUFFIX = ".zip"
_CHUNK = 1024 * 1024


def folder() -> Path:
    """Return the folder, made for its owner only when it is not there."""
    found = Path(settings.KEYSTEAD_EXPORT_FOLDER)
    found.mkdir(mode=0o700, parents=True, exist_ok=True)
    return found


def path_of(name: str) -> Path:
    """Return where a file lies that a row names; a name is never a way out of the folder."""
    if not name or Path(name).name != name:
        raise FileNotFoundError(name)
    return Path(settings.KEYSTEAD_EXPORT_FOLDER) / name


def new_name(export: UUID, attempt: int, *, finished: bool = False) -> str:
    """Name the file of one attempt; two workers never write to the same."""
    return f"{export}-{attempt}{'-finished' if finished else ''}{SUFFIX}"


def create(name: str) -> BinaryIO:
    """Open a new file that only its owner may read; what an attempt of the same name left is thrown away."""
    path = folder() / name
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b")


def settle(file: BinaryIO) -> None:
    """Let nothing of it be lost when the machine stops."""
    file.flush()
    os.fsync(file.fileno())
    descriptor = os.open(folder(), os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copied(name: str, *, into: str) -> BinaryIO:
    """Copy a file to a new one, so that what is added to the copy cannot break the first when we are killed."""
    target = create(into)
    with path_of(name).open("rb") as source:
        shutil.copyfileobj(source, target, _CHUNK)
    return target


def measured(file: BinaryIO) -> tuple[int, bytes]:
    """Return size and SHA-256 of what lies in the file."""
    digest, size = hashlib.sha256(), 0
    file.seek(0)
    while block := file.read(_CHUNK):
        digest.update(block)
        size += len(block)
    return size, digest.digest()


def delete(name: str) -> None:
    """Remove a file, if it is there."""
    if name:
        path_of(name).unlink(missing_ok=True)


def sweep(kept: Container[str], *, older_than: float) -> int:
    """Delete what dead workers left and no row names, when nobody has written to it for so many seconds."""
    swept = 0
    for path in folder().glob(f"*{SUFFIX}"):
        if path.name in kept:
            continue
        try:
            if time.time() - path.stat().st_mtime > older_than:
                path.unlink()
                swept += 1
        except FileNotFoundError:
            continue
    return swept
