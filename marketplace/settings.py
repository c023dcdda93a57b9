"""Django settings, read from the environment once, each with a safe default.

What may be set, and to what, is in docs/settings.md.
Settings reference: https://docs.djangoproject.com/en/5.2/ref/settings/
"""

from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from django.templatetags.static import static

from marketplace import embedded, env, secret_files

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = env.data_folder()

# --- Where Tank is ----------------------------------------------------------------------------
# Where people reach Tank's pages; mails and the gateway's error messages point there.
TANK_URL = env.url("TANK_URL", f"http://127.0.0.1:{env.number('PORT', 8000, least=1, most=65_535)}")
# Where gateways reach the sandbox provider that Tank serves itself.
SANDBOX_URL = env.url("SANDBOX_URL", f"{TANK_URL}/sandbox")
SANDBOX_IS_ELSEWHERE = bool(env.text("SANDBOX_URL"))
_here = urlsplit(TANK_URL)
# Tank itself speaks plain HTTP; https means that a proxy in front of it speaks TLS.
IS_HTTPS = _here.scheme == "https"

# --- Safety -----------------------------------------------------------------------------------
DEBUG = env.flag("DEBUG")
SECRET_KEY = env.text("SECRET_KEY") or secret_files.read_or_create(DATA_DIR, "django_secret_key")
# What the keys for provider credentials, webhook secrets and sealed ballots at rest are derived from.
ENCRYPTION_KEY = env.fernet_key("TANK_ENCRYPTION_KEY") or secret_files.read_or_create(
    DATA_DIR, "encryption_key", kind="fernet"
)
ALLOWED_HOSTS = env.names("ALLOWED_HOSTS", sorted({_here.hostname or "", "127.0.0.1", "localhost", "[::1]"}))
CSRF_TRUSTED_ORIGINS = env.names("CSRF_TRUSTED_ORIGINS", [f"{_here.scheme}://{_here.netloc}"])
CSRF_COOKIE_NAME, SESSION_COOKIE_NAME = "tank_csrf", "tank_session"
CSRF_COOKIE_SECURE = SESSION_COOKIE_SECURE = IS_HTTPS
SESSION_COOKIE_AGE = env.number("SESSION_HOURS", 12, least=1, most=720) * 3600
SECURE_SSL_REDIRECT = IS_HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if IS_HTTPS else None
SECURE_HSTS_SECONDS = env.number("HSTS_SECONDS", 31_536_000, least=0, most=63_072_000) if IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = IS_HTTPS
X_FRAME_OPTIONS = "DENY"
# Pages take forms; the gateway has a limit of its own, and so has the metering API.
PAGE_REQUEST_BYTES = 2 * 1024 * 1024
# A file of a pitch has at most 5 MB (pitches/attachments.py); one of up to this size is refused in words.
ATTACHMENT_REQUEST_BYTES = 16 * 1024 * 1024
# A file of a provider's figures has at most 100 MiB (ledger/services/feed_files.py); one larger is refused in words.
FEED_FILE_REQUEST_BYTES = 110 * 1024 * 1024

# --- Applications -----------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.forms",
    "django_htmx",
    "rules.apps.AutodiscoverRulesConfig",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "djmoney",
    "marketplace",
    "teams",
    "ledger",
    "allocations",
    "pitches",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "marketplace.static.StaticMiddleware",
    "marketplace.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
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
                "marketplace.nav.shell",
            ]
        },
    }
]
FORM_RENDERER = "teams.forms.TankRenderer"
ROOT_URLCONF = "marketplace.urls"
ASGI_APPLICATION = "marketplace.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Static files -----------------------------------------------------------------------------
# Straight out of the packages, or, when STATIC_ROOT is set, from that folder after `collectstatic`.
STATIC_URL = "/static/"
STATIC_ROOT = env.directory("STATIC_ROOT", BASE_DIR / "static_root") if env.text("STATIC_ROOT") else None
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "marketplace.static.PlotlyFinder",
]
WHITENOISE_USE_FINDERS = STATIC_ROOT is None
WHITENOISE_ALLOW_ALL_ORIGINS = False
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if STATIC_ROOT
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# --- Database ---------------------------------------------------------------------------------
DATABASES = {"default": embedded.database_settings(DATA_DIR, env.choice("TANK_DB_ROLE", "app", {"app", "owner"}))}

# --- People -----------------------------------------------------------------------------------
AUTH_USER_MODEL = "teams.User"
AUTHENTICATION_BACKENDS = [
    "rules.permissions.ObjectPermissionBackend",
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL, LOGIN_REDIRECT_URL = "account_login", "/"

# django-allauth: https://docs.allauth.org/en/latest/account/configuration.html
ACCOUNT_ADAPTER = "marketplace.accounts.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"  # addresses are entered by the platform admin or vouched for by the provider
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_DEFAULT_HTTP_PROTOCOL = _here.scheme
ACCOUNT_SESSION_REMEMBER = True
ALLAUTH_TRUSTED_PROXY_COUNT = env.number("TRUSTED_PROXIES", 1 if IS_HTTPS else 0, least=0, most=10)

# OpenID Connect is on when OIDC_SERVER_URL is set.
OIDC_SERVER_URL = env.url("OIDC_SERVER_URL", "")
OIDC_SIGNUP = env.flag("OIDC_SIGNUP")
SOCIALACCOUNT_ADAPTER = "marketplace.accounts.SocialAccountAdapter"
SOCIALACCOUNT_ONLY = False
# The provider is the company's own: an address it vouches for is that person.
SOCIALACCOUNT_EMAIL_AUTHENTICATION = SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": "company",
                "name": env.text("OIDC_NAME", "Company login"),
                "client_id": env.text("OIDC_CLIENT_ID"),
                "secret": env.text("OIDC_CLIENT_SECRET"),
                "settings": {"server_url": OIDC_SERVER_URL},
            }
        ]
        if OIDC_SERVER_URL
        else [],
    }
}

# --- Pages for programs, and the admin --------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "teams.api_access.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated", "teams.api_access.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "teams.api.Pages",
    "EXCEPTION_HANDLER": "teams.api.error_response",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "PAGE_SIZE": 50,
    "COERCE_DECIMAL_TO_STRING": True,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Tank",
    "VERSION": "1",
    "DESCRIPTION": "Accounts, entries, balances, usage, reports, rounds, pitches and metering. Amounts are decimal "
    "strings in the currency beside them, times are UTC.",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "ENUM_NAME_OVERRIDES": {
        "PitchStateEnum": "pitches.transitions.PitchState",
        "RoundStateEnum": "pitches.transitions.RoundState",
        "OfferStateEnum": "pitches.transitions.OfferState",
        "CounterStateEnum": "pitches.transitions.CounterState",
        "OutcomeEnum": "pitches.models.Outcome",
        "CallOutcomeEnum": "allocations.models.Outcome",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "marketplace.api_docs.errors_added",
    ],
}
UNFOLD = {
    "SITE_TITLE": "Tank",
    "SITE_HEADER": "Tank",
    "SITE_SUBHEADER": "AI compute budget",
    "SITE_URL": "/",
    "SITE_ICON": lambda request: static("tank/favicon.svg"),
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("tank/favicon.svg")},
    ],
    # The brand's teal and the pages' greys, so that pages and admin are one product.
    "COLORS": {
        "base": {
            step: f"oklch({lightness}% .009 178)"
            for step, lightness in (
                ("50", 98.5),
                ("100", 96.7),
                ("200", 92.8),
                ("300", 87.2),
                ("400", 70.7),
                ("500", 55.1),
                ("600", 44.6),
                ("700", 37.3),
                ("800", 27.8),
                ("900", 18),
                ("950", 13),
            )
        },
        "primary": {
            step: f"oklch({lightness}% {chroma} 184)"
            for step, lightness, chroma in (
                ("50", 97.5, 0.015),
                ("100", 94.5, 0.03),
                ("200", 89, 0.06),
                ("300", 81, 0.09),
                ("400", 72, 0.105),
                ("500", 60, 0.1),
                ("600", 48, 0.085),
                ("700", 42, 0.075),
                ("800", 36, 0.06),
                ("900", 31, 0.05),
                ("950", 22, 0.035),
            )
        },
    },
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
}

# --- Background work --------------------------------------------------------------------------
# https://docs.celeryq.dev/en/stable/userguide/configuration.html
BROKER_FOLDER = DATA_DIR / "broker"
CELERY_BROKER_URL = env.broker("CELERY_BROKER_URL", "filesystem://localhost")
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {
        "data_folder_in": str(BROKER_FOLDER / "queue"),
        "data_folder_out": str(BROKER_FOLDER / "queue"),
        "control_folder": str(BROKER_FOLDER / "control"),
    }
    if CELERY_BROKER_URL.startswith("filesystem:")
    else {}
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"  # keeps no file: no period is so long that a restart would matter
CELERY_TASK_IGNORE_RESULT = True
# A task that its worker did not finish is given to another one: every task may run twice.
CELERY_TASK_ACKS_LATE = CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_TASK_TIME_LIMIT = int(timedelta(minutes=15).total_seconds())

# --- Mail -------------------------------------------------------------------------------------
# With no EMAIL_HOST, mails are files in the data folder.
EMAIL_HOST = env.text("EMAIL_HOST")
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'filebased'}.EmailBackend"
EMAIL_FILE_PATH = str(DATA_DIR / "mail")
EMAIL_PORT = env.number("EMAIL_PORT", 587, least=1, most=65_535)
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = env.text("EMAIL_USER"), env.text("EMAIL_PASSWORD")
_email_security = env.choice("EMAIL_SECURITY", "starttls", {"starttls", "tls", "none"})
EMAIL_USE_TLS, EMAIL_USE_SSL = _email_security == "starttls", _email_security == "tls"
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text("EMAIL_FROM", f"Tank <tank@{_here.hostname}>")

# Once a day, for those who chose so: from this hour on, in the zone that the company lives in.
TIME_ZONE_LOCAL = env.zone("TANK_TIME_ZONE", "UTC")
DIGEST_HOUR = env.number("DIGEST_HOUR", 7, least=0, most=23)

# --- Alerts -----------------------------------------------------------------------------------
# Whether finance hears of lines that are spent to the last cent; the team and its unit's head always do.
ALERT_FINANCE = env.flag("ALERT_FINANCE", True)

# --- Webhooks ---------------------------------------------------------------------------------
# Networks inside the company that webhooks may be sent to; without any, only public addresses.
WEBHOOK_NETWORKS = env.networks("WEBHOOK_NETWORKS")

# --- Memory shared by processes ---------------------------------------------------------------
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": env.text("CACHE_URL")}
    if env.text("CACHE_URL")
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}

# --- Logs -------------------------------------------------------------------------------------
LOG_LEVEL = env.choice("LOG_LEVEL", "info", {"debug", "info", "warning", "error"}).upper()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "marketplace.logs.Formatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django": {"handlers": [], "level": LOG_LEVEL, "propagate": True},
        "django.server": {"handlers": [], "propagate": True},
        "uvicorn.error": {"level": "WARNING"},
        # One line per message: not at the usual level.
        "celery.app.trace": {"level": "DEBUG" if LOG_LEVEL == "DEBUG" else "WARNING"},
        "celery.worker.strategy": {"level": "DEBUG" if LOG_LEVEL == "DEBUG" else "WARNING"},
        "celery.beat": {"level": "DEBUG" if LOG_LEVEL == "DEBUG" else "WARNING"},
    },
}

# --- Time and language ------------------------------------------------------------------------
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = False

# --- Gateway ----------------------------------------------------------------------------------
# The largest request body, in bytes, and how many seconds an upstream may send nothing.
GATEWAY_REQUEST_BYTES = env.number("GATEWAY_REQUEST_BYTES", 10 * 1024 * 1024, least=1024, most=1024**3)
# What is too large for the path that it came to never reaches Django (marketplace/asgi.py).
DATA_UPLOAD_MAX_MEMORY_SIZE = max(PAGE_REQUEST_BYTES, GATEWAY_REQUEST_BYTES)
GATEWAY_SILENCE_SECONDS = env.number("GATEWAY_SILENCE_SECONDS", 600, least=1, most=86_400)
# How many seconds a request's head, and then its body, may take to arrive.
GATEWAY_REQUEST_SECONDS = env.number("GATEWAY_REQUEST_SECONDS", 60, least=1, most=3600)
# How many seconds a client may take nothing of an answer before it counts as gone.
GATEWAY_WRITE_SECONDS = env.number("GATEWAY_WRITE_SECONDS", 60, least=1, most=86_400)
# Where one process serves its metrics; each of several has a port of its own.
GATEWAY_METRICS_ADDRESS = env.address("GATEWAY_METRICS_ADDRESS")
# Where its traces go, if anywhere; OpenTelemetry's own variables say the rest.
GATEWAY_TRACES = env.choice("OTEL_TRACES_EXPORTER", "none", {"none", "otlp", "console"})
# For how many seconds a move of the board searches before it shows the best found and says that it is not proved; a
# page that shows such an answer then asks again, with more time.
BOARD_SECONDS = env.number("TANK_BOARD_MS", 150, least=0, most=60_000) / 1000
# How long the sandbox provider thinks before it answers, in milliseconds; for load tests.
SANDBOX_DELAY_MS = env.number("TANK_SANDBOX_DELAY_MS", 0, least=0, most=600_000)

# --- Feeds of providers -----------------------------------------------------------------------
# How long one may send nothing, how long a whole fetch may take, and the first wait before another try.
FEED_READ_SECONDS = env.number("TANK_FEED_READ_SECONDS", 60, least=1, most=600)
FEED_TOTAL_SECONDS = env.number("TANK_FEED_TOTAL_SECONDS", 900, least=1, most=86_400)
FEED_BACKOFF_SECONDS = env.number("TANK_FEED_BACKOFF_MS", 1000, least=0, most=60_000) / 1000
