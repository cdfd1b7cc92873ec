"""A bucket with object lock keeps what was put first, whatever is put or deleted over it; without a lock it is refused."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import boto3
import pytest
from moto import mock_aws

from audit.archives.base import ArchiveConflict, ArchiveMissing
from audit.archives.object_store import BucketStore

BUCKET = "audit-archive"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
        yield client


def test_what_was_put_first_stays(s3: Any) -> None:
    store = BucketStore.from_settings({"bucket": BUCKET, "days": "30", "folder": "unused"})
    assert store.put("a.entries", BytesIO(b"one")) == f"s3://{BUCKET}/keystead/archive/a.entries"
    store.put("a.entries", BytesIO(b"one"))
    with pytest.raises(ArchiveConflict):
        store.put("a.entries", BytesIO(b"two"))
    # Whoever may write puts another version over it, and a delete marker on top.
    s3.put_object(Bucket=BUCKET, Key="keystead/archive/a.entries", Body=b"forged")
    s3.delete_object(Bucket=BUCKET, Key="keystead/archive/a.entries")
    with store.open("a.entries") as kept:
        assert kept.read() == b"one"
    assert store.names() == ["a.entries"]


def test_a_store_that_locks_nothing_is_refused(s3: Any) -> None:
    s3.create_bucket(Bucket="plain")
    with pytest.raises(ArchiveMissing):
        BucketStore(bucket="plain").put("a", BytesIO(b"one"))
    with pytest.raises(ArchiveMissing):
        BucketStore(bucket="nowhere").names()
    with pytest.raises(ArchiveMissing):
        BucketStore(bucket=BUCKET).open("a")
    with pytest.raises(ValueError, match="at least 1"):
        BucketStore(bucket=BUCKET, days=0)
