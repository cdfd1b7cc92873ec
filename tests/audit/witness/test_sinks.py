"""Sinks that only keep: each reads back what it wrote, and finds a log that is not the one it kept."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.core import mail
from moto import mock_aws

from audit.notes import Note
from audit.witness.base import AnotherHistory, Witness, WitnessFailed
from audit.witness.directory import Directory
from audit.witness.log_line import LogLine
from audit.witness.mail import Mail
from audit.witness.object_store import ObjectStore
from audit.witness.timestamp import Timestamp
from tests.audit.witness.logs import SIGNER, GrowingLog

BUCKET = "audit-heads"
Make = Callable[[], Witness]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        client = boto3.client("s3", region_name="eu-central-1")
        client.create_bucket(
            Bucket=BUCKET,
            ObjectLockEnabledForBucket=True,
            CreateBucketConfiguration={"LocationConstraint": "eu-central-1"},
        )
        yield client


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Authority"]:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    made = Authority(tmp_path_factory.mktemp("tsa"))
    with made.serving():
        yield made


class Authority:
    """A time-stamping authority: a root, a certificate for time stamps, and openssl behind HTTP."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bend, self.url = folder, lambda raw: raw, ""
        (folder / "tsa.cnf").write_text(
            "[req]\ndistinguished_name=dn\n[dn]\n[v3_ca]\nbasicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\n"
            "subjectKeyIdentifier=hash\n"
            "[v3_tsa]\nextendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\n"
            "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\nbasicConstraints=CA:false\n"
            f"[tsa]\ndefault_tsa=t\n[t]\nserial={folder}/serial\ncrypto_device=builtin\nsigner_cert={folder}/tsa.pem\n"
            f"signer_key={folder}/tsa.key\nsigner_digest=sha256\ndefault_policy=1.2.3.4.1\n"
            "digests=sha256,sha512\naccuracy=secs:1\nordering=no\ntsa_name=yes\ness_cert_id_chain=no\ness_cert_id_alg=sha256\n"
        )
        (folder / "serial").write_text("01")
        new = ("openssl", "req", "-config", "tsa.cnf", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        self._run(
            *new,
            "-x509",
            "-days",
            "30",
            "-subj",
            "/CN=Root",
            "-extensions",
            "v3_ca",
            "-keyout",
            "root.key",
            "-out",
            "root.pem",
        )
        self._run(*new, "-subj", "/CN=Time", "-keyout", "tsa.key", "-out", "tsa.csr")
        self._run("openssl", "x509", "-req", "-in", "tsa.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial",
                  "-days", "20", "-extfile", "tsa.cnf", "-extensions", "v3_tsa", "-out", "tsa.pem")  # fmt: skip
        self._run(
            *new,
            "-x509",
            "-days",
            "30",
            "-subj",
            "/CN=Root",
            "-extensions",
            "v3_ca",
            "-keyout",
            "o.key",
            "-out",
            "other.pem",
        )

    def _run(self, *words: str) -> None:
        subprocess.run(words, cwd=self.folder, check=True, capture_output=True)

    def reply(self, asked: bytes) -> bytes:
        (self.folder / "q.tsq").write_bytes(asked)
        self._run("openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "q.tsq", "-out", "a.tsr")
        return (self.folder / "a.tsr").read_bytes()

    @contextmanager
    def serving(self) -> Iterator[None]:
        authority = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.headers["Content-Type"] == "application/timestamp-query"
                raw = authority.bend(authority.reply(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_words: Any) -> None:
                pass

        with HTTPServer(("127.0.0.1", 0), Door) as server:
            self.url = f"http://127.0.0.1:{server.server_port}"
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
            thread.start()
            yield
            server.shutdown()
            thread.join()


@pytest.fixture(params=["directory", "object-store", "rfc3161"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Make the same sink again, as a restarted sealer does."""
    (tmp_path / "kept").mkdir()
    if request.param == "directory":
        return lambda: Directory(path=str(tmp_path / "kept"))
    if request.param == "object-store":
        request.getfixturevalue("store")
        return lambda: ObjectStore(bucket=BUCKET, region="eu-central-1", days=2)
    tsa = request.getfixturevalue("authority")
    tsa.bend = lambda raw: raw
    return lambda: Timestamp(url=tsa.url, certificates=str(tsa.folder / "root.pem"), keep=str(tmp_path / "kept"))


def test_what_is_kept_is_read_back_and_survives_us(make: Make, tmp_path: Path) -> None:
    log, sink = GrowingLog(tmp_path / "log"), make()
    for size in (1, 9, 9, 300):
        assert sink.publish(log.grow(size)).size == size
        sink = make()
    make().publish(log.grow(1000))
    kept = sink.read_back()
    assert kept is None or kept.size == 1000  # an object store is asked for a log, and this object knows none yet


def test_a_log_that_was_set_back_or_rewritten_is_another_history(make: Make, tmp_path: Path) -> None:
    log, old, fork = (GrowingLog(tmp_path / name, twist=twist) for name, twist in (("a", None), ("b", None), ("c", 5)))
    make().publish(log.grow(40))
    with pytest.raises(AnotherHistory) as found:
        make().publish(old.grow(25))
    assert found.value.code == "ahead"
    for size in (40, 41, 90):
        with pytest.raises(AnotherHistory) as found:
            make().publish(fork.grow(size))
        assert found.value.code == "fork"
    assert make().publish(log.grow(90)).size == 90


def test_a_directory_that_is_gone_or_spoilt_is_a_failure(tmp_path: Path) -> None:
    head = GrowingLog(tmp_path / "log").grow(3)
    with pytest.raises(WitnessFailed) as failed:
        Directory(path=str(tmp_path / "none")).publish(head)
    assert failed.value.code == "unreachable"
    (tmp_path / "kept").mkdir()
    sink = Directory(path=str(tmp_path / "kept"))
    sink.publish(head)
    (tmp_path / "kept" / f"{3:019d}.note").write_text("nonsense")
    with pytest.raises(WitnessFailed) as failed:
        sink.publish(head)
    assert failed.value.code == "read_back"


def test_the_object_store_locks_what_it_keeps_and_a_delete_hides_nothing(store: Any, tmp_path: Path) -> None:
    log = GrowingLog(tmp_path / "log")
    sink = ObjectStore(bucket=BUCKET, region="eu-central-1", days=2)
    for size in (5, 12, 100):
        sink.publish(log.grow(size))
    versions = store.list_object_versions(Bucket=BUCKET)["Versions"]
    assert [each["Key"].rpartition("-")[2] for each in versions] == ["100.note", "12.note", "5.note"]
    for each in versions:
        kept = store.head_object(Bucket=BUCKET, Key=each["Key"], VersionId=each["VersionId"])
        assert kept["ObjectLockMode"] == "COMPLIANCE"
        with pytest.raises(store.exceptions.ClientError):
            store.delete_object(Bucket=BUCKET, Key=each["Key"], VersionId=each["VersionId"])
    newest = versions[0]["Key"]
    store.delete_object(Bucket=BUCKET, Key=newest)  # a delete marker
    kept = sink.read_back()
    assert kept is not None
    assert kept.size == 100
    forged = GrowingLog(tmp_path / "forged", twist=0).grow(100)
    store.put_object(Bucket=BUCKET, Key=newest, Body=forged.note.encode(), ChecksumAlgorithm="SHA256")
    with pytest.raises(AnotherHistory):
        sink.publish(forged)


def test_a_bucket_without_a_lock_is_refused(store: Any, tmp_path: Path) -> None:
    head = GrowingLog(tmp_path / "log").grow(3)
    place = {"CreateBucketConfiguration": {"LocationConstraint": "eu-central-1"}}
    store.create_bucket(Bucket="open", **place)
    for bucket in ("open", "nowhere"):
        with pytest.raises(WitnessFailed) as failed:
            ObjectStore(bucket=bucket, region="eu-central-1").publish(head)
        assert failed.value.code in {"unreachable", "unlocked"}
    with pytest.raises(ValueError):
        ObjectStore(bucket=BUCKET, days=0)


def test_a_token_counts_only_from_the_pinned_authority_over_exactly_this_head(
    authority: Authority, tmp_path: Path
) -> None:
    head = GrowingLog(tmp_path / "log").grow(3)
    keep = tmp_path / "kept"
    keep.mkdir()
    options: dict[str, Any] = {"url": authority.url, "keep": str(keep)}
    pinned = Timestamp(certificates=str(authority.folder / "root.pem"), **options)
    stranger = Timestamp(certificates=str(authority.folder / "other.pem"), **options)
    authority.bend = lambda raw: raw
    replayed = authority.reply(_query(authority, head.note.encode()))
    bends: list[Callable[[bytes], bytes]] = [
        lambda raw: replayed,  # of the same head, with another nonce
        lambda raw: raw[:-1], lambda raw: b"", lambda raw: b"\x30\x03\x02\x01\x02",
        lambda raw: raw[:-10] + bytes([raw[-10] ^ 1]) + raw[-9:],
        lambda raw: raw.replace(b"\x30\x03\x02\x01\x00", b"\x30\x03\x02\x01\x02", 1),
    ]  # fmt: skip
    for bend in bends:
        authority.bend = bend
        with pytest.raises(WitnessFailed) as failed:
            pinned.publish(head)
        assert failed.value.code == "token"
    authority.bend = lambda raw: raw
    with pytest.raises(WitnessFailed) as failed:
        stranger.publish(head)
    assert failed.value.code == "token"
    assert list(keep.iterdir()) == []
    assert pinned.publish(head).size == 3
    token, note = sorted(keep.iterdir())[::-1]
    assert (token.suffix, note.suffix) == (".tsr", ".note")
    subprocess.run(
        ["openssl", "ts", "-verify", "-data", note, "-in", token, "-CAfile", authority.folder / "root.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    note.write_text(GrowingLog(tmp_path / "other", twist=0).grow(3).note)
    with pytest.raises(WitnessFailed) as failed:
        pinned.read_back()
    assert failed.value.code == "token"


def _query(authority: Authority, message: bytes) -> bytes:
    (authority.folder / "m").write_bytes(message)
    authority._run("openssl", "ts", "-query", "-data", "m", "-sha256", "-cert", "-out", "m.tsq")
    return (authority.folder / "m.tsq").read_bytes()


def test_a_line_and_a_mail_carry_the_signed_head(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    head = GrowingLog(tmp_path / "log").grow(3)
    with caplog.at_level("INFO", "keystead.witness"):
        assert LogLine().publish(head).size == 3
    assert SIGNER.name in caplog.text
    sink = Mail(to=["auditor@example.org", "second@example.org"])
    assert (sink.is_elsewhere, sink.every, LogLine().is_elsewhere) == (True, 86_400, False)
    for _ in range(2):
        assert sink.publish(head).size == 3
    one, two = mail.outbox
    assert one.extra_headers["Message-ID"] == two.extra_headers["Message-ID"]
    assert one.to == ["auditor@example.org", "second@example.org"]
    note = one.body[one.body.index(SIGNER.name) :]
    Note.parse(note).verified_by(SIGNER.verifier)
    for wrong in ("auditor@example.org", [], ["nobody"]):
        with pytest.raises(ValueError):
            Mail(to=wrong)
    assert sink.read_back() is None
    assert LogLine().read_back() is None


def test_a_mail_server_that_takes_nothing_is_a_failure(tmp_path: Path, settings: Any) -> None:
    head = GrowingLog(tmp_path / "log").grow(3)
    settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = (
        "django.core.mail.backends.smtp.EmailBackend",
        "127.0.0.1",
        1,
    )
    with pytest.raises(WitnessFailed):
        Mail(to=["auditor@example.org"]).publish(head)
