"""Read many rows as they stood at one moment, whatever is written meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def snapshot() -> Iterator[None]:
    """Let every query inside see one state of the database, and write nothing.

    Inside a transaction that has begun it is that transaction, since its kind cannot be changed any more.
    """
    began = not connection.in_atomic_block
    with transaction.atomic():
        if began:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
