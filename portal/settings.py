"""Hold every setting of Keystead: from the environment only, secrets from files (*_FILE).

docs/settings.md explains each; portal/checks.py refuses the unsafe ones in production.
"""

import gc
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONCE, NONE, SELF

from portal.environment import Environment, address, log_level, not_negative
from portal.layout import layout_at
from portal.logs import configuration

# A start makes two hundred thousand objects that stay: to look for garbage among them took a quarter of it. portal/apps.py looks again.
gc.disable()

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment()

# --- Where we are ---------------------------------------------------------------------------------------------------
KEYSTEAD_ENV = env.str("KEYSTEAD_ENV", default="production")
PRODUCTION = KEYSTEAD_ENV != "development"
DEBUG = env.bool("KEYSTEAD_DEBUG", default=False)
DEMO = env.bool("DEMO", default=False)
PORT = env.int("PORT", default=8000)
KEYSTEAD_VERSION = "0.1.0"
KEYSTEAD_PUBLIC_URL = env.get_value(
    "KEYSTEAD_PUBLIC_URL", cast=address("https", "http", ""), default=f"http://localhost:{PORT}"
).rstrip("/")
KEYSTEAD_DATA = Path(env.str("KEYSTEAD_DATA", default=str(BASE_DIR / ".data"))).expanduser().resolve()
LAYOUT = layout_at(KEYSTEAD_DATA)
KEYSTEAD_TRUSTED_PROXIES = env.int("KEYSTEAD_TRUSTED_PROXIES", default=0)
# Whether the number of proxies was said at all: production must say it, even when it is 0 (portal/checks.py).
KEYSTEAD_TRUSTED_PROXIES_NAMED = "KEYSTEAD_TRUSTED_PROXIES" in env.ENVIRON

_public = urlsplit(KEYSTEAD_PUBLIC_URL)
ALLOWED_HOSTS = [*([] if PRODUCTION else ["localhost", "127.0.0.1", "[::1]"]), _public.hostname or ""]
ALLOWED_HOSTS += [host.strip() for host in env.list("KEYSTEAD_ALLOWED_HOSTS", default=[])]
CSRF_TRUSTED_ORIGINS = [f"{_public.scheme}://{_public.netloc}"]

# --- Secrets --------------------------------------------------------------------------------------------------------
SECRET_KEY = env.str("KEYSTEAD_SECRET_KEY", default="")
if not SECRET_KEY and LAYOUT.secret_key_file.exists():
    SECRET_KEY = LAYOUT.secret_key_file.read_text().strip()
SECRET_KEY_FALLBACKS = env.list("KEYSTEAD_SECRET_KEY_FALLBACKS", default=[])
KEYSTEAD_KEYRING_FILE = Path(env.str("KEYSTEAD_KEYRING_FILE", default=str(LAYOUT.keyring_file)))
KEYSTEAD_KEKS = env.str("KEYSTEAD_KEKS", default="keys.crypto.keks.local.LocalKeks")
KEYSTEAD_METRICS_TOKEN = env.str("KEYSTEAD_METRICS_TOKEN", default="")

# --- Floors and rooms -----------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "portal",
    "keys",
    "audit",
    "portal.administration.AdministrationConfig",  # django.contrib.admin, served by our site
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_otp",
    "django_otp_webauthn",
    "axes",
    "rest_framework",
    "drf_spectacular",
    "crispy_forms",
    "crispy_bootstrap5",
    "django_htmx",
    "csp",
]
ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"
MIDDLEWARE = [
    "portal.middleware.RequestIdentity",
    "portal.middleware.SafeHeaders",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "portal.middleware.Bounds",
    "portal.accounts.session_cookie.SessionCookie",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
    "portal.middleware.PatientErrors",
    "portal.web.errors.FriendlyErrors",
    "portal.actors.SignInRedirect",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "portal.web.navigation.navigation",
            ],
        },
    },
]
CRISPY_ALLOWED_TEMPLATE_PACKS = "bootstrap5"
CRISPY_TEMPLATE_PACK = "bootstrap5"
FORM_RENDERER = "django.forms.renderers.DjangoTemplates"

# --- Database: PostgreSQL only --------------------------------------------------------------------------------------
_postgres = address("postgres", "postgresql", "psql", "pgsql")
KEYSTEAD_EMBEDDED_DATABASE = not env.get_value("DATABASE_URL", cast=_postgres, default="")
LOCK_TIMEOUT_MS = 3_000  # then the answer is 503 busy_retry
STATEMENT_TIMEOUT_MS = env.get_value("KEYSTEAD_STATEMENT_TIMEOUT_MS", cast=not_negative, default=20_000)


def _database(variable: str, role: str) -> dict[str, Any]:
    """Return the connection of `role`: the variable's, the embedded engine's, or else that of DATABASE_URL."""
    url = env.get_value(variable, cast=_postgres, default="") or (
        LAYOUT.database_url(role) if KEYSTEAD_EMBEDDED_DATABASE else env.str("DATABASE_URL")
    )
    return {
        **env.db_url_config(url),
        "ATOMIC_REQUESTS": False,
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "application_name": f"keystead-{role.removeprefix('keystead_')}",
            "connect_timeout": 5,
            "tcp_user_timeout": 10_000,  # ms; a database behind a dead wire is away, and not merely slow for a quarter of an hour
            # Of what the server binds: the log's own statements. Django's others are whole texts, and never prepared.
            "prepare_threshold": 3,
            "options": f"-c lock_timeout={LOCK_TIMEOUT_MS} -c statement_timeout={STATEMENT_TIMEOUT_MS} -c timezone=UTC",
        },
    }


DATABASES = {
    "default": _database("DATABASE_URL", "keystead_application"),
    "verifier": _database("DATABASE_VERIFIER_URL", "keystead_verifier"),
    "auditor": _database("DATABASE_AUDITOR_URL", "keystead_auditor"),
    "sealer": _database("DATABASE_SEALER_URL", "keystead_sealer"),
    "retention": _database("DATABASE_RETENTION_URL", "keystead_retention"),
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- The sealer of the audit log: a process of its own, with a key that no other process needs --------------------------
KEYSTEAD_SEALER_FOLDER = Path(env.str("KEYSTEAD_SEALER_FOLDER", default=str(LAYOUT.sealer)))
KEYSTEAD_SEALER_KEY_FILE = Path(
    env.str("KEYSTEAD_SEALER_KEY_FILE", default=str(KEYSTEAD_SEALER_FOLDER / "signing.key"))
)
KEYSTEAD_SEALER_KEY_WRAP = env.str("KEYSTEAD_SEALER_KEY_WRAP", default="audit.keywrap.plain.Plain")
KEYSTEAD_SEALER_KEY_WRAP_OPTIONS = {
    "kek": env.str("KEYSTEAD_SEALER_KEK", default=""),
    "command": env.str("KEYSTEAD_SEALER_KEK_COMMAND", default=""),
}
# Where archived ranges of the log go before anything is pruned: write-once storage.
KEYSTEAD_ARCHIVE = env.str("KEYSTEAD_ARCHIVE", default="audit.archives.folder.FolderStore")
KEYSTEAD_ARCHIVE_OPTIONS = {
    "folder": env.str("KEYSTEAD_ARCHIVE_FOLDER", default=str(LAYOUT.data / "archive"))
} | env.dict("KEYSTEAD_ARCHIVE_OPTIONS", default={})
KEYSTEAD_ALARM_MAIL = env.list("KEYSTEAD_ALARM_MAIL", default=[])
# Who is shown the log's head, as a JSON list of back ends (audit/witness/roster.py); the check of production reads it too.
KEYSTEAD_WITNESSES = env.str("KEYSTEAD_WITNESSES", default="")
# The public half, which everybody may have: as texts or files.
KEYSTEAD_LOG_KEYS = env.list("KEYSTEAD_LOG_KEYS", default=[])

# --- Exports from the log: files that workers make and the site hands out, so both need the folder ----------------------
KEYSTEAD_EXPORT_FOLDER = Path(env.str("KEYSTEAD_EXPORT_FOLDER", default=str(LAYOUT.exports)))
KEYSTEAD_EXPORT_DAYS = env.int("KEYSTEAD_EXPORT_DAYS", default=7)
KEYSTEAD_EXPORT_AT_ONCE = env.int("KEYSTEAD_EXPORT_AT_ONCE", default=50_000)
# Where verifiers count what is presented to them: files that workers add to the database, so both need the folder.
KEYSTEAD_USAGE_FOLDER = Path(env.str("KEYSTEAD_USAGE_FOLDER", default=str(LAYOUT.data / "usage")))
# Where programs that verify in their own process hear that something changed: behind the same proxy unless it is said.
KEYSTEAD_FEED_URL = env.get_value(
    "KEYSTEAD_FEED_URL", cast=address("https", "http"), default=f"{KEYSTEAD_PUBLIC_URL}/v1/feed"
)
# Where the sealed log is sent on to: a dotted path and an address that it understands (docs/operations.md).
KEYSTEAD_LOG_FORWARD = env.str("KEYSTEAD_LOG_FORWARD", default="")
KEYSTEAD_LOG_FORWARD_URL = env.str("KEYSTEAD_LOG_FORWARD_URL", default="")
# How long a command line may stay signed in as a person (RFC 8628); 0 offers no such sign-in.
KEYSTEAD_DEVICE_SIGN_IN_HOURS = env.int("KEYSTEAD_DEVICE_SIGN_IN_HOURS", default=8)
# Lets webhooks reach this machine, also without TLS: to try a receiver out, never in production.
KEYSTEAD_WEBHOOK_LOOPBACK = env.bool("KEYSTEAD_WEBHOOK_LOOPBACK", default=False)

# --- Valkey and Celery: the doorbell, never the queue -----------------------------------------------------------------
REDIS_URL = env.get_value("REDIS_URL", cast=address("redis", "rediss", "unix"), default="")
KEYSTEAD_EMBEDDED_VALKEY = not REDIS_URL
REDIS_URL = REDIS_URL or LAYOUT.redis_url
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "keystead",
        "OPTIONS": {"socket_timeout": 2, "socket_connect_timeout": 2},
    },
}
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1).replace("?db=", "?virtual_host=")
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_TIME_LIMIT = 120
CELERY_TASK_SOFT_TIME_LIMIT = 100
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # for as long as it takes; by default a worker ends itself
# The visibility timeout must outlast the longest task, or a running task is handed out again (SECURITY.md).
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 180,
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
    "socket_timeout": 10,  # redis-py's 5 s would race a blocking read of 5 s
    "socket_keepalive": True,
    "global_keyprefix": "keystead:",
}
CELERY_TIMEZONE = "UTC"
CELERY_ENABLE_UTC = True
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
# Nobody steers workers by messages: whoever writes into Valkey could stop them all.
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False

# --- People -----------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "keys.Person"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},  # NIST SP 800-63B-4: length, no composition rules
    },
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_RESET_TIMEOUT = 3600
LOGIN_URL = "/sign-in/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/sign-in/"
OTP_WEBAUTHN_CREDENTIAL_MODEL = "keys.Passkey"
OTP_WEBAUTHN_RP_ID = _public.hostname or "localhost"
OTP_WEBAUTHN_RP_NAME = "Keystead"
OTP_WEBAUTHN_ALLOWED_ORIGINS = [f"{_public.scheme}://{_public.netloc}"]
OTP_WEBAUTHN_ALLOW_PASSWORDLESS_LOGIN = False
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.5  # hours
AXES_LOCK_OUT_AT_FAILURE = True
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # a closed door is told as locked, and opens in time
AXES_USERNAME_FORM_FIELD = "username"  # what authenticate() is called with; the default would be "email"
AXES_USERNAME_CALLABLE = "portal.accounts.steps.counted_name"
AXES_CLIENT_IP_CALLABLE = "portal.client_address.of_request"
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
AXES_DISABLE_ACCESS_LOG = True  # sign-ins are on record in the audit log

# --- Sessions and cookies ---------------------------------------------------------------------------------------------
SESSION_ENGINE = "portal.accounts.session_store"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "portal.web.errors.csrf_failure"
CSRF_COOKIE_SAMESITE = "Strict"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
# A __Host- cookie needs https; plain names serve http on localhost.
_https = PRODUCTION or _public.scheme == "https"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SESSION_COOKIE_NAME = "__Host-session" if _https else "session"
CSRF_COOKIE_NAME = "__Host-csrf" if _https else "csrf"
LANGUAGE_COOKIE_NAME = "language"

# --- Transport and content --------------------------------------------------------------------------------------------
SECURE_SSL_REDIRECT = _https and PRODUCTION
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 63_072_000 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _https
SECURE_HSTS_PRELOAD = _https
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if KEYSTEAD_TRUSTED_PROXIES else None
USE_X_FORWARDED_HOST = False
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200
DATA_UPLOAD_MAX_NUMBER_FILES = 0
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "manifest-src": [SELF],
    },
}

# --- Static files -----------------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
# The wheel of Bootstrap is a bare folder of assets, not a Django application.
STATICFILES_DIRS = [("bootstrap", distribution("bootstrap-wrapper").locate_file("bootstrap"))]
STATIC_ROOT = env.str("KEYSTEAD_STATIC_ROOT", default=str(KEYSTEAD_DATA / "static"))
WHITENOISE_USE_FINDERS = not PRODUCTION
WHITENOISE_KEEP_ONLY_HASHED_FILES = False
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {
        "BACKEND": "portal.static_storage.HashedStaticStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# --- Logs ------------------------------------------------------------------------------------------------------------
LOGGING_CONFIG = "logging.config.dictConfig"
LOGGING = configuration(
    production=PRODUCTION, level=env.get_value("KEYSTEAD_LOG_LEVEL", cast=log_level, default="INFO")
)

# --- Time and language ------------------------------------------------------------------------------------------------
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = True
LANGUAGE_CODE = "en"

# --- Mail -------------------------------------------------------------------------------------------------------------
globals().update(env.email_url("EMAIL_URL", default=f"filemail:///{KEYSTEAD_DATA / 'mail'}"))
if DEMO:  # whatever EMAIL_URL says: made-up people have made-up addresses, which may be somebody's
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = str(KEYSTEAD_DATA / "mail")
EMAIL_TIMEOUT = 5
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("KEYSTEAD_MAIL_FROM", default="keystead@localhost")

# --- REST: nobody may do anything unless a view says who may do what ----------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "portal.api.authentication.SessionWithMfa",
        "portal.api.signatures.SignedByKey",
        "portal.api.device_tokens.DeviceToken",
        "portal.api.authentication.ManagedKey",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["portal.api.permissions.NobodyByDefault"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["portal.api.parsers.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "portal.api.pagination.KeysetPagination",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "portal.api.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Keystead",
    "DESCRIPTION": "Governance of API keys: request, approve, claim once, verify, revoke.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": ["portal.api.openapi.finish"],
}
