"""Typed readers for the environment: a bad value stops the start with a sentence that names it."""

import base64
import binascii
import os
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit
from zoneinfo import available_timezones

BROKERS = ("filesystem", "redis", "rediss", "amqp", "amqps", "memory")


class BadSetting(SystemExit):
    """Stop the start: an environment variable has a value that cannot be used."""

    def __init__(self, name: str, value: str, wanted: str) -> None:
        super().__init__(f"Tank cannot start: {name}={value!r} is not {wanted}.")


def text(name: str, default: str = "") -> str:
    """Read a string; one of nothing but spaces counts as not set."""
    return os.environ.get(name, "").strip() or default


def flag(name: str, default: bool = False) -> bool:
    """Read a boolean written as 1/0, true/false, yes/no or on/off.

    Raises BadSetting for anything else.
    """
    value = text(name).lower()
    if not value:
        return default
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise BadSetting(name, value, "one of 1, 0, true, false, yes, no, on, off")


def number(name: str, default: int, *, least: int, most: int) -> int:
    """Read a whole number between `least` and `most`.

    Raises BadSetting for anything else.
    """
    value = text(name)
    if not value:
        return default
    if not value.isascii() or not value.isdigit() or not least <= int(value) <= most:
        raise BadSetting(name, value, f"a whole number from {least} to {most}")
    return int(value)


def choice(name: str, default: str, known: set[str]) -> str:
    """Read one of the known words.

    Raises BadSetting for anything else.
    """
    value = text(name, default).lower()
    if value not in known:
        raise BadSetting(name, value, f"one of {', '.join(sorted(known))}")
    return value


def zone(name: str, default: str) -> str:
    """Read the name of a time zone such as Europe/Berlin.

    Raises BadSetting for anything else.
    """
    value = text(name, default)
    if value not in available_timezones():
        raise BadSetting(name, value, "a time zone such as Europe/Berlin")
    return value


def names(name: str, default: list[str]) -> list[str]:
    """Read a comma-separated list of names."""
    return [part.strip() for part in text(name).split(",") if part.strip()] or default


def networks(name: str) -> list[IPv4Network | IPv6Network]:
    """Read a comma-separated list of networks, none by default.

    Raises BadSetting for one that is not written as 10.0.0.0/8.
    """
    try:
        return [ip_network(part) for part in names(name, [])]
    except ValueError:
        raise BadSetting(name, text(name), "a list of networks such as 10.0.0.0/8,fd00::/8") from None


def directory(name: str, default: Path) -> Path:
    """Read a folder's path, made absolute."""
    return Path(text(name) or default).expanduser().resolve()


def data_folder() -> Path:
    """Return the folder that Tank keeps its data in: TANK_DATA, or `var` in the checkout."""
    return directory("TANK_DATA", Path(__file__).resolve().parent.parent / "var")


def url(name: str, default: str) -> str:
    """Read the address of a web server, without the slash at its end.

    Raises BadSetting unless it is http:// or https:// with a host and no user, query or fragment.
    """
    value = text(name)
    if not value:
        return default
    parts = _split(name, value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise BadSetting(name, _without_password(parts), "an http:// or https:// address")
    return value.rstrip("/")


def address(name: str) -> tuple[str, int] | None:
    """Read a host and a port written as 127.0.0.1:9464 or [::1]:9464, or nothing.

    Raises BadSetting for anything else.
    """
    value = text(name)
    if not value:
        return None
    parts = _split(name, f"//{value}")
    if not parts.hostname or not parts.port or f"//{value}" != f"//{parts.netloc}" or parts.username:
        raise BadSetting(name, value, "a host and a port such as 127.0.0.1:9464")
    return parts.hostname, parts.port


def broker(name: str, default: str) -> str:
    """Read the address of a message broker.

    Raises BadSetting when its scheme is not one of Redis's, RabbitMQ's or `filesystem`.
    """
    value = text(name, default)
    parts = _split(name, value)
    if parts.scheme not in BROKERS:
        raise BadSetting(
            name, _without_password(parts), "a redis://, rediss://, amqp://, amqps:// or filesystem:// URL"
        )
    return value


def fernet_key(name: str) -> str:
    """Read a Fernet key, or nothing.

    Raises BadSetting, which does not repeat the value, unless it is 32 bytes in URL-safe base64.
    """
    value = text(name)
    try:
        length = len(base64.urlsafe_b64decode(value))
    except (binascii.Error, ValueError):
        length = -1
    if value and length != 32:
        raise BadSetting(name, "…", "a Fernet key (32 bytes in URL-safe base64)")
    return value


def database(name: str, value: str) -> dict[str, Any]:
    """Turn a `postgresql://user:password@host:port/name` URL into Django's settings.

    Raises BadSetting when the scheme is another or the database's name is missing.
    """
    parts = _split(name, value)
    if parts.scheme not in {"postgres", "postgresql"} or not parts.path.strip("/"):
        raise BadSetting(name, _without_password(parts), "a postgresql://user@host/name URL")
    query = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.strip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(query.pop("host", "")) or unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
        # Who waits for a database that does not answer is told so, not kept.
        "OPTIONS": {"connect_timeout": "10"} | {key: unquote(item) for key, item in query.items()},
    }


def _split(name: str, value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise BadSetting(name, "…", "a URL that can be read") from None
    return parts


def _without_password(parts: SplitResult) -> str:
    if not parts.password:
        return parts.geturl()
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":…@")).geturl()
