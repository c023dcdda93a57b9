"""What waits for somebody. Every floor says what of its own does, so that no floor imports one above it.

A floor registers its source in its `AppConfig.ready`; the home page and the inbox show what all of them say.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from teams.models import User


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing that waits for a person: what, why, the page to act on, and by when if there is a date.

    `key` names it, so that a reminder of it is sent once.
    """

    title: str
    why: str
    url: str
    due: datetime | None = None
    key: str = ""


Source = Callable[[User], Iterable[Waiting]]
_SOURCES: list[Source] = []


def register(source: Source) -> None:
    """Add a source of things that wait for somebody; added again, it stays once."""
    if source not in _SOURCES:
        _SOURCES.append(source)


def things_waiting(user: User) -> Iterator[Waiting]:
    """Go through everything that waits for somebody."""
    for source in _SOURCES:
        yield from source(user)
