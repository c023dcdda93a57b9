"""The sandbox's usage feed, in the shape of OpenAI's `GET /v1/organization/usage/completions`.

Everything that it answered is in it, of both dialects and of embeddings too, by UTC day, model and key.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import orjson

from allocations.sandbox.tally import DAY_SECONDS, Tally, tally

PATH = "organization/usage/completions"
BUCKETS, MOST_BUCKETS = 7, 31
PAGE = "page_"
DAY = timedelta(days=1)


class BadQuery(ValueError):
    """A query cannot be answered; the message says why."""


def answer(counted: Tally, query: bytes) -> dict[str, Any]:
    """Return the page of buckets that a query asks for; raises BadQuery."""
    given = parse_qs(query.decode("latin-1"))
    if given.get("bucket_width", ["1d"]) != ["1d"]:
        raise BadQuery("The sandbox has buckets of a day alone: `bucket_width` is 1d.")
    first, last = _day(given, "start_time"), _day(given, "end_time", datetime.now(UTC).date() + DAY)
    page = given.get("page", [""])[0]
    if page:
        first = max(first, _day({"page": [page.removeprefix(PAGE)]}, "page"))
    ends = min(last, first + DAY * _limit(given))
    days = [first + DAY * number for number in range((ends - first).days)]
    return {
        "object": "page",
        "data": [_bucket(counted, day) for day in days],
        "has_more": ends < last,
        "next_page": f"{PAGE}{_unix(ends)}" if ends < last else None,
    }


def here(query: str) -> bytes:
    """Answer a query in this process, from what was counted on this machine; raises BadQuery."""
    return orjson.dumps(answer(tally(), query.encode("latin-1")))


def _bucket(counted: Tally, day: date) -> dict[str, Any]:
    return {
        "object": "bucket",
        "start_time": _unix(day),
        "end_time": _unix(day + DAY),
        "results": [_result(model, key, counts) for (model, key), counts in counted.of_day(day).items()],
    }


def _result(model: str, key: str, counts: dict[str, int]) -> dict[str, Any]:
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": counts["input_tokens"],
        "input_cached_tokens": counts["cached_tokens"],
        "input_cache_write_tokens": 0,
        "input_uncached_tokens": counts["input_tokens"] - counts["cached_tokens"],
        "output_tokens": counts["output_tokens"],
        "num_model_requests": counts["requests"],
        "project_id": None,
        "user_id": None,
        "api_key_id": key or None,
        "model": model or None,
        "batch": False,
        "service_tier": "default",
    }


def _limit(given: dict[str, list[str]]) -> int:
    text = given.get("limit", [str(BUCKETS)])[0]
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= MOST_BUCKETS:
        raise BadQuery(f"`limit` is a whole number from 1 to {MOST_BUCKETS}.")
    return int(text)


def _day(given: dict[str, list[str]], name: str, default: date | None = None) -> date:
    text = given.get(name, [""])[0]
    if not text and default:
        return default
    if not (text.isascii() and text.isdigit()) or int(text) % DAY_SECONDS or int(text) > 10**11:
        raise BadQuery(f"`{name}` is the start of a UTC day, in Unix seconds.")
    return datetime.fromtimestamp(int(text), UTC).date()


def _unix(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
