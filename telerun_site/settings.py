"""Django settings. The environment is read here and nowhere else.

`docs/operators.md` lists every variable; an instructor needs none of them.
"""

import os
import zoneinfo
from pathlib import Path

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from telerun_site.secret_key import read_or_make

BASE_DIR = Path(__file__).resolve().parent.parent


def _integer(name: str, default: int, *, minimum: int = 1, maximum: int = 2**53) -> int:
    text = os.environ.get(name, str(default))
    try:
        value = int(text)
    except ValueError:
        value = minimum - 1
    if not minimum <= value <= maximum:
        bounds = f"{minimum} or more" if maximum == 2**53 else f"{minimum} to {maximum}"
        raise ImproperlyConfigured(f"{name} must be a whole number, {bounds}, not {text!r}.")
    return value


# --- Where things live -------------------------------------------------------------------

TELERUN_DATA_DIR = Path(os.environ.get("TELERUN_DATA_DIR") or BASE_DIR / "queue").resolve()
TELERUN_CERTIFICATE = TELERUN_DATA_DIR / "server.cert"
TELERUN_KEY = TELERUN_DATA_DIR / "server.key"
TELERUN_CLIENT_SCRIPT = BASE_DIR / "submit.py"  # handed out by the queue
TELERUN_AUDIT_LOG = TELERUN_DATA_DIR / "audit_log.jsonl"
TELERUN_SCRATCH = TELERUN_DATA_DIR / "live.sqlite3"  # what programs print; may be lost

# --- The queue's own settings ------------------------------------------------------------

TELERUN_PORT = _integer("TELERUN_PORT", 4443, minimum=0, maximum=65535)
TELERUN_WORKERS = _integer("TELERUN_WORKERS", 2)
TELERUN_MAX_QUEUED_PER_USER = _integer("TELERUN_MAX_QUEUED_PER_USER", 1)
TELERUN_MAX_ATTEMPTS = _integer("TELERUN_MAX_ATTEMPTS", 3)
TELERUN_LEASE_SECONDS = _integer("TELERUN_LEASE_SECONDS", 30)
TELERUN_SWEEP_SECONDS = _integer("TELERUN_SWEEP_SECONDS", 5)
TELERUN_MAX_WAIT_SECONDS = _integer("TELERUN_MAX_WAIT_SECONDS", 30)
TELERUN_SILENCE_SECONDS = _integer("TELERUN_SILENCE_SECONDS", 20)
TELERUN_SUBMITS_PER_MINUTE = _integer("TELERUN_SUBMITS_PER_MINUTE", 30, minimum=0)  # of a user
TELERUN_WRONG_TOKENS_PER_MINUTE = _integer("TELERUN_WRONG_TOKENS_PER_MINUTE", 60, minimum=0)
TELERUN_FAILED_LOGINS = _integer("TELERUN_FAILED_LOGINS", 10, minimum=0)  # in ten minutes
TELERUN_PAGE_HOURS = _integer("TELERUN_PAGE_HOURS", 10, maximum=24 * 30)  # of a log-in
TELERUN_LOGIN_CODE_DAYS = _integer("TELERUN_LOGIN_CODE_DAYS", 7, maximum=366)
# Where students reach the queue, and the certificate that they find there, if it is a proxy's.
TELERUN_PUBLIC_URL = os.environ.get("TELERUN_PUBLIC_URL", "").rstrip("/")
if TELERUN_PUBLIC_URL and not TELERUN_PUBLIC_URL.startswith("https://"):
    raise ImproperlyConfigured("TELERUN_PUBLIC_URL must be of the form https://host:port.")
TELERUN_PUBLIC_CERTIFICATE = (
    Path(os.environ["TELERUN_PUBLIC_CERTIFICATE"]).resolve()
    if os.environ.get("TELERUN_PUBLIC_CERTIFICATE")
    else None
)
TELERUN_PROXIES = set(os.environ.get("TELERUN_PROXIES", "").replace(",", " ").split())
TELERUN_USER_QUOTA_BYTES = _integer("TELERUN_USER_QUOTA_BYTES", 2 * 1024**3, minimum=0)
TELERUN_MAX_SOURCE_BYTES = 1024 * 1024  # of all of a job's files: 413 source-too-large
# The compiler's flags of every job in a language, before its own; one word each.
TELERUN_FLAGS = {
    "cuda": os.environ.get("TELERUN_CUDA_FLAGS", "").split(),
    "cpp": os.environ.get("TELERUN_CPP_FLAGS", "").split(),
}

# Sent to the executor with every claim; times in seconds, sizes in bytes.
TELERUN_LIMITS = {
    "compile_seconds": _integer("TELERUN_COMPILE_SECONDS", 60),
    "execute_seconds": _integer("TELERUN_EXECUTE_SECONDS", 60),
    "log_bytes": _integer("TELERUN_LOG_BYTES", 1024 * 1024),
    "output_bytes": _integer("TELERUN_OUTPUT_BYTES", 64 * 1024 * 1024),
    "memory_bytes": _integer("TELERUN_MEMORY_BYTES", 4 * 1024**3),
    "processes": _integer("TELERUN_PROCESSES", 256),
    "disk_bytes": _integer("TELERUN_DISK_BYTES", 1024**3),
    # The database holds these files: few and small ones.
    "output_files": _integer("TELERUN_OUTPUT_FILES", 16, minimum=0, maximum=50),
    "output_file_bytes": _integer("TELERUN_OUTPUT_FILE_BYTES", 64 * 1024**2, maximum=256 * 1024**2),
}

# Largest request body. A JSON string spends at most six bytes on one of ours (\u0000); the
# largest honest bodies are a submission, and a result with its two logs.
TELERUN_MAX_BODY_BYTES = (
    max(6 * TELERUN_MAX_SOURCE_BYTES, 12 * TELERUN_LIMITS["log_bytes"]) + 256 * 1024
)

# --- Django ------------------------------------------------------------------------------

try:
    SECRET_KEY = read_or_make(TELERUN_DATA_DIR / "secret_key")
except OSError as error:
    raise ImproperlyConfigured(
        f"the data folder cannot be used: {error.filename}: {error.strerror}."
    ) from error
DEBUG = os.environ.get("TELERUN_DEBUG") == "1"

# Any host name: no page or mail builds a link from it, and the certificate says which
# names are the server's. Name them here where a proxy in front does not check.
ALLOWED_HOSTS = (os.environ.get("TELERUN_ALLOWED_HOSTS") or "*").split(",")

INSTALLED_APPS = [
    "telerun_site.apps.TelerunAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "drf_spectacular",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "foundation",
    "accounts",
    "courses",
    "jobs",
    "pages",
    "telerun_site.apps.TelerunSiteConfig",
]

MIDDLEWARE = [
    "foundation.middleware.content_security_policy",
    "foundation.middleware.refuse_bodies",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "foundation.middleware.PageSessions",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "foundation.middleware.PageLogIns",
    "foundation.middleware.PageMessages",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "foundation.middleware.DatabaseUnavailable",
]

ROOT_URLCONF = "telerun_site.urls"
CSRF_FAILURE_VIEW = "telerun_site.error_pages.form_refused"
WSGI_APPLICATION = "telerun_site.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "telerun_site" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Database ----------------------------------------------------------------------------

try:
    DATABASES = {
        "default": dj_database_url.parse(
            os.environ.get("DATABASE_URL") or f"sqlite:///{TELERUN_DATA_DIR / 'db.sqlite3'}"
        )
    }
except ValueError as error:  # its message may hold the password
    raise ImproperlyConfigured(
        "DATABASE_URL is not of the form postgres://USER:PASSWORD@HOST:PORT/NAME."
    ) from error
# An SQLite schema is brought up to date by whichever command comes first; PostgreSQL's, which
# several servers may share, by init-db alone.
TELERUN_MIGRATE_UNASKED = DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3"
if TELERUN_MIGRATE_UNASKED:
    DATABASES["default"]["ENGINE"] = "foundation.database.sqlite"
    DATABASES["default"]["OPTIONS"] = {
        # IMMEDIATE takes the write lock when a transaction begins, where waiting for it is
        # possible; taken later, in the middle, SQLite answers "database is locked" at once.
        "transaction_mode": "IMMEDIATE",
        "timeout": 5,  # seconds to wait for that lock; past it the answer is 503, try again
        # FULL: what was acknowledged is on disk.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
    # The tests run on a file, as the server does; Django's default for tests is memory.
    DATABASES["default"]["TEST"] = {"NAME": TELERUN_DATA_DIR / "test.sqlite3"}

else:
    DATABASES["default"]["ENGINE"] = "foundation.database.postgresql"
    # A process's connections are kept and shared: one costs PostgreSQL a process.
    DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {
        "min_size": 0,
        "max_size": 32,
        "timeout": 2,  # seconds to wait for one; past it the answer is 503, try again
    }
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True  # one that a restart broke is replaced

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Accounts ----------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
# Wrong codes are counted with wrong passwords (accounts/failures.py), not by django-otp too.
OTP_TOTP_THROTTLE_FACTOR = OTP_STATIC_THROTTLE_FACTOR = 0
OTP_TOTP_ISSUER = "Telerun"  # how a phone's app names it
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

# --- API ---------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.IsUser"],
    "DEFAULT_PARSER_CLASSES": ["foundation.parsers.BoundedJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.LimitOffsetPagination",
    "PAGE_SIZE": 50,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",  # imported by `make openapi`
    "EXCEPTION_HANDLER": "foundation.problems.exception_handler",
    # Logs hold any bytes; \u escapes carry what UTF-8 could not (docs/adr/0003).
    "UNICODE_JSON": False,
    "UNAUTHENTICATED_USER": None,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Telerun",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENFORCE_NON_BLANK_FIELDS": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "PREPROCESSING_HOOKS": ["telerun_site.openapi.apply_descriptions"],
    "POSTPROCESSING_HOOKS": ["telerun_site.openapi.complete"],
}

# A file in a form is never written to the disk: a body is read before anybody knows what it is for.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
FILE_UPLOAD_MAX_MEMORY_SIZE = DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024

# --- Transport and browsers --------------------------------------------------------------

SESSION_COOKIE_SECURE = True
SESSION_COOKIE_AGE = TELERUN_PAGE_HOURS * 3600  # a working day; Django's is two weeks
CSRF_COOKIE_SECURE = True
SECURE_SSL_REDIRECT = True  # gunicorn speaks nothing but TLS; this guards a proxy's mistake
SECURE_HSTS_SECONDS = _integer("TELERUN_HSTS_SECONDS", 0, minimum=0)
SILENCED_SYSTEM_CHECKS = [
    # HSTS holds for a whole host name, every port of it, and a self-signed certificate
    # cannot be accepted by hand under it: the operator's choice (TELERUN_HSTS_SECONDS).
    "security.W004",
    "security.W005",
    "security.W021",
]

# What a page of ours may load and run: nothing but what this server hands out as a file.
TELERUN_CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
TELERUN_WITHOUT_POLICY: tuple[str, ...] = ()  # how the paths begin of what has none

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # serves the admin's files from the packages: no collectstatic
WHITENOISE_AUTOREFRESH = DEBUG

# --- Language and time -------------------------------------------------------------------

LANGUAGE_CODE = "en-us"
TIME_ZONE = os.environ.get("TELERUN_TIME_ZONE") or "UTC"  # how the admin shows times
if TIME_ZONE not in zoneinfo.available_timezones():
    raise ImproperlyConfigured(f"TELERUN_TIME_ZONE {TIME_ZONE!r} is not one like Europe/Paris.")
FORMAT_MODULE_PATH = ["telerun_site.formats"]
USE_I18N = False
USE_TZ = True

# --- Logging -----------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        # A 4xx is the client's business, and the client has the answer.
        "django.request": {"level": "ERROR"},
        "django.server": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        # Their warnings repeat what a client sent, which may be a secret.
        "gunicorn": {"level": "ERROR", "propagate": False},  # it has a handler of its own
        "django.security.csrf": {"level": "ERROR"},
        "django": {"handlers": [], "level": "INFO"},
    },
}
