"""Make, once, the secret files that docker-compose.yml names: `python -m portal.production_secrets ./secrets`."""

import json
import os
import secrets
import sys
from pathlib import Path

from audit.database import APPLICATION, OWNER, ROLES, VERIFIER, roles_sql
from audit.notes import COSIGNATURE, Signer
from portal.embedded import create_secrets
from portal.layout import DATABASE, Layout, write_secret

ENGINES_UID = 999  # both engines' images
KEYSTEAD_UID = 10001  # the Dockerfile
SEALER_UID = 10002  # the same; whoever runs the site cannot sign the log
WITNESS_UID = 10003  # the same; nobody else holds its key
FOR_WITNESS = frozenset({"witness_key"})
FOR_EVERYBODY = frozenset({"log.vkey", "witness.vkey", "witnesses.json"})
FOR_SEALER = frozenset({"sealer_key", "sealer_url"})
FOR_ENGINES = frozenset({"postgres_password", "roles.sql", "valkey_password"})
HTTP_WITNESS = "audit.witness.http_witness.HttpWitness"
FILES = {OWNER: "owner_url", APPLICATION: "application_url", VERIFIER: "verifier_url"}


def make(folder: Path) -> list[Path]:
    """Write every file, readable by the one container user who needs it; refuse a folder that has any already."""
    if folder.exists() and any(folder.iterdir()):
        message = f"{folder} is not empty. Secrets are made once: losing the keyring loses what it sealed."
        raise FileExistsError(message)
    passwords = {role: secrets.token_urlsafe(32) for role in ROLES}
    valkey = secrets.token_urlsafe(32)
    texts = {
        "postgres_password": secrets.token_urlsafe(32),
        "roles.sql": roles_sql(DATABASE)
        + "".join(f"ALTER ROLE {role} PASSWORD '{password}';\n" for role, password in passwords.items()),
        "valkey_password": valkey,
        "valkey_url": f"redis://:{valkey}@valkey:6379/0",
        "email_url": "smtp://localhost:25",
        "metrics_token": secrets.token_urlsafe(32),
    }
    signer = Signer.generate(f"keystead/audit-log/{secrets.token_hex(4)}")
    texts |= {"sealer_key": signer.secret_text(), "log.vkey": signer.verifier.text()}
    witness = Signer.generate(f"{signer.name}/witness", COSIGNATURE)
    vkey = witness.verifier.text()
    entry = {"backend": HTTP_WITNESS, "url": "http://witness:8091", "vkey": vkey, "elsewhere": False}
    texts |= {"witness_key": witness.secret_text(), "witness.vkey": vkey, "witnesses.json": json.dumps([entry])}
    for role, password in passwords.items():
        name = FILES.get(role, f"{role.removeprefix('keystead_')}_url")
        texts[name] = f"postgres://{role}:{password}@postgres:5432/{DATABASE}"
    for name, text in texts.items():
        write_secret(folder / name, text + "\n")
    create_secrets(_InOneFolder(folder))
    written = sorted(folder.iterdir())
    for name in FOR_EVERYBODY:
        (folder / name).chmod(0o644)
    if os.geteuid() == 0:
        folder.chmod(0o711)  # the containers' users pass; only root lists
        for path in written:
            uid = _owner_of(path.name)
            os.chown(path, uid, uid)
    return written


def _owner_of(name: str) -> int:
    for names, uid in ((FOR_ENGINES, ENGINES_UID), (FOR_SEALER, SEALER_UID), (FOR_WITNESS, WITNESS_UID)):
        if name in names:
            return uid
    return KEYSTEAD_UID


class _InOneFolder(Layout):
    """A layout whose secrets lie beside the others."""

    @property
    def secrets(self) -> Path:
        """Return the folder itself."""
        return self.data


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        made = make(Path(sys.argv[1]).resolve())
    except FileExistsError as problem:
        sys.exit(str(problem))
    sys.stdout.write("".join(f"{path}\n" for path in made))
    sys.stdout.write("log.vkey is the public key of the audit log: give it to your auditors.\n")
    sys.stdout.write(
        "Name a witness on another host in witnesses.json: the one beside the site does not survive this host.\n"
    )
    sys.stdout.write("Put your mail server into email_url, and back the folder up apart from the database.\n")
