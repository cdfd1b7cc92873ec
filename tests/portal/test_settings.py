"""The one settings file: safe in production, usable on localhost, secrets from files."""

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

ROOT = Path(__file__).resolve().parents[2]


def read(*names, **environment):
    """Load the settings in a process of its own and return the named ones."""
    script = (
        "import json, sys\nfrom portal import settings\n"
        "print(json.dumps({name: getattr(settings, name) for name in sys.argv[1:]}, default=str))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *names],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_an_empty_environment_is_a_production_with_strict_cookies():
    found = read(
        "DEBUG",
        "SESSION_COOKIE_NAME",
        "CSRF_COOKIE_NAME",
        "SESSION_COOKIE_SECURE",
        "CSRF_COOKIE_SECURE",
        "SECURE_HSTS_SECONDS",
        "SECURE_SSL_REDIRECT",
        "SECURE_PROXY_SSL_HEADER",
    )
    assert found["DEBUG"] is False
    assert found["SESSION_COOKIE_NAME"] == "__Host-session"
    assert found["CSRF_COOKIE_NAME"] == "__Host-csrf"
    assert found["SESSION_COOKIE_SECURE"] is found["CSRF_COOKIE_SECURE"] is found["SECURE_SSL_REDIRECT"] is True
    assert found["SECURE_HSTS_SECONDS"] >= 31_536_000
    assert found["SECURE_PROXY_SSL_HEADER"] is None


def test_the_garbage_collector_works_once_all_is_loaded_and_never_looks_at_that():
    assert gc.isenabled()
    assert gc.get_freeze_count() > 100_000


def test_development_on_localhost_works_over_http():
    found = read("SESSION_COOKIE_NAME", "SESSION_COOKIE_SECURE", "SECURE_SSL_REDIRECT", KEYSTEAD_ENV="development")
    assert found == {"SESSION_COOKIE_NAME": "session", "SESSION_COOKIE_SECURE": False, "SECURE_SSL_REDIRECT": False}


def test_secrets_come_from_files(tmp_path):
    (tmp_path / "key").write_text("k" * 50 + "\n")
    (tmp_path / "url").write_text("postgres://keystead_application:from-file@db:5432/keystead\n")
    found = read(
        "SECRET_KEY",
        "DATABASES",
        KEYSTEAD_SECRET_KEY_FILE=str(tmp_path / "key"),
        DATABASE_URL_FILE=str(tmp_path / "url"),
    )
    assert found["SECRET_KEY"] == "k" * 50
    assert found["DATABASES"]["default"]["PASSWORD"] == "from-file"


@pytest.mark.parametrize(
    ("command", "name", "value", "why"),
    [
        ("check", "PORT", "secret-words", "has another form"),
        ("check", "KEYSTEAD_SECRET_KEY_FILE", "/nonexistent/key", "/nonexistent/key: No such file or directory"),
        ("first_administrator", "KEYSTEAD_TRUSTED_PROXIES", "secret-words", "has another form"),
        ("check", "KEYSTEAD_PUBLIC_URL", "https://[secret-words", "has another form"),
        ("check", "KEYSTEAD_PUBLIC_URL", "https://secret-words:99999", "has another form"),
        ("check", "KEYSTEAD_LOG_LEVEL", "secret-words", "has another form"),
        ("check", "DATABASE_URL", "postgress://keystead_application:secret-words@db/keystead", "has another form"),
        ("check", "DATABASE_AUDITOR_URL", "secret-words", "has another form"),
        ("check", "REDIS_URL", "http://:secret-words@valkey:6379/0", "has another form"),
        ("check", "REDIS_URL", "redis://:secret-words@valkey:port/0", "has another form"),
        ("check", "KEYSTEAD_FEED_URL", "secret-words", "has another form"),
        ("check", "KEYSTEAD_STATEMENT_TIMEOUT_MS", "-5", "has another form"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named_without_its_value(command, name, value, why):
    done = subprocess.run(
        [sys.executable, "manage.py", command],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], name: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"setting {name.removesuffix('_FILE')} cannot be read" in done.stderr
    assert why in done.stderr
    assert "secret-words" not in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_setting_is_as_if_it_were_not_set(tmp_path):
    (tmp_path / "hours").write_text("\n")
    found = read(
        "KEYSTEAD_EXPORT_FOLDER", "KEYSTEAD_EXPORT_DAYS", "KEYSTEAD_DEVICE_SIGN_IN_HOURS", "KEYSTEAD_TRUSTED_PROXIES_NAMED",
        KEYSTEAD_DATA="/srv/keystead", KEYSTEAD_EXPORT_FOLDER="", KEYSTEAD_EXPORT_DAYS="", KEYSTEAD_TRUSTED_PROXIES="",
        KEYSTEAD_DEVICE_SIGN_IN_HOURS_FILE=str(tmp_path / "hours"), KEYSTEAD_LOG_LEVEL="",
    )  # fmt: skip
    assert found["KEYSTEAD_EXPORT_FOLDER"] == "/srv/keystead/exports"
    assert (found["KEYSTEAD_EXPORT_DAYS"], found["KEYSTEAD_DEVICE_SIGN_IN_HOURS"]) == (7, 8)
    assert found["KEYSTEAD_TRUSTED_PROXIES_NAMED"] is False


def test_hosts_are_added_to_the_one_of_the_public_address():
    found = read(
        "ALLOWED_HOSTS", KEYSTEAD_PUBLIC_URL="https://keys.example.org", KEYSTEAD_ALLOWED_HOSTS="192.0.2.7, lb"
    )
    assert found == {"ALLOWED_HOSTS": ["keys.example.org", "192.0.2.7", "lb"]}


def test_levels_of_the_log_are_read_in_any_case():
    assert read("LOGGING", KEYSTEAD_LOG_LEVEL="debug")["LOGGING"]["loggers"]["keystead"] == {"level": "DEBUG"}


def test_the_broker_follows_the_url_of_valkey():
    assert read("CELERY_BROKER_URL", REDIS_URL="unix:///run/v.sock?db=2") == {
        "CELERY_BROKER_URL": "redis+socket:///run/v.sock?virtual_host=2"
    }
    assert read("CELERY_BROKER_URL", REDIS_URL="rediss://:p@v:6379/1") == {"CELERY_BROKER_URL": "rediss://:p@v:6379/1"}


def test_celery_is_a_doorbell():
    assert settings.CELERY_TASK_ACKS_LATE is settings.CELERY_TASK_REJECT_ON_WORKER_LOST is True
    assert settings.CELERY_ACCEPT_CONTENT == ["json"]
    assert settings.CELERY_RESULT_BACKEND is None
    assert settings.CELERY_WORKER_PREFETCH_MULTIPLIER == 1
    assert settings.CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"] > settings.CELERY_TASK_TIME_LIMIT


@pytest.mark.django_db
def test_the_connection_gives_up_on_a_lock_after_three_seconds():
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout'), current_setting('TimeZone'), current_user")
        assert cursor.fetchone() == ("3s", "UTC", "keystead_application")


def test_rest_lets_nobody_in_by_default():
    assert settings.REST_FRAMEWORK["DEFAULT_PERMISSION_CLASSES"] == ["portal.api.permissions.NobodyByDefault"]
    assert "Basic" not in str(settings.REST_FRAMEWORK["DEFAULT_AUTHENTICATION_CLASSES"])
