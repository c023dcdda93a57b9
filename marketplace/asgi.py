"""The whole of Tank as one ASGI application: what is for programs goes past Django's middleware.

`/v1/…` is the gateway, `/sandbox/…` the sandbox provider, `/healthz` and `/readyz` say how the process is,
and everything else are pages.
"""

import os
import re
from collections.abc import Awaitable, Callable
from typing import Any, cast

from django.core.asgi import get_asgi_application

from marketplace.runtime.health import PATHS, Health, Receive, Scope, Send, answer_json

Application = Callable[[Scope, Receive, Send], Awaitable[None]]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")
pages: Application = cast(Any, get_asgi_application())  # its types want a dict where servers give a mapping

from django.conf import settings  # noqa: E402 - Django is set up above

from allocations.gateway.app import application as gateway  # noqa: E402 - needs it
from allocations.sandbox.app import application as sandbox  # noqa: E402 - needs it

METERING = "/api/v1/metering/"
ATTACHMENTS = re.compile(r"/(?:api/v1/)?pitches/\d+/attachments/")
FEED_FILES = "/ledger/reconciliation/import/"
health = Health(gateway.operation.fault)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Hand a connection to whom it is for; start-up and shutdown concern the gateway."""
    if scope["type"] == "lifespan":
        await gateway(scope, receive, send)
    elif scope["type"] == "http":
        await chosen(scope["path"])(scope, receive, send)


def chosen(path: str) -> Application:
    """Return the application that a path belongs to."""
    if path == "/v1" or path.startswith("/v1/"):
        return gateway
    if path.startswith("/sandbox/"):
        return sandbox
    if path in PATHS:
        return health
    return limited_pages


def most_bytes(path: str) -> int:
    """Return how large a request's body may be.

    A call from outside may bring the provider's request along, which is as large as the gateway allows; a file of a
    pitch, or of a provider's figures, may be somewhat too large, so that the page can say so.
    """
    if path.startswith(METERING):
        return settings.GATEWAY_REQUEST_BYTES
    if path == FEED_FILES:
        return settings.FEED_FILE_REQUEST_BYTES
    return settings.ATTACHMENT_REQUEST_BYTES if ATTACHMENTS.fullmatch(path) else settings.PAGE_REQUEST_BYTES


async def limited_pages(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a page, unless the request's body is larger than any form of ours."""
    most = most_bytes(scope["path"])
    length = dict(scope["headers"]).get(b"content-length", b"0")
    if length.isdigit() and int(length) > most:
        await answer_json(send, 413, {"detail": f"A request may have at most {most} bytes."})
        return
    received = 0

    async def counted() -> dict[str, object]:
        nonlocal received
        message = dict(await receive())
        received += len(message.get("body", b""))
        return message if received <= most else {"type": "http.disconnect"}

    await pages(scope, counted, send)
