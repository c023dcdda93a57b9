"""What a reader of a provider's figures does: fetch pages as they are, and read rows from them.

The two are apart so that what was received is kept byte for byte, and anybody can read it again. A new source is one
file of this folder with an `Adapter`, a row in `ledger/providers/registry.py`, a `FeedKind`, and its test.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Protocol

from ledger.models.feeds import Charge
from ledger.money import CURRENCY
from teams.errors import Refused

ZERO = Decimal(0)


class FeedFailed(Refused):
    """A source does not answer, or answers what cannot be read; the message is for people."""

    code = "feed_failed"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong in a file, and where: line and column count from 1."""

    line: int
    column: str
    message: str


class FileRefused(Refused):
    """A file cannot be imported: every fault with its line and column. Nothing of it was taken in."""

    code = "file_refused"

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = list(faults)
        first = self.faults[0]
        super().__init__(f"Line {first.line}, {first.column}: {first.message}", field="file")


@dataclass(frozen=True, slots=True)
class Span:
    """Whole days, UTC, both included."""

    first: date
    last: date

    @property
    def starts_at(self) -> datetime:
        """Return the first moment."""
        return datetime(self.first.year, self.first.month, self.first.day, tzinfo=UTC)

    @property
    def ends_at(self) -> datetime:
        """Return the moment after the last."""
        return datetime(self.last.year, self.last.month, self.last.day, tzinfo=UTC) + timedelta(days=1)

    def __contains__(self, day: date) -> bool:
        """Say whether a day is one of them."""
        return self.first <= day <= self.last


@dataclass(frozen=True, slots=True)
class Source:
    """Where a feed is read from: its address, the secret for it, and the one project it is about, if it is."""

    base_url: str
    credential: str
    project: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer as received; `complete_until` is when the provider says that its figures end."""

    request: str
    body: bytes
    complete_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of a provider. Token classes exclude one another; `amount` is in `currency`, zero where none is given.

    `row_id` names the row within its day, so that one which comes on two pages counts once; rows with the same
    dimensions and other ids are added up. Rows that have no id of their own leave it blank: their dimensions are it.
    """

    day: date
    model_name: str = ""
    provider_key: str = ""
    project: str = ""
    service_tier: str = ""
    is_batch: bool = False
    charge: Charge = Charge.TOKENS
    token_class: str = ""
    detail: str = ""
    requests: int = 0
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    amount: Decimal = ZERO
    currency: str = CURRENCY
    row_id: str = ""
    upstream: str = ""
    """Of a proxy in front of several providers: which of them it sent the call to, by its own name."""


@dataclass(frozen=True, slots=True)
class KeySeen:
    """A key that the provider lists: its id, its name, and the ends of its secret."""

    external_id: str
    name: str = ""
    hint: str = ""
    project: str = ""


class Adapter(Protocol):
    """A source of figures."""

    gives_tokens: bool
    gives_money: bool

    def pages(self, source: Source, span: Span) -> Iterator[Page]:
        """Fetch every page of the span, one after another; raises FeedFailed. A file's adapter has none."""
        ...

    def rows(self, body: bytes, span: Span) -> Iterator[Row]:
        """Read the rows of one page that belong to the span; raises FeedFailed, of a file FileRefused."""
        ...

    def keys(self, source: Source) -> Iterator[KeySeen]:
        """List the account's keys, where the provider has such a list; raises FeedFailed."""
        ...
