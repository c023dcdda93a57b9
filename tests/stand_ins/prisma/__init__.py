"""Stands in for the Prisma client that LiteLLM generates: its engine is a binary that no package brings.

It does on PostgreSQL what a LiteLLM proxy asks of it in a test. The schema is LiteLLM's own, from its migrations, and
so are all statements that it writes itself, such as those that read its spend logs.
"""

import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from .errors import ClientNotConnectedError, PrismaError, UniqueViolationError
from .table import Columns, Table

COLUMNS = """
    SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'
"""
MOST_CONNECTIONS = 4
# LiteLLM adds to `DATABASE_URL` what only Prisma's engine understands.
URL = "STAND_IN_DATABASE_URL"


class Json(str):
    """Marks a text as JSON."""

    __slots__ = ()


class Prisma:
    """A client of one database, or, inside a transaction, of one connection to it."""

    tables: dict[str, Columns]

    def __init__(self, *_: Any, **__: Any) -> None:
        self.tables = {}
        self._pool: AsyncConnectionPool[Any] | None = None
        self._own: AsyncConnection[Any] | None = None

    async def connect(self, *_: Any, **__: Any) -> None:
        """Open connections and learn the columns of all tables."""
        self._pool = AsyncConnectionPool(
            os.environ[URL], min_size=1, max_size=MOST_CONNECTIONS, open=False, configure=_configure
        )
        await self._pool.open(wait=True)
        for row in await self.run(COLUMNS, ()):
            self.tables.setdefault(row["table_name"], {})[row["column_name"]] = row["data_type"]

    async def disconnect(self, *_: Any, **__: Any) -> None:
        """Close all connections."""
        if self._pool is not None:
            await self._pool.close()
        self._pool = None

    def is_connected(self) -> bool:
        """Say whether it is connected."""
        return self._pool is not None

    async def run(self, query: str, values: Sequence[Any]) -> list[dict[str, Any]]:
        """Run a statement with `$1` for the first value; raises PrismaError."""
        async with self._connection() as connection:
            cursor = await _execute(connection, query, values)
            return await cursor.fetchall() if cursor.description else []

    async def query_raw(self, query: str, *values: Any, **_: Any) -> list[dict[str, Any]]:
        """Run LiteLLM's own statement, and return its rows as the engine writes them: moments as text."""
        rows = await self.run(query, [_sent(value) for value in values])
        return [{name: _told(value) for name, value in row.items()} for row in rows]

    async def query_first(self, query: str, *values: Any, **_: Any) -> dict[str, Any] | None:
        """Return the first row of a statement of LiteLLM's own."""
        return next(iter(await self.query_raw(query, *values)), None)

    async def execute_raw(self, query: str, *values: Any, **_: Any) -> int:
        """Run LiteLLM's own statement, and return how many rows it changed."""
        async with self._connection() as connection:
            return (await _execute(connection, query, [_sent(value) for value in values])).rowcount

    @asynccontextmanager
    async def tx(self, **_: Any) -> AsyncIterator["Prisma"]:
        """Give a client whose statements are one transaction."""
        async with self._connection() as connection, connection.transaction():
            inside = Prisma()
            inside.tables, inside._own = self.tables, connection
            yield inside

    def batch_(self) -> "Batch":
        """Give a client that runs its statements together, in one transaction, when it ends."""
        return Batch(self)

    def __getattr__(self, name: str) -> Table:
        for table, columns in self.tables.items():
            if table.lower() == name:
                return Table(self.run, table, columns)
        raise AttributeError(name)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        if self._own is not None:
            yield self._own
            return
        if self._pool is None:
            raise ClientNotConnectedError("connect first")
        async with self._pool.connection() as connection:
            yield connection


class Batch:
    """Statements that wait to be run together."""

    def __init__(self, client: Prisma) -> None:
        self._client, self._steps = client, list[tuple[tuple[str, ...], Any, Any]]()

    def __getattr__(self, name: str) -> "Later":
        return Later((name,), lambda *step: self._steps.append(step))

    async def commit(self) -> None:
        """Run them."""
        async with self._client.tx() as inside:
            for path, given, named in self._steps:
                found: Any = inside
                for name in path:
                    found = getattr(found, name)
                await found(*given, **named)

    async def __aenter__(self) -> "Batch":
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is None:
            await self.commit()


class Later:
    """A method, by the names that lead to it, whose call waits for its batch."""

    def __init__(self, path: tuple[str, ...], keep: Callable[..., None]) -> None:
        self._path, self._keep = path, keep

    def __getattr__(self, name: str) -> "Later":
        return Later((*self._path, name), self._keep)

    def __call__(self, *given: Any, **named: Any) -> None:
        self._keep(self._path, given, named)


async def _configure(connection: AsyncConnection[Any]) -> None:
    connection.row_factory, connection.cursor_factory = dict_row, AsyncRawCursor
    await connection.set_autocommit(True)


async def _execute(connection: AsyncConnection[Any], query: str, values: Sequence[Any]) -> psycopg.AsyncCursor[Any]:
    try:
        return await connection.execute(query.encode(), values)
    except psycopg.errors.UniqueViolation as error:
        raise UniqueViolationError(str(error)) from error
    except psycopg.Error as error:
        raise PrismaError(f"{error} in {query}") from error


def _sent(value: object) -> object:
    return json.dumps(value) if isinstance(value, dict) else value


def _told(value: object) -> object:
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return moment.isoformat(timespec="milliseconds")
    return value
