"""Keep checkpoints in an object store under a lock that nobody can lift before its time (S3 Object Lock, compliance mode).

Needs boto3, which is not among Keystead's own requirements; credentials come as boto3 finds them, never from the setting.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from audit.notes import Checkpoint, Note, NoteError
from audit.witness.base import Head, Seen, Witness, WitnessFailed

NEWEST_FIRST = 10**19
MODE = "COMPLIANCE"


class ObjectStore(Witness):
    """A bucket with object lock; the role that writes needs s3:PutObject, s3:PutObjectRetention, s3:GetObject and listing of versions."""

    kind = "object-store"
    every = 600.0

    def __init__(
        self,
        *,
        bucket: str,
        prefix: str = "keystead/",
        days: int = 3650,
        region: str = "",
        endpoint: str = "",
        name: str = "",
        elsewhere: bool | None = None,
        every: float | None = None,
    ) -> None:
        if days < 1:
            raise ValueError("`days` is how long nobody may delete: at least 1")
        super().__init__(name=name or f"object store {bucket}", elsewhere=elsewhere, every=every)
        self.bucket, self.prefix, self.days = bucket, prefix, days
        self._store: Any = boto3.client(  # boto3 makes its methods while it runs
            "s3",
            region_name=region or None,
            endpoint_url=endpoint or None,
            config=Config(connect_timeout=10, read_timeout=10, retries={"max_attempts": 2}),
        )
        self._origin = ""

    def publish(self, head: Head) -> Seen:
        """Compare with the newest that is kept, put the next under its lock, and read both back."""
        ours, self._origin = head.checkpoint, head.checkpoint.origin
        kept = self.read_back()
        if kept is not None:
            head.compare(kept)
        if kept is None or kept.size < ours.size:
            self._put(self._key(ours.size), head.note)
            kept = self.read_back()
        if kept is None or (kept.size, kept.root) != (ours.size, ours.root):
            raise WitnessFailed("read_back", f"{self.bucket} does not hold what was put there")
        return Seen(size=kept.size)

    def read_back(self) -> Checkpoint | None:
        """Return the newest version of the newest checkpoint; a delete marker over it hides nothing."""
        try:
            found = self._store.list_object_versions(Bucket=self.bucket, Prefix=self._folder(), MaxKeys=100)
            versions = found.get("Versions", [])
            if not versions:
                return None
            # The oldest version of a key is the one that was locked first.
            newest = [each for each in versions if each["Key"] == versions[0]["Key"]][-1]
            where = {"Bucket": self.bucket, "Key": newest["Key"], "VersionId": newest["VersionId"]}
            text = self._store.get_object(**where)["Body"].read(64 * 1024).decode()
            return Checkpoint.parse(Note.parse(text).body)
        except (BotoCoreError, ClientError) as error:
            raise WitnessFailed("unreachable", f"{self.bucket} cannot be read: {_code(error)}") from error
        except (NoteError, UnicodeDecodeError) as error:
            raise WitnessFailed("read_back", f"the newest object in {self.bucket} is no checkpoint") from error

    def _put(self, key: str, note: str) -> None:
        until = datetime.now(tz=UTC).replace(microsecond=0) + timedelta(days=self.days)
        try:
            put = self._store.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=note.encode(),
                ContentType="text/plain; charset=utf-8",
                ChecksumAlgorithm="SHA256",
                ObjectLockMode=MODE,
                ObjectLockRetainUntilDate=until,
            )
            kept = self._store.head_object(Bucket=self.bucket, Key=key, VersionId=put["VersionId"])
        except (BotoCoreError, ClientError) as error:
            raise WitnessFailed("unreachable", f"{self.bucket} cannot be written: {_code(error)}") from error
        except KeyError as error:
            raise WitnessFailed("unlocked", f"{self.bucket} keeps no versions, so it can lock none") from error
        if kept.get("ObjectLockMode") != MODE or kept.get("ObjectLockRetainUntilDate", until - timedelta(1)) < until:
            raise WitnessFailed("unlocked", f"{self.bucket} took the checkpoint and did not lock it")

    def _folder(self) -> str:
        return f"{self.prefix}{hashlib.sha256(self._origin.encode()).hexdigest()}/"

    def _key(self, size: int) -> str:
        """Return a name that sorts the newest first, since a store lists from the front only."""
        return f"{self._folder()}{NEWEST_FIRST - size:020d}-{size}.note"


def _code(error: Exception) -> str:
    found = getattr(error, "response", {}).get("Error", {}).get("Code")
    return str(found or type(error).__name__)
