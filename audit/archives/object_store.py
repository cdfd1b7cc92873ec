"""Archive into a bucket under a lock that nobody can lift before its time (S3 Object Lock, compliance mode).

Needs boto3, which is not among Keystead's own requirements; credentials come as boto3 finds them, never from a setting.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, cast

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from audit.archives.base import ArchiveConflict, ArchiveMissing, ArchiveStore

MODE = "COMPLIANCE"
_CHUNK = 1 << 20


class BucketStore(ArchiveStore):
    """One prefix in a bucket with object lock. Of each name the oldest version counts: it is the one that was locked first."""

    def __init__(self, *, bucket: str, prefix: str = "keystead/archive/", days: int = 3650, endpoint: str = "") -> None:
        if days < 1:
            raise ValueError("`days` is how long nobody may delete: at least 1")
        self.bucket, self.prefix, self.days = bucket, prefix, days
        self._store: Any = boto3.client("s3", endpoint_url=endpoint or None)  # boto3 makes its methods while it runs

    @classmethod
    def from_settings(cls, options: Mapping[str, str]) -> BucketStore:
        """Take bucket, prefix, days and endpoint from KEYSTEAD_ARCHIVE_OPTIONS."""
        known = {name: options[name] for name in ("bucket", "prefix", "endpoint") if name in options}
        return cls(**known, days=int(options.get("days", "3650")))

    def put(self, name: str, content: BinaryIO) -> str:
        """Put under the lock, unless the same is there; a store that takes it without locking is refused."""
        where, location = {"Bucket": self.bucket, "Key": self.prefix + name}, f"s3://{self.bucket}/{self.prefix}{name}"
        if name in self.names():
            with self.open(name) as kept:
                if _digest(kept) != _digest(content):
                    raise ArchiveConflict(f"{location} says something else")
            return location
        until = datetime.now(tz=UTC).replace(microsecond=0) + timedelta(days=self.days)
        lock = {"ObjectLockMode": MODE, "ObjectLockRetainUntilDate": until}
        try:
            put = self._store.put_object(**where, **lock, Body=content, ChecksumAlgorithm="SHA256")
            kept = self._store.head_object(**where, VersionId=put["VersionId"])
        except (BotoCoreError, ClientError, KeyError) as error:
            raise ArchiveMissing(f"{location} cannot be written under a lock") from error
        if kept.get("ObjectLockMode") != MODE or kept.get("ObjectLockRetainUntilDate", until - timedelta(1)) < until:
            raise ArchiveMissing(f"{location} was taken and not locked")
        return location

    def open(self, name: str) -> BinaryIO:
        """Read the oldest version into a file that vanishes."""
        versions = self._versions(self.prefix + name)
        oldest = versions.get(self.prefix + name)
        if oldest is None:
            raise ArchiveMissing(f"s3://{self.bucket}/{self.prefix}{name} is missing")
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        try:
            body = self._store.get_object(Bucket=self.bucket, Key=self.prefix + name, VersionId=oldest)["Body"]
            shutil.copyfileobj(body, file, _CHUNK)
        except (BotoCoreError, ClientError) as error:
            file.close()
            raise ArchiveMissing(f"s3://{self.bucket}/{self.prefix}{name} cannot be read") from error
        file.seek(0)
        return cast("BinaryIO", file)

    def names(self) -> list[str]:
        """List the names; a delete marker hides nothing."""
        return sorted(key.removeprefix(self.prefix) for key in self._versions(self.prefix))

    def _versions(self, prefix: str) -> dict[str, str]:
        """Return the oldest version of each key; a store lists versions of a key newest first."""
        oldest: dict[str, str] = {}
        try:
            for page in self._store.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix):
                oldest |= {each["Key"]: each["VersionId"] for each in page.get("Versions", [])}
        except (BotoCoreError, ClientError) as error:
            raise ArchiveMissing(f"s3://{self.bucket} cannot be listed") from error
        return oldest


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()
