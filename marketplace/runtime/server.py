"""The server of our processes: uvicorn's, which keeps its door open while what is in flight finishes.

A closed door looks to a client like a machine that is gone. Behind an open one the process says that it is about to
stop: at /readyz to a load balancer, and to calls on connections that are kept, which are tried again elsewhere.
"""

import asyncio
import socket

import uvicorn

from allocations.gateway.operation import DRAIN
from marketplace.runtime.serving import SETTLE_SECONDS

POLL_SECONDS = 0.05


class DrainingServer(uvicorn.Server):
    """Finish what is in flight, cut off what takes too long, and only then close the sockets."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain for as long as uvicorn would wait, then shut down as it does."""
        drain = self.lifespan.state.get(DRAIN)
        if drain is not None:
            drain()
        await self._finish(self.config.timeout_graceful_shutdown or 0)
        for task in self.server_state.tasks:
            task.cancel()
        await self._finish(SETTLE_SECONDS)
        self.config.timeout_graceful_shutdown = 1  # for the last bytes of answers to leave
        await super().shutdown(sockets)

    async def _finish(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        last = loop.time() + seconds
        while self.server_state.tasks and not self.force_exit and loop.time() < last:
            await asyncio.sleep(POLL_SECONDS)
