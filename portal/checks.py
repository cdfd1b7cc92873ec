"""Refuse an unsafe production, in `manage.py check --deploy` and again when a server starts."""

import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import redis
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, register
from django.core.checks import Warning as Doubt
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.utils import OperationalError

from audit.forwarding.base import configured
from audit.keywrap.base import WrapError, load_wrap
from audit.witness.roster import RosterError, any_elsewhere, read_roster
from keys.crypto.errors import KeyringUnusable
from keys.crypto.keyring import Keyring
from portal import pulses

SHORTEST_SECRET: Final = 40
LONGEST_DEVICE_HOURS: Final = 8
EXAMPLE_WORDS: Final = ("change", "example", "insecure", "secret", "password", "test", "xxxx")
LOCAL_HOSTS: Final = ("", "localhost", "127.0.0.1", "::1")
STRONG_ROLE: Final = """
SELECT role.rolsuper, role.rolcreaterole, role.rolbypassrls, role.rolreplication,
       EXISTS (SELECT 1 FROM pg_class AS relation JOIN pg_namespace AS space ON space.oid = relation.relnamespace
               WHERE space.nspname = 'public' AND pg_has_role(role.oid, relation.relowner, 'MEMBER'))
FROM pg_roles AS role WHERE role.rolname = current_user
"""
STRENGTHS: Final = ("is a superuser", "may create roles", "may bypass row security", "may replicate", "owns tables")


def check_environment(**_facts: object) -> list[CheckMessage]:
    """Know where we are, and no switch of development may be on in production."""
    found: list[CheckMessage] = []
    if settings.KEYSTEAD_ENV not in {"development", "production"}:
        found.append(Error("KEYSTEAD_ENV must be development or production.", id="keystead.E001"))
    if settings.DEBUG:
        found.append(Error("KEYSTEAD_DEBUG shows settings and data to anyone: unset it.", id="keystead.E002"))
    if settings.DEMO:
        found.append(Error("DEMO loads people with known factors: never in production.", id="keystead.E003"))
    return found


def check_secret_key(**_facts: object) -> list[CheckMessage]:
    """Refuse a secret key that is missing, short or an example."""
    keys = [settings._wrapped.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]  # noqa: SLF001 - the attribute raises when empty
    if not keys[0]:
        return [Error("KEYSTEAD_SECRET_KEY_FILE is not set.", id="keystead.E004")]
    if any(len(key) < SHORTEST_SECRET or _is_example(key) for key in keys):
        hint = (
            f"Make one: python -c 'import secrets; print(secrets.token_urlsafe(48))' (≥ {SHORTEST_SECRET} characters)"
        )
        return [Error("The secret key is short or an example.", hint=hint, id="keystead.E005")]
    return []


def _is_example(key: str) -> bool:
    return len(set(key)) < 12 or key.lower().startswith(EXAMPLE_WORDS)


def check_keyring(**_facts: object) -> list[CheckMessage]:
    """Refuse a keyring that is missing or that others can read: it opens what is sealed."""
    path: Path = settings.KEYSTEAD_KEYRING_FILE
    try:
        found = path.stat()
    except OSError:
        return [Error("KEYSTEAD_KEYRING_FILE names no readable file.", id="keystead.E006")]
    if stat.S_IMODE(found.st_mode) & 0o077:
        return [Error("The keyring file can be read by others: chmod 600.", id="keystead.E007")]
    try:
        Keyring.load(path, keks=settings.KEYSTEAD_KEKS)
    except KeyringUnusable as error:
        return [Error(f"The keyring cannot be used: {error}.", id="keystead.E006")]
    return []


def check_address(**_facts: object) -> list[CheckMessage]:
    """Refuse an address without https, hosts left open and proxies nobody has counted."""
    found: list[CheckMessage] = []
    public = urlsplit(settings.KEYSTEAD_PUBLIC_URL)
    bare = not (public.path or public.query or public.fragment or public.username)
    if public.scheme != "https" or (public.hostname or "") in LOCAL_HOSTS or not bare:
        message = "KEYSTEAD_PUBLIC_URL must be the https address people use: a host, without a path."
        found.append(Error(message, id="keystead.E008"))
    if not settings.ALLOWED_HOSTS or any(host in {"*", "."} for host in settings.ALLOWED_HOSTS):
        found.append(Error("KEYSTEAD_ALLOWED_HOSTS must name the hosts.", id="keystead.E009"))
    if not settings.KEYSTEAD_TRUSTED_PROXIES_NAMED or settings.KEYSTEAD_TRUSTED_PROXIES < 0:
        message = "KEYSTEAD_TRUSTED_PROXIES does not say how many proxies stand before Keystead (0 for none)."
        hint = "Too few: everybody shares the proxy's address. Too many: clients choose their own."
        found.append(Error(message, hint=hint, id="keystead.E010"))
    return found


def check_cookies(**_facts: object) -> list[CheckMessage]:
    """Refuse cookies that would travel in the clear or be set by a neighbour host."""
    pairs = (
        (settings.SESSION_COOKIE_NAME, settings.SESSION_COOKIE_SECURE, settings.SESSION_COOKIE_HTTPONLY),
        (settings.CSRF_COOKIE_NAME, settings.CSRF_COOKIE_SECURE, settings.CSRF_COOKIE_HTTPONLY),
    )
    if all(name.startswith("__Host-") and secure and http_only for name, secure, http_only in pairs):
        return []
    return [Error("Session and CSRF cookies must be __Host-, Secure and HttpOnly.", id="keystead.E011")]


def check_engines(**_facts: object) -> list[CheckMessage]:
    """Refuse engines without a guard of their own: the embedded ones are for one machine and one person."""
    found: list[CheckMessage] = []
    if settings.KEYSTEAD_EMBEDDED_DATABASE:
        found.append(Error("DATABASE_URL is not set.", id="keystead.E012"))
    elif settings.DATABASES["verifier"]["USER"] == settings.DATABASES["default"]["USER"]:
        found.append(
            Doubt("DATABASE_VERIFIER_URL is not set: verification has the application's rights.", id="keystead.W001")
        )
    if settings.KEYSTEAD_EMBEDDED_VALKEY:
        found.append(Error("REDIS_URL is not set.", id="keystead.E013"))
    if settings.EMAIL_BACKEND.endswith((".filebased.EmailBackend", ".console.EmailBackend")):
        found.append(Doubt("EMAIL_URL is not set: nobody is told anything by mail.", id="keystead.W002"))
    return found


def check_database_role(**_facts: object) -> list[CheckMessage]:
    """Refuse a role that could undo what the database enforces: the log is append-only for everyone but its owner."""
    if settings.KEYSTEAD_EMBEDDED_DATABASE:
        return []
    found: list[CheckMessage] = []
    for alias in ("default", "verifier"):
        try:
            with connections[alias].cursor() as cursor:
                cursor.execute(STRONG_ROLE)
                row = cursor.fetchone()
        except OperationalError:
            found.append(
                Info(f"The database of {alias!r} was not reached, so its role is unchecked.", id="keystead.I001")
            )
            continue
        strong = [word for word, has in zip(STRENGTHS, row, strict=True) if has]
        if strong:
            message = f"The database role of {alias!r} is too strong: it {' and '.join(strong)}."
            hint = "Serve with keystead_application and keystead_verifier; keystead_owner is for migrations."
            found.append(Error(message, hint=hint, id="keystead.E014"))
    return found


def check_valkey(**_facts: object) -> list[CheckMessage]:
    """Refuse a Valkey that evicts: a forgotten nonce is a replayed request."""
    if settings.KEYSTEAD_EMBEDDED_VALKEY:
        return []
    try:
        policy = pulses.valkey().config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
    except redis.ResponseError:
        return [Info("Valkey does not tell its eviction policy.", id="keystead.I002")]
    except redis.RedisError:
        return [Info("Valkey was not reached, so its eviction policy is unchecked.", id="keystead.I003")]
    if policy == "noeviction":
        return []
    return [Error(f"Valkey evicts ({policy}): set maxmemory-policy noeviction.", id="keystead.E015")]


def check_exports(**_facts: object) -> list[CheckMessage]:
    """Refuse a folder of exports that others can read: the files hold the whole log."""
    found: list[CheckMessage] = []
    path: Path = settings.KEYSTEAD_EXPORT_FOLDER
    try:
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            found.append(Error("KEYSTEAD_EXPORT_FOLDER can be read by others: chmod 700.", id="keystead.E016"))
    except OSError as error:
        message = f"KEYSTEAD_EXPORT_FOLDER cannot be looked at: {error.strerror}."
        found.append(Error(message, id="keystead.E016"))
    if not 1 <= settings.KEYSTEAD_EXPORT_DAYS <= 365 or settings.KEYSTEAD_EXPORT_AT_ONCE < 1:
        message = "KEYSTEAD_EXPORT_DAYS lies between 1 and 365, and KEYSTEAD_EXPORT_AT_ONCE is at least 1."
        found.append(Error(message, id="keystead.E017"))
    return found


def check_forwarding(**_facts: object) -> list[CheckMessage]:
    """Refuse a receiver of the log that cannot be one; doubt one that is reached in the clear."""
    try:
        plug = configured()
    except (ImportError, ValueError) as error:
        return [Error(f"KEYSTEAD_LOG_FORWARD cannot be used: {error}", id="keystead.E018")]
    if plug is not None and plug.url.startswith(("tcp:", "udp:")):
        message = "KEYSTEAD_LOG_FORWARD_URL sends the log in the clear: use tls."
        return [Doubt(message, id="keystead.W003")]
    return []


def check_sealer(**_facts: object) -> list[CheckMessage]:
    """Refuse a way of keeping the sealer's keys that is none: the log would be sealed by nobody."""
    try:
        load_wrap(settings.KEYSTEAD_SEALER_KEY_WRAP, settings.KEYSTEAD_SEALER_KEY_WRAP_OPTIONS)
    except WrapError as error:
        return [Error(f"KEYSTEAD_SEALER_KEY_WRAP cannot be used: {error}.", id="keystead.E022")]
    return []


def check_webhooks(**_facts: object) -> list[CheckMessage]:
    """Refuse a production in which webhooks could be pointed at the host itself."""
    if settings.KEYSTEAD_WEBHOOK_LOOPBACK and settings.KEYSTEAD_ENV == "production":
        message = "KEYSTEAD_WEBHOOK_LOOPBACK lets webhooks reach this host: unset it."
        return [Error(message, id="keystead.E020")]
    return []


def check_witnesses(**_facts: object) -> list[CheckMessage]:
    """Doubt a log that nobody elsewhere watches: whoever has this host could set it back unseen."""
    try:
        entries = read_roster(settings.KEYSTEAD_WITNESSES)
    except RosterError as problem:
        return [Error(f"The witnesses of the audit log cannot be asked: {problem}.", id="keystead.E019")]
    if any_elsewhere(entries):
        return []
    hint = (
        "Run manage.py audit_witness on another host and name it in KEYSTEAD_WITNESSES: docs/audit-log.md, witnesses."
    )
    return [Doubt("No witness of the audit log is outside this host.", hint=hint, id="keystead.W004")]


def check_devices(**_facts: object) -> list[CheckMessage]:
    """Refuse sign-ins of devices that outlast a working day, or that nobody can count."""
    if not 0 <= settings.KEYSTEAD_DEVICE_SIGN_IN_HOURS <= LONGEST_DEVICE_HOURS:
        message = f"KEYSTEAD_DEVICE_SIGN_IN_HOURS lies between 0 (none) and {LONGEST_DEVICE_HOURS}."
        return [Error(message, id="keystead.E021")]
    return []


CHECKS: Final[Sequence[Callable[..., list[CheckMessage]]]] = (
    check_environment,
    check_secret_key,
    check_keyring,
    check_address,
    check_cookies,
    check_engines,
    check_database_role,
    check_valkey,
    check_witnesses,
    check_exports,
    check_forwarding,
    check_sealer,
    check_webhooks,
    check_devices,
)


def register_all() -> None:
    """Tell Django; called once when the portal is ready."""
    for check in CHECKS:
        register(check, deploy=True)


def refuse_unsafe_production() -> None:
    """Raise when this is production and a check finds an error. Servers call this before they serve."""
    if not settings.PRODUCTION:
        return
    errors = [message for check in CHECKS for message in check() if message.is_serious()]
    if errors:
        raise ImproperlyConfigured("This production is unsafe and does not start:\n" + "\n".join(map(str, errors)))
