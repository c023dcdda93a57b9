"""The gateway as a process of its own: `/v1/…` and the process's health, and no pages.

manage.py gateway --port 8001
"""

from allocations.gateway.app import application as gateway
from marketplace.runtime import health
from marketplace.runtime.health import Receive, Scope, Send


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Hand a connection to the gateway, which knows what to say to any other path."""
    answering = health.application if scope["type"] == "http" and scope["path"] in health.PATHS else gateway
    await answering(scope, receive, send)
