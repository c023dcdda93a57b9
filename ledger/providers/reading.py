"""Reading JSON of providers strictly: what is not as documented fails the fetch rather than counts wrongly."""

import json
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation, localcontext
from typing import Any

from ledger.models.feeds import Charge
from ledger.providers.base import FeedFailed, Span

PLACES = Decimal(1).scaleb(-12)  # of an amount: a provider's float beyond them is noise, rounded half to even
MOST = 10**15  # tokens or calls of one row
DAY = timedelta(days=1)
LENGTHS = {"model": 200, "service_tier": 30}
LONGEST = 160
# What a charge that is not for tokens is, by the provider's words; the first that is found.
WORDS: tuple[tuple[Charge, tuple[str, ...]], ...] = (
    (Charge.CREDIT, ("credit", "refund", "promotion", "discount")),
    (Charge.MINIMUM, ("minimum", "commit")),
    (Charge.TOOL, ("search", "interpreter", "execution", "container", "vector", "storage", "session", "tool", "evals")),
    (Charge.TOOL, ("image", "audio", "video", "speech", "transcription")),
)


def items(document: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a list; raises FeedFailed when it is no list of objects."""
    found = document.get(name)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise FeedFailed(f"An answer has no list {name!r} as documented.")
    yield from found


def part(item: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object within another; raises FeedFailed."""
    found = item.get(name)
    if not isinstance(found, dict):
        raise FeedFailed(f"A row has no {name!r} as documented.")
    return found


def count(item: Mapping[str, Any], name: str, *, optional: bool = False) -> int:
    """Return a whole number that is not negative; zero for an optional one that is not told. Raises FeedFailed."""
    found = item.get(name)
    if found is None and optional:
        return 0
    if type(found) is not int or not 0 <= found <= MOST:
        raise FeedFailed(f"A row's {name!r} is {found!r}, which is no count.")
    return found


def text(item: Mapping[str, Any], name: str) -> str:
    """Return a text; empty for one that is not told. Raises FeedFailed."""
    found = item.get(name)
    if found is None:
        return ""
    most = LENGTHS.get(name, LONGEST)
    if not isinstance(found, str) or len(found) > most or "\0" in found:
        raise FeedFailed(f"A row's {name!r} is no text of at most {most} characters.")
    return found


def amount(raw: object, *, in_cents: bool = False) -> Decimal:
    """Return an amount in the currency's unit, to 12 places, half to even; raises FeedFailed for what is no number."""
    if isinstance(raw, bool) or not isinstance(raw, int | str | Decimal):
        raise FeedFailed(f"A row's amount is {raw!r}, which is no number.")
    try:
        with localcontext() as exact:
            exact.prec = 60
            value = Decimal(raw) / (100 if in_cents else 1)
            return value.quantize(PLACES, ROUND_HALF_EVEN)
    except InvalidOperation:
        raise FeedFailed(f"A row's amount is {raw!r}, which is no number.") from None


def tokens_of(quantity: object, unit: object) -> int:
    """Return how many tokens a quantity is; zero when it is of something else, or not whole."""
    scale = {"tokens": 1, "1000_tokens": 1000}.get(str(unit))
    if scale is None or isinstance(quantity, bool) or not isinstance(quantity, int | Decimal):
        return 0
    value = quantity * scale
    return int(value) if value == int(value) and 0 <= value <= MOST else 0


def charge_by_words(words: str) -> Charge:
    """Return what a charge that is not for tokens is, from the provider's words for it."""
    lowered = words.lower()
    return next((charge for charge, known in WORDS if any(word in lowered for word in known)), Charge.OTHER)


def detail_of(item: Mapping[str, Any], kept: Collection[str], lead: str = "") -> str:
    """Return the dimensions of a row that have no column, as one text: the same for the same, other for others.

    A dimension is a text, a flag or an object; a number that we do not know is a measure, and none.
    """
    found = [lead] if lead else []
    for name in sorted(item):
        value = item[name]
        if name not in kept and isinstance(value, str | bool | dict):
            plain = isinstance(value, str) and not set(value) & set(';="\0')
            found.append(f"{name}={value if plain else json.dumps(value, sort_keys=True, default=str)}")
    return "; ".join(found)


def day_of_unix(bucket: Mapping[str, Any]) -> date:
    """Return the day of a bucket with Unix seconds; raises FeedFailed when it is no whole UTC day."""
    return _whole_day(
        datetime.fromtimestamp(count(bucket, "start_time"), UTC), datetime.fromtimestamp(count(bucket, "end_time"), UTC)
    )


def day_of_iso(bucket: Mapping[str, Any]) -> date:
    """Return the day of a bucket with RFC 3339 moments; raises FeedFailed when it is no whole UTC day."""
    try:
        first, last = (datetime.fromisoformat(text(bucket, name)) for name in ("starting_at", "ending_at"))
    except ValueError:
        raise FeedFailed("A row's day cannot be read.") from None
    return _whole_day(first, last)


def _whole_day(first: datetime, last: datetime) -> date:
    """Return the day; one that is not over yet may end early."""
    starts = first.astimezone(UTC) if first.tzinfo else first
    if first.tzinfo is None or last.tzinfo is None or starts.time() != datetime.min.time():
        raise FeedFailed(f"A row begins at {first.isoformat()}, which is not the start of a day in UTC.")
    if not starts < last <= starts + DAY:
        raise FeedFailed(f"A row is about {first.isoformat()} to {last.isoformat()}, which is not one day.")
    return starts.date()


def pieces(span: Span, most: int = 31) -> Iterator[Span]:
    """Yield a span in pieces of so many days, for a source that answers for no more at once."""
    first = span.first
    while first <= span.last:
        last = min(span.last, first + DAY * (most - 1))
        yield Span(first, last)
        first = last + DAY
