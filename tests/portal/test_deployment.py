"""The files for production: valid, hardened, and the secrets they name are those that are made."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from audit.notes import Signer
from audit.witness.cosigner import Cosigner, read_verifiers, read_witness_key
from audit.witness.roster import witnesses_of
from portal import production_secrets
from tests.audit.witness.logs import GrowingLog, served

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = pytest.mark.parametrize("name", sorted(COMPOSE["services"]))


def test_the_compose_file_obeys_the_compose_schema():
    checker = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [checker, "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@SERVICES
def test_every_container_is_hardened(name):
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service["user"].startswith(("0", "root"))
    assert "mem_limit" in service
    assert "privileged" not in service
    assert name == "migrate" or "healthcheck" in service
    assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))


@SERVICES
def test_no_secret_stands_in_the_environment(name):
    environment = COMPOSE["services"][name].get("environment", {})
    for variable in environment:
        assert not variable.endswith(("_PASSWORD", "_SECRET_KEY", "_TOKEN")), variable
        assert variable not in {"DATABASE_URL", "DATABASE_VERIFIER_URL", "REDIS_URL", "EMAIL_URL"}


@pytest.mark.parametrize("name", ["web", "verify"])
def test_prometheus_can_be_let_in(name):
    service = COMPOSE["services"][name]
    assert service["environment"]["KEYSTEAD_METRICS_TOKEN_FILE"] == "/run/secrets/metrics_token"
    assert "metrics_token" in service["secrets"]


def test_alarms_of_the_log_can_be_mailed_by_those_who_have_a_mail_server():
    assert "KEYSTEAD_ALARM_MAIL" in COMPOSE["services"]["worker"]["environment"]


def test_only_the_migration_holds_the_owners_role():
    holders = {name for name, service in COMPOSE["services"].items() if "owner_url" in str(service.get("secrets", ""))}
    assert holders == {"migrate"}


def test_only_the_sealer_holds_the_key_of_the_log_and_nothing_else_of_ours():
    services = COMPOSE["services"]
    assert {name for name, service in services.items() if "sealer_" in str(service.get("secrets", ""))} == {"sealer"}
    assert services["sealer"]["user"] == f"{production_secrets.SEALER_UID}:{production_secrets.SEALER_UID}"
    assert services["sealer"]["secrets"] == ["sealer_url", "sealer_key", "witnesses"]
    assert {name for name, service in services.items() if "sealer:" in str(service.get("volumes", ""))} == {"sealer"}


def test_the_witness_is_another_user_with_another_volume_and_reaches_nothing_of_ours():
    services, witness = COMPOSE["services"], COMPOSE["services"]["witness"]
    assert witness["user"] == f"{production_secrets.WITNESS_UID}:{production_secrets.WITNESS_UID}"
    assert len({service["user"] for name, service in services.items() if name in {"web", "sealer", "witness"}}) == 3
    assert witness["secrets"] == ["witness_key", "log_key"]
    assert "environment" not in witness
    assert {name for name, service in services.items() if "witness_key" in str(service.get("secrets", ""))} == {
        "witness"
    }
    assert {name for name, service in services.items() if "witness:" in str(service.get("volumes", ""))} == {"witness"}
    assert witness["networks"] == ["witnesses"]
    assert COMPOSE["networks"]["witnesses"]["internal"] is True
    assert "witnesses" in services["sealer"]["networks"]
    assert "the same host does not survive the host" in (ROOT / "docker-compose.yml").read_text().replace("\n  # ", " ")


def test_the_witness_of_the_compose_file_cosigns_what_its_sealer_signs(tmp_path):
    """With the very files that are made: the sealer's setting names the witness's key, the witness knows the log's."""
    folder = tmp_path / "secrets"
    production_secrets.make(folder)
    signer = Signer.parse((folder / "sealer_key").read_text())
    command = COMPOSE["services"]["witness"]["command"]
    options = dict(word.removeprefix("--").split("=") for word in command if word.startswith("--"))
    paths = {f"/run/secrets/{name}": folder / Path(secret["file"]).name for name, secret in COMPOSE["secrets"].items()}
    witness = Cosigner(
        tmp_path / "witness", read_witness_key(paths[options["key"]]), read_verifiers(str(paths[options["log"]]))
    )
    (entry,) = json.loads((folder / "witnesses.json").read_text())
    assert entry["url"] == f"http://witness:{options['bind'].rpartition(':')[2]}"
    assert entry.pop("elsewhere") is False
    head = GrowingLog(tmp_path / "log", signer=signer).grow(3)
    with served(witness) as url:
        (client,) = witnesses_of(json.dumps([entry | {"url": url}]))
        assert client.publish(head).size == 3


def test_valkey_has_a_password_and_never_evicts():
    command = COMPOSE["services"]["valkey"]["command"][-1]
    assert "requirepass" in command
    assert "maxmemory-policy noeviction" in command


def test_the_engines_have_no_way_out_and_no_open_port():
    assert COMPOSE["networks"]["engines"]["internal"] is True
    for name in ("postgres", "valkey"):
        assert COMPOSE["services"][name]["networks"] == ["engines"]
        assert "ports" not in COMPOSE["services"][name]


def test_every_secret_file_that_compose_names_is_made_once_and_private(tmp_path):
    folder = tmp_path / "secrets"
    made = production_secrets.make(folder)
    named = {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    assert named <= {path.name for path in made}
    assert all(
        stat.S_IMODE(path.stat().st_mode) == (0o644 if path.name in production_secrets.FOR_EVERYBODY else 0o600)
        for path in made
    )
    assert not any("PRIVATE" in (folder / name).read_text() for name in production_secrets.FOR_EVERYBODY)
    json.loads((folder / "keyring.json").read_text())
    if os.geteuid() == 0:
        owners = {path.name: path.stat().st_uid for path in made}
        assert owners["postgres_password"] == owners["valkey_password"] == production_secrets.ENGINES_UID
        assert owners["sealer_key"] == owners["sealer_url"] == production_secrets.SEALER_UID
        assert owners["witness_key"] == production_secrets.WITNESS_UID
        assert owners["keyring.json"] == owners["application_url"] == production_secrets.KEYSTEAD_UID
    with pytest.raises(FileExistsError):
        production_secrets.make(folder)


def test_the_image_runs_as_nobody_special():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    users = [line for line in lines if line.startswith("USER ")]
    assert users[-1] == "USER 10001:10001"
    assert any("--require-hashes" in line for line in lines)


def test_static_files_of_production_are_collected_with_hashes_and_without_secrets(tmp_path):
    environment = {
        "PATH": os.environ["PATH"],
        "KEYSTEAD_DATA": str(tmp_path),
        "KEYSTEAD_STATIC_ROOT": str(tmp_path / "s"),
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "collectstatic", "--noinput", "-v", "0"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "s" / "staticfiles.json").read_text())
    assert len(manifest["paths"]) > 20
