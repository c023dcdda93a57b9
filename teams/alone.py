"""Locks of PostgreSQL's that go with the process: one that is killed leaves none in anybody's way."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

FEED_FETCH, CHOICE_RUN, FILE_RUNS = 7246886, 7246888, 7246889
"""The classes of such locks. Each kind of work has its own, so that the numbers of their rows do not meet."""


@contextmanager
def alone_at(work: int, number: int = 0) -> Iterator[bool]:
    """Try to be the only session at some work, on the row of a number, and say whether we are; nobody waits."""
    lock = [work, number % 2**31]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", lock)
        is_ours: bool = cursor.fetchone()[0]
        try:
            yield is_ours
        finally:
            if is_ours:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", lock)
