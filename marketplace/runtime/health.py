"""Say how a process is.

/healthz: its event loop answers. /readyz: it takes calls and pages, because its database is there and migrated, its
metering loop commits, and nobody asked it to stop.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from typing import Any

from asgiref.sync import sync_to_async
from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PATHS = ("/healthz", "/readyz")


class Health:
    """An ASGI application that answers requests for the process's health."""

    def __init__(self, fault_of_gateway: Callable[[], str]) -> None:
        self._fault_of_gateway = fault_of_gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        fault = "" if scope["path"] == "/healthz" else await self._fault()
        answer: dict[str, object] = {"ok": not fault}
        await answer_json(send, 503 if fault else 200, answer | ({"reason": fault} if fault else {}))

    async def _fault(self) -> str:
        return self._fault_of_gateway() or await sync_to_async(what_is_missing, thread_sensitive=False)()


async def answer_json(send: Send, status: int, document: dict[str, object]) -> None:
    """Send a whole answer."""
    body = json.dumps(document).encode() + b"\n"
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def what_is_missing() -> str:
    """Return why work is impossible now, or nothing."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('django_migrations') IS NOT NULL")
            if cursor.fetchone() != (True,):
                return "the database is not migrated"
            cursor.execute("SELECT app, name FROM django_migrations")
            applied = set(cursor.fetchall())
    except Error:
        return "the database cannot be reached"
    finally:
        connection.close()
    return "" if known_migrations() <= applied else "the database is not migrated"


@cache
def known_migrations() -> frozenset[tuple[str, str]]:
    """Return every migration of this version."""
    return frozenset(MigrationLoader(None).disk_migrations or ())
