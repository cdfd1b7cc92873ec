"""An unsafe production does not start, and says why; a safe one does."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from portal import embedded
from portal.layout import layout_at
from tests.portal.checker import Checker

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def production(tmp_path_factory):
    """The environment of a production that nothing is wrong with."""
    layout = layout_at(tmp_path_factory.mktemp("production"))
    embedded.create_secrets(layout)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("KEYSTEAD_", "DEMO", "PORT", "DJANGO_"))
    }
    return kept | {
        "KEYSTEAD_ENV": "production",
        "KEYSTEAD_DATA": str(layout.data),
        "KEYSTEAD_SECRET_KEY_FILE": str(layout.secret_key_file),
        "KEYSTEAD_KEYRING_FILE": str(layout.keyring_file),
        "KEYSTEAD_PUBLIC_URL": "https://keys.example.org",
        "KEYSTEAD_TRUSTED_PROXIES": "1",
        "EMAIL_URL": "smtp://127.0.0.1:25",
        "KEYSTEAD_WITNESSES": '[{"backend": "audit.witness.http_witness.HttpWitness", "url": "https://w.example", "vkey": "w"}]',
    }


@pytest.fixture(scope="module")
def checker(production):
    with Checker(production) as checker:
        yield checker


@pytest.fixture
def check(checker, production):
    """Run `check --deploy` for a production with some changes; a change to None unsets the variable."""

    def changed(**changes):
        return checker.check({name: value for name, value in (production | changes).items() if value is not None})

    return changed


def test_a_safe_production_passes(check):
    code, words = check()
    assert code == 0, words


@pytest.mark.parametrize("mode", ["production", "staging"])
def test_the_command_of_an_operator_says_the_same(production, check, mode):
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env=production | {"KEYSTEAD_ENV": mode},
        capture_output=True,
        text=True,
        check=False,
    )
    code, words = check(KEYSTEAD_ENV=mode)
    assert (done.returncode == 0) == (code == 0) == (mode == "production")
    assert ("keystead.E001" in done.stdout + done.stderr) == ("keystead.E001" in words) == (mode == "staging")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"KEYSTEAD_ENV": "staging"}, "E001"),
        ({"KEYSTEAD_DEBUG": "1"}, "E002"),
        ({"DEMO": "1"}, "E003"),
        ({"KEYSTEAD_SECRET_KEY_FILE": None, "KEYSTEAD_DATA": "/nonexistent"}, "E004"),
        ({"KEYSTEAD_SECRET_KEY_FILE": None, "KEYSTEAD_SECRET_KEY": "change-me-" + "x" * 40}, "E005"),
        ({"KEYSTEAD_SECRET_KEY_FILE": None, "KEYSTEAD_SECRET_KEY": "short"}, "E005"),
        ({"KEYSTEAD_KEYRING_FILE": "/nonexistent/keyring.json"}, "E006"),
        ({"KEYSTEAD_PUBLIC_URL": "http://keys.example.org"}, "E008"),
        ({"KEYSTEAD_PUBLIC_URL": "https://localhost"}, "E008"),
        ({"KEYSTEAD_PUBLIC_URL": "https://"}, "E008"),
        ({"KEYSTEAD_PUBLIC_URL": "https://keys.example.org/keystead"}, "E008"),
        ({"KEYSTEAD_ALLOWED_HOSTS": "*"}, "E009"),
        ({"KEYSTEAD_TRUSTED_PROXIES": None}, "E010"),
        ({"KEYSTEAD_TRUSTED_PROXIES": ""}, "E010"),
        ({"KEYSTEAD_TRUSTED_PROXIES": "-1"}, "E010"),
        ({"KEYSTEAD_EXPORT_FOLDER": "/srv/" + "x" * 300}, "E016"),
        ({"DATABASE_URL": None}, "E012"),
        ({"REDIS_URL": None}, "E013"),
        ({"DATABASE_VERIFIER_URL": None}, "W001"),
        ({"EMAIL_URL": None}, "W002"),
        ({"KEYSTEAD_WITNESSES": None}, "W004"),
        ({"KEYSTEAD_WITNESSES": '[{"backend": "none.such.Witness"}]'}, "E019"),
        ({"KEYSTEAD_SEALER_KEY_WRAP": "audit.keywrap.kek.Kkek"}, "E022"),
        ({"KEYSTEAD_SEALER_KEY_WRAP": "kek"}, "E022"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_each_unsafe_setting_is_refused_by_its_code(check, changes, expected):
    code, words = check(**changes)
    assert code != 0
    assert f"keystead.{expected}" in words


def test_a_keyring_that_others_can_read_is_refused(production, check, tmp_path):
    copy = tmp_path / "keyring.json"
    copy.write_bytes(Path(production["KEYSTEAD_KEYRING_FILE"]).read_bytes())
    copy.chmod(0o640)
    code, words = check(KEYSTEAD_KEYRING_FILE=str(copy))
    assert code != 0
    assert "keystead.E007" in words


def test_a_file_that_is_no_keyring_is_refused_unquoted(check, tmp_path):
    wrong = tmp_path / "keyring.json"
    wrong.write_text("secret-words")
    wrong.chmod(0o600)
    code, words = check(KEYSTEAD_KEYRING_FILE=str(wrong))
    assert code != 0
    assert "keystead.E006" in words
    assert "secret-words" not in words


def test_a_provider_of_keys_that_does_not_exist_is_refused(check):
    code, words = check(KEYSTEAD_KEKS="none.such.Keks")
    assert code != 0
    assert "keystead.E006" in words


@pytest.mark.parametrize("role", ["postgres", "keystead_owner"])
def test_a_role_that_could_undo_the_log_is_refused(production, check, role):
    strong = production["DATABASE_URL"].replace("keystead_application@", f"{role}@")
    code, words = check(DATABASE_URL=strong)
    assert code != 0
    assert "keystead.E014" in words


def test_a_valkey_that_evicts_is_refused(check, valkey):
    valkey.config_set("maxmemory-policy", "allkeys-lru")
    try:
        code, words = check()
    finally:
        valkey.config_set("maxmemory-policy", "noeviction")
    assert code != 0
    assert "keystead.E015" in words


def test_a_server_refuses_to_start_where_the_check_fails(production):
    done = subprocess.run(
        [sys.executable, "-c", "import portal.wsgi"],
        cwd=ROOT,
        env=production | {"KEYSTEAD_DEBUG": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "keystead.E002" in done.stderr


def test_the_site_refuses_to_serve_pages_without_their_static_files(checker, production, tmp_path):
    """Every page was a 500 that named no cause, while /readyz said that all was well."""
    run = partial(checker.run, production | {"KEYSTEAD_STATIC_ROOT": str(tmp_path)})
    for server in ("portal.wsgi", "portal.asgi"):
        code, words = run("import", server)
        assert code != 0
        assert "manage.py collectstatic" in words
    assert run("collectstatic", "--noinput")[0] == 0
    for server in ("portal.wsgi", "portal.asgi"):
        assert run("import", server) == (0, "")
    manifest = tmp_path / "staticfiles.json"
    known = json.loads(manifest.read_text())
    del known["paths"]["keystead/theme.css"]
    manifest.write_text(json.dumps(known))
    code, words = run("import", "portal.wsgi")
    assert code != 0
    assert "keystead/theme.css" in words


def test_the_tests_themselves_run_as_the_weak_role(superuser):
    with psycopg.connect(layout_at(settings.KEYSTEAD_DATA).conninfo("keystead_application")) as connection:
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)
