"""One statement, prepared once and run again and again on a connection, with as little in between as can be.

psycopg prepares, adapts and converts for every kind of query; the metering transaction is always the same one, its
parameters are texts already, and every call waits for it. So it goes through psycopg's own wrapper of libpq.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.pq import ExecStatus

NAME = b"statement"


class Statement:
    """A prepared statement that returns one text."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._pgconn = connection.pgconn
        self._loop = asyncio.get_running_loop()

    async def prepare(self, query: str) -> None:
        """Prepare a query with parameters $1, $2 and so on. Raises psycopg.Error."""
        self._pgconn.send_prepare(NAME, query.encode())
        await self._result()

    async def run(self, parameters: Sequence[str | None]) -> bytes:
        """Run the query and return the one value that it answers. Raises psycopg.Error."""
        self._pgconn.send_query_prepared(NAME, [None if text is None else text.encode() for text in parameters])
        value = await self._result()
        if value is None:
            raise psycopg.InternalError("the statement answered nothing")
        return value

    async def _result(self) -> bytes | None:
        pgconn, value = self._pgconn, None
        while pgconn.flush():
            await self._until(self._loop.add_writer, self._loop.remove_writer)
        while True:
            while pgconn.is_busy():
                await self._until(self._loop.add_reader, self._loop.remove_reader)
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:
                return value
            if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
                while not pgconn.is_busy() and pgconn.get_result():
                    pass
                raise psycopg.errors.error_from_result(result)
            value = result.get_value(0, 0) if result.ntuples else None

    async def _until(self, add: Callable[..., Any], remove: Callable[[int], Any]) -> None:
        ready, socket = self._loop.create_future(), self._pgconn.socket
        add(socket, _resolve, ready)
        try:
            await ready
        finally:
            remove(socket)


def _resolve(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
