"""Measuring what both dialects have in common: texts, lists, whole numbers, service tiers."""

import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from allocations.metering.bounds import Unbounded

# Of a shorter body the bound is mostly output anyhow, and a closer look at its texts would cost more than it saves.
LONG_BODY = 2_000
LONG_TEXT = 200


def text_bound(payload: dict[str, Any], body: bytes) -> int:
    """Return a bound on the tokens of all text in a JSON body, in bytes."""
    if body.isascii() and b"\\u" not in body:
        return len(body)
    return len(body) + sum(map(_nfkc_growth, _strings(payload)))


def text_tokens(text: str) -> int:
    """Return a bound on the tokens of one text, in bytes."""
    return len(text) if text.isascii() else len(text.encode()) + _nfkc_growth(text)


def escapes_in(text: str) -> int:
    """Return how many bytes a text is longer in JSON, at least, than by itself."""
    return text.count("\n") + text.count('"') + text.count("\\")


def long_texts(piece: dict[str, Any], depth: int = 2) -> Iterator[str]:
    """Yield what a model reads as it is in a message, an item or a result: texts long enough for a closer look."""
    for name in ("content", "output", "text"):
        value = piece.get(name)
        if isinstance(value, str):
            if len(value) >= LONG_TEXT:
                yield value
        elif value and depth:
            for part in dicts(value):
                yield from long_texts(part, depth - 1)


def texts_of(*said: object) -> list[str]:
    """Return the long texts in what a body says."""
    return [text for one in said for text in long_texts({"content": one}, 3)]


def json_size(value: object, most: int) -> int:
    """Return how many bytes a part of a body has as JSON; `most` where it is nested too deeply to be written."""
    try:
        return len(orjson.dumps(value))
    except orjson.JSONEncodeError:
        return most


def _nfkc_growth(text: str) -> int:
    if text.isascii():
        return 0
    return max(0, len(unicodedata.normalize("NFKC", text).encode()) - len(text.encode()))


def _strings(value: object) -> Iterator[str]:
    # By a list of what is still to be looked at: nesting in a request may be deeper than Python's stack.
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            yield from item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def dicts(value: object) -> list[dict[str, Any]]:
    """Return the objects of a list; none when it is no list."""
    items: Iterable[object] = value if isinstance(value, list) else ()
    return [item for item in items if isinstance(item, dict)]


def whole(payload: dict[str, Any], name: str, most: int, least: int = 1) -> int | None:
    """Return a whole number of the request; None when it names none. Raises Unbounded for anything else."""
    value = payload.get(name)
    if value is None:
        return None
    if type(value) is not int or not least <= value <= most:
        raise Unbounded(f"`{name}` must be a whole number from {least} to {most}.", name)
    return value


def require_priced_tier(payload: dict[str, Any], priced: tuple[str, ...]) -> None:
    """Refuse a service tier that is dearer than the rate card knows. Raises Unbounded."""
    tier = payload.get("service_tier")
    if tier is not None and tier not in priced:
        raise Unbounded("Tank has no price for this service tier.", "service_tier")
