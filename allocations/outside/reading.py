"""The gateway's queries on Django's connection."""

from collections.abc import Coroutine, Sequence
from datetime import date, datetime
from typing import Any, TypeVar

from django.db import connection

from allocations import secrets
from allocations.gateway.entries import Book, KeyEntry
from allocations.gateway.keys import require_well_formed, unknown_key
from allocations.gateway.rows import load_book, load_key

T = TypeVar("T")


def driven(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing to its end, in this thread and its transaction."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("what runs on Django's connection waits for nothing")


class Shelf:
    """Reads what a call needs to know, each time anew."""

    async def fetch(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows."""
        with connection.cursor() as cursor:
            cursor.execute(query, parameters)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found

    async def window(self, key_id: int, window: str, starts_on: date) -> int:
        """Return the quota of a key's day or month, made when it is new."""
        rows = await self.fetch("SELECT allocations_window(%s, %s, %s)", (key_id, window, starts_on))
        quota: int = rows[0][0]
        return quota


SHELF = Shelf()


def key_of(secret: str) -> KeyEntry:
    """Return the key of a secret, whatever its state. Raises Refusal when there is none."""
    require_well_formed(secret)
    key = driven(load_key(SHELF, secrets.digest(secret)))
    if key is None:
        raise unknown_key()
    return key


def book_now() -> Book:
    """Return all models that can be called now."""
    return driven(load_book(SHELF))


def book_at(moment: datetime) -> Book:
    """Return the models and rates by which a call is settled that was admitted at a moment."""
    return driven(load_book(SHELF, known_at=moment))
