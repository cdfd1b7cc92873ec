"""What the pages for operators print is run: the proxy of docs/deployment.md."""

from __future__ import annotations

import http.client
import ssl
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.sdk.cookbook import Application, nginx, write_files
from tests.servers import free_port, running

HOST = "keys.example.org"
ONE_TIME = "mG5q-who-reads-it-in-a-log-may-use-it"
PLACES = {
    "/": "site", "/v1/verifyx": "site", "/api/v1/keys": "site", "/v1/verifiers/a/b/lease": "site",
    "/v1/verify": "door", "/v1/verify:batch": "door", "/v1/verify-signature": "door", "/v1/forward-auth": "door",
    "/oauth2/introspect": "door", "/v1/feed": "feed", "/v1/verifiers/v-1/lease": "feed", "/v1/verifiers/v-1/applied": "feed",
}  # fmt: skip


def _certificate(folder: Path) -> tuple[Path, Path]:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(tz=UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1)).sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "tls.pem").write_bytes(made.public_bytes(pem))
    (folder / "tls.key").write_bytes(private)
    return folder / "tls.pem", folder / "tls.key"


def test_the_proxy_of_the_page_sends_each_path_where_it_belongs_and_believes_no_client(tmp_path: Path) -> None:
    certificate, key = _certificate(tmp_path)
    ports = {name: free_port() for name in ("site", "door", "feed")}
    port = free_port()
    write_files(
        "../deployment.md", tmp_path,
        {
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl", "/etc/ssl/keystead.pem": str(certificate),
            "/etc/ssl/keystead.key": str(key), "127.0.0.1:8000": f"127.0.0.1:{ports['site']}",
            "127.0.0.1:8100": f"127.0.0.1:{ports['door']}", "127.0.0.1:8200": f"127.0.0.1:{ports['feed']}",
            "/var/log/nginx/keystead.log": f"{tmp_path}/access.log",
        },
    )  # fmt: skip
    command = nginx(tmp_path, serves=f"access_log {tmp_path}/others.log;\ninclude {tmp_path}/keystead.conf;")
    trusting = ssl.create_default_context(cafile=str(certificate))
    trusting.check_hostname = False
    with ExitStack() as stack:
        behind = {name: stack.enter_context(Application(each)) for name, each in ports.items()}
        stack.enter_context(running(command, port=port, log=tmp_path / "nginx.log", cwd=tmp_path))

        def ask(path: str) -> int:
            connection = http.client.HTTPSConnection("127.0.0.1", port, context=trusting, timeout=10)
            forged = {"X-Forwarded-For": "192.0.2.66", "X_Forwarded_For": "192.0.2.66", "X-Forwarded-Proto": "http"}
            forged["Referer"] = f"https://{HOST}/invitation/{ONE_TIME}/"
            connection.request("POST", path, body=b"{}", headers={"Host": HOST, **forged})
            status = connection.getresponse().status
            connection.close()
            return status

        for path, place in PLACES.items():
            before = {name: len(each.seen) for name, each in behind.items()}
            assert ask(path) == 200
            assert {name for name, each in behind.items() if len(each.seen) > before[name]} == {place}, path
            heard = behind[place].seen[-1]
            assert (heard["host"], heard["x-forwarded-for"], heard["x-forwarded-proto"]) == (HOST, "127.0.0.1", "https")
            assert "x_forwarded_for" not in heard
        assert ask("/metrics") == 404
        assert ask(f"/calendar/{ONE_TIME}.ics") == 200
    written = "".join(each.read_text() for each in tmp_path.glob("*.log"))
    assert ONE_TIME not in written
    assert written.count(" POST 200 ") == len(PLACES) + 1
