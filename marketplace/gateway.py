"""The gateway as a process of its own: `/v1/…` and the process's health, and no pages.

manage.py gateway --port 8001
"""

from allocations.gateway.app import application as gateway
from marketplace.runtime.health import PATHS, Health, Receive, Scope, Send

health = Health(gateway.operation.fault)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Hand a connection to the gateway, which knows what to say to any other path."""
    answering = health if scope["type"] == "http" and scope["path"] in PATHS else gateway
    await answering(scope, receive, send)
