"""Settings come from the environment, are documented, and a bad one stops the start by name."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT, manage

READERS = {
    "zone",
    "text",
    "flag",
    "number",
    "choice",
    "names",
    "networks",
    "directory",
    "url",
    "address",
    "broker",
    "fernet_key",
    "database",
}


def settings_with(tmp_path: Path, expression: str, **variables: str) -> str:
    """Return what an expression over the settings prints in a process with these variables alone."""
    env = {"PATH": os.environ["PATH"], "TANK_DATA": str(tmp_path), **variables}
    code = f"from marketplace import settings; print({expression})"
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip()


def names_read() -> set[str]:
    """Return every name that the code reads from the environment."""
    found = set()
    for path in (ROOT / "marketplace").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
                reader = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
                first = node.args[0] if node.args else None
                if reader in READERS and isinstance(first, ast.Constant) and re.fullmatch("[A-Z_]+", str(first.value)):
                    found.add(str(first.value))
    return found


def names_documented() -> list[str]:
    return re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE)


def test_every_setting_is_documented_once_and_nothing_else_is() -> None:
    assert sorted(names_read()) == sorted(names_documented())


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("DEBUG", "maybe", "DEBUG='maybe' is not one of 1, 0, true, false, yes, no, on, off."),
        ("PORT", "80.5", "PORT='80.5' is not a whole number from 1 to 65535."),
        ("PORT", "70000", "PORT='70000' is not a whole number from 1 to 65535."),
        ("TANK_URL", "tank.example", "TANK_URL='tank.example' is not an http:// or https:// address."),
        ("TANK_DB_ROLE", "root", "TANK_DB_ROLE='root' is not one of app, owner."),
        ("DATABASE_URL", "mysql://u:p@h/x", "DATABASE_URL='mysql://u:…@h/x' is not a postgresql://user@host/name URL."),
        ("DATABASE_URL", "postgresql://h:x/y", "DATABASE_URL='…' is not a URL that can be read."),
        ("CELERY_BROKER_URL", "http://x", "CELERY_BROKER_URL='http://x' is not a redis://, rediss://, amqp://, "
         "amqps:// or filesystem:// URL."),
        ("TANK_ENCRYPTION_KEY", "short", "TANK_ENCRYPTION_KEY='…' is not a Fernet key (32 bytes in URL-safe base64)."),
        ("WEBHOOK_NETWORKS", "10.0.0.1/8", "WEBHOOK_NETWORKS='10.0.0.1/8' is not a list of networks such as "
         "10.0.0.0/8,fd00::/8."),
        ("GATEWAY_METRICS_ADDRESS", "9464", "GATEWAY_METRICS_ADDRESS='9464' is not a host and a port such as "
         "127.0.0.1:9464."),
        ("TANK_TIME_ZONE", "Mars/Base", "TANK_TIME_ZONE='Mars/Base' is not a time zone such as Europe/Berlin."),
        ("EMAIL_SECURITY", "ssl", "EMAIL_SECURITY='ssl' is not one of none, starttls, tls."),
    ],
)  # fmt: skip
def test_a_bad_value_stops_the_start_with_a_sentence(tmp_path: Path, name: str, value: str, sentence: str) -> None:
    assert settings_with(tmp_path, "settings.DEBUG", **{name: value}) == f"Tank cannot start: {sentence}"


def test_defaults_are_safe_and_work_over_plain_http_on_this_machine(tmp_path: Path) -> None:
    what = "settings.DEBUG, settings.SESSION_COOKIE_SECURE, settings.SECURE_SSL_REDIRECT, settings.TANK_URL"

    assert settings_with(tmp_path, what) == "False False False http://127.0.0.1:8000"


def test_https_turns_on_everything_that_belongs_to_it(tmp_path: Path) -> None:
    what = (
        "settings.SESSION_COOKIE_SECURE, settings.CSRF_COOKIE_SECURE, settings.SECURE_SSL_REDIRECT,"
        "settings.SECURE_HSTS_SECONDS, settings.CSRF_TRUSTED_ORIGINS, 'tank.example' in settings.ALLOWED_HOSTS"
    )

    said = settings_with(tmp_path, what, TANK_URL="https://tank.example/")

    assert said == "True True True 31536000 ['https://tank.example'] True"


def test_secrets_are_made_once_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    first = settings_with(tmp_path, "settings.SECRET_KEY, settings.ENCRYPTION_KEY")
    second = settings_with(tmp_path, "settings.SECRET_KEY, settings.ENCRYPTION_KEY")

    assert first == second
    assert len(first) > 100
    files = list((tmp_path / "secrets").iterdir())
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in files} == {
        "django_secret_key": "0o600",
        "encryption_key": "0o600",
    }


def test_one_database_address_logs_in_as_the_owner_and_becomes_the_app(tmp_path: Path) -> None:
    what = "settings.DATABASES['default']['USER'], settings.DATABASES['default']['OPTIONS'].get('options')"
    url = "postgresql://owner:pw@db.example/tank"

    assert settings_with(tmp_path, what, DATABASE_URL=url) == "owner -c role=tank_app"
    assert settings_with(tmp_path, what, DATABASE_URL=url, TANK_DB_ROLE="owner") == "owner None"


def test_two_database_addresses_keep_the_roles_apart(tmp_path: Path) -> None:
    what = "settings.DATABASES['default']['USER'], settings.DATABASES['default']['OPTIONS'].get('options')"
    urls = {"DATABASE_URL": "postgresql://tank_app@db/tank", "DATABASE_OWNER_URL": "postgresql://tank_owner@db/tank"}

    assert settings_with(tmp_path, what, **urls) == "tank_app None"
    assert settings_with(tmp_path, what, **urls, TANK_DB_ROLE="owner") == "tank_owner None"


def test_openid_connect_is_on_by_configuration(tmp_path: Path) -> None:
    what = "[app['settings'] for app in settings.SOCIALACCOUNT_PROVIDERS['openid_connect']['APPS']]"

    assert settings_with(tmp_path, what) == "[]"
    said = settings_with(tmp_path, what, OIDC_SERVER_URL="https://login.acorn.example", OIDC_CLIENT_ID="tank")
    assert said == "[{'server_url': 'https://login.acorn.example'}]"


def test_a_database_that_is_away_is_said_in_one_line(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "TANK_DATA": str(tmp_path), "DATABASE_URL": "postgresql://x@127.0.0.1:1/none"}

    done = manage("quota", "A-1", env=env)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("The database cannot be reached: ")
