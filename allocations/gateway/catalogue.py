"""Keys, models and rates in memory: loaded when first asked for, dropped when the database says they changed.

One connection listens on `tank_catalogue`, another one reads. While nobody listens nothing is kept, so what is in
memory is never older than a notification's way. It cannot be the last word anyway: a revoked key's quota is closed
in the database, which refuses the call whatever a gateway remembers.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from typing import Any, Protocol, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo

from allocations.gateway import rows
from allocations.gateway.entries import Book, KeyEntry

logger = logging.getLogger(__name__)
T = TypeVar("T")

CHANNEL = "tank_catalogue"
KEY_TABLES = "allocations_"
MOST_UNKNOWN = 10_000
LISTEN_SECONDS = 1.0
PROOF_OF_LIFE_SECONDS = 5.0
RECONNECT_SECONDS = 0.25
READ_SECONDS = 5.0

AWAY = (psycopg.OperationalError, psycopg.InterfaceError, OSError, TimeoutError)


class CatalogueUnavailable(Exception):
    """The database cannot be read."""


class Windows(Protocol):
    """Where admission learns what a key's day or month is held against."""

    async def window(self, key_id: int, window: str, starts_on: date) -> int:
        """Return the quota of a key's day or month, made when it is new. Raises CatalogueUnavailable."""
        ...


class Catalogue:
    """The gateway's memory of one process."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._keys: dict[bytes, KeyEntry] = {}
        self._unknown: dict[bytes, None] = {}
        self._windows: dict[tuple[int, str, date], int] = {}
        self._book: Book | None = None
        self._version = 0
        self._is_listening = False
        self._listener: asyncio.Task[None] | None = None
        self._reader: psycopg.AsyncConnection[Any] | None = None
        self._reading = asyncio.Lock()
        self._loading: dict[object, asyncio.Task[Any]] = {}

    def start(self) -> None:
        """Begin to listen for changes; works without a database, remembering nothing until there is one."""
        self._listener = asyncio.create_task(self._listen_for_ever(), name="catalogue-listener")

    async def stop(self) -> None:
        """Stop listening and close both connections."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        if self._reader is not None:
            await self._reader.close()

    def known_key(self, digest: bytes) -> KeyEntry | None:
        """Return the key with this secret's digest if it is in memory."""
        return self._keys.get(digest)

    async def key(self, digest: bytes) -> KeyEntry | None:
        """Return the key with this secret's digest, None when there is none. Raises CatalogueUnavailable."""
        if digest in self._unknown:
            return None
        return await self._load_once(
            digest, lambda: rows.load_key(self, digest), lambda key: self._keep_key(digest, key)
        )

    async def book(self) -> Book:
        """Return all models that can be called. Raises CatalogueUnavailable."""
        if self._book is not None:
            return self._book
        return await self._load_once("book", lambda: rows.load_book(self), self._keep_book)

    async def window(self, key_id: int, window: str, starts_on: date) -> int:
        """Return the quota of a key's day or month, made when it is new. Raises CatalogueUnavailable."""
        place = (key_id, window, starts_on)
        if place not in self._windows:
            rows = await self.fetch("SELECT allocations_window(%s, %s, %s)", place)
            self._windows[place] = rows[0][0]
        return self._windows[place]

    async def fetch(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Read rows, past the memory, on the one reading connection. Raises CatalogueUnavailable."""
        async with self._reading:
            try:
                async with asyncio.timeout(READ_SECONDS):
                    return await self._fetch_again(query, parameters)
            except AWAY as error:
                logger.warning("the gateway cannot read its catalogue: %s", error)
                await self._close_reader()
                raise CatalogueUnavailable from error

    # --- Reading -------------------------------------------------------------------------------------------

    async def _fetch_again(self, query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        if self._reader is not None and self._reader.closed:
            await self._close_reader()
        try:
            return await self._fetch(query, parameters)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            # The server may have restarted since the last read; a new connection tells.
            await self._close_reader()
            return await self._fetch(query, parameters)

    async def _fetch(self, query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        if self._reader is None:
            self._reader = await psycopg.AsyncConnection.connect(self._dsn, autocommit=True)
        cursor = await self._reader.execute(query, parameters)
        return await cursor.fetchall()

    async def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    async def _load_once(self, name: object, load: Callable[[], Awaitable[T]], keep: Callable[[T], None]) -> T:
        # Callers that miss the same thing together wait for one query.
        task: asyncio.Task[T] | None = self._loading.get(name)
        if task is None:
            task = asyncio.create_task(self._load(name, load, keep))
            self._loading[name] = task
        return await asyncio.shield(task)

    async def _load(self, name: object, load: Callable[[], Awaitable[T]], keep: Callable[[T], None]) -> T:
        version = self._version
        try:
            found = await load()
        finally:
            if self._loading.get(name) is asyncio.current_task():
                del self._loading[name]
        if self._is_listening and self._version == version:
            keep(found)
        return found

    def _keep_key(self, digest: bytes, key: KeyEntry | None) -> None:
        if key is not None:
            self._keys[digest] = key
            return
        self._unknown[digest] = None
        if len(self._unknown) > MOST_UNKNOWN:
            del self._unknown[next(iter(self._unknown))]

    def _keep_book(self, book: Book) -> None:
        self._book = book

    # --- Listening -----------------------------------------------------------------------------------------

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                await self._listen()
            except AWAY as error:
                logger.warning("the gateway's catalogue lost its listener: %s", error)
            finally:
                self._is_listening = False
                self._forget()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._dsn, autocommit=True, connect_timeout=5) as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            self._forget()  # what was loaded before may have changed unheard
            self._is_listening = True
            while True:
                async for notice in connection.notifies(timeout=LISTEN_SECONDS):
                    self._forget(notice.payload)
                async with asyncio.timeout(PROOF_OF_LIFE_SECONDS):
                    await connection.execute("SELECT 1")

    def _forget(self, table: str = "") -> None:
        # A query that is under way may return what it read before the change: its result is not kept, and who
        # asks from now on does not join it.
        self._version += 1
        self._loading.clear()
        if not table or table.startswith(KEY_TABLES):
            self._keys.clear()
            self._unknown.clear()
            self._windows.clear()
        if not table or not table.startswith(KEY_TABLES):
            self._book = None


def dsn_of(database: dict[str, Any]) -> str:
    """Turn one of Django's database settings into a connection string for psycopg."""
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    parts = {name: database[key] for key, name in names.items() if database.get(key)}
    return make_conninfo("", **parts, **database.get("OPTIONS", {}))
