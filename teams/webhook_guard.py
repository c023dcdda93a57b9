"""Where webhooks may go: public addresses, and networks that the operator allows.

An address that people type in could point into our own network. It is looked at twice: when it is entered, and, since
a name can mean something else a second later, at the very socket that is about to be connected.
"""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from teams.errors import Refused

# IPv6 addresses that carry an IPv4 one inside: Python calls some of them global.
TUNNELS = tuple(ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"))
LOCAL_NAMES = {"localhost", "localhost.localdomain", "ip6-localhost"}
Address = IPv4Address | IPv6Address


class Forbidden(OSError):
    """An address is neither public nor in an allowed network."""


def require_url(url: str) -> None:
    """Let an address go on that webhooks may be sent to; raises Refused (bad_url) with what is wrong with it."""
    parts = _split(url)
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not host or len(url) > 500:
        raise _bad("This is not an address that begins with https:// and has at most 500 characters.")
    if parts.username is not None or parts.fragment or any(mark.isspace() or not mark.isprintable() for mark in url):
        raise _bad("An address has no user, password, fragment or space.")
    literal = _literal(host)
    if parts.scheme == "http" and not (settings.DEBUG or host in LOCAL_NAMES or (literal and literal.is_loopback)):
        raise _bad("Use https://: what is sent says how much was spent.")
    if host in LOCAL_NAMES:
        literal = ip_address("127.0.0.1")
    if literal is not None and not is_allowed(literal):
        raise _bad(_words(literal))


def is_allowed(address: Address) -> bool:
    """Say whether webhooks may go to an address."""
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    seen = inner or address
    if any(seen in network for network in settings.WEBHOOK_NETWORKS):
        return True
    return seen.is_global and not seen.is_multicast and not any(seen in network for network in TUNNELS)


def socket_guarded(info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
    """Make the socket of a connection, for aiohttp; raises Forbidden when it would go where it may not."""
    family, kind, protocol, _, place = info
    address = ip_address(place[0])
    if not is_allowed(address):
        raise Forbidden(_words(address))
    return socket.socket(family, kind, protocol)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise _bad("This address cannot be read.") from None
    return parts


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _words(address: Address) -> str:
    return f"{address} is not a public address, and its network is not in WEBHOOK_NETWORKS."


def _bad(message: str) -> Refused:
    return Refused(message, code="bad_url", field="url")
