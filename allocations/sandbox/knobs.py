"""How a caller bends the sandbox: `x-sandbox-*` headers."""

from collections.abc import Iterable
from dataclasses import dataclass

from allocations.sandbox.answer import MOST_WANTED

MOST_MILLISECONDS = 600_000
MOST_CALLS = 1_000
MOST_FEED_TOKENS = 10**12
MOST_KEY = 160
STATUSES = {"400", "401", "403", "404", "408", "413", "429", "500", "502", "503", "504", "529"}
FAULTS = {"cut", "error-event", "no-usage", "not-json", "overrun", "redirect"} | STATUSES


class BadKnob(ValueError):
    """A header's value cannot be used; the message says what can."""


@dataclass(frozen=True, slots=True)
class Knobs:
    """What the headers of one request ask for."""

    delay_seconds: float = 0
    """Before the first byte."""
    chunk_delay_seconds: float = 0
    """Before every further piece of a stream."""
    output_tokens: int | None = None
    """How long the answer would like to be."""
    fault: str = ""
    feed_calls: int = 1
    """How many times the usage feed counts the call: zero leaves it out."""
    feed_tokens: int = 0
    """Output tokens that the usage feed counts beyond those of the answer."""
    feed_key: str = ""
    """The id of the key that the usage feed counts it under; empty is the gateway's own."""

    @property
    def has_usage(self) -> bool:
        """Say whether the answer reports its usage."""
        return self.fault != "no-usage"


def read(headers: Iterable[tuple[bytes, bytes]], default_delay_ms: int) -> Knobs:
    """Read the knobs among a request's headers; raises BadKnob."""
    given = {name: value.decode("latin-1") for name, value in headers if name.startswith(b"x-sandbox-")}
    delay = _number(given, b"x-sandbox-delay-ms", MOST_MILLISECONDS)
    fault = given.get(b"x-sandbox-fault", "")
    if fault and fault not in FAULTS:
        raise BadKnob(f"x-sandbox-fault is one of {', '.join(sorted(FAULTS))}.")
    feed_calls = _number(given, b"x-sandbox-feed-calls", MOST_CALLS)
    return Knobs(
        delay_seconds=(default_delay_ms if delay is None else delay) / 1000,
        chunk_delay_seconds=(_number(given, b"x-sandbox-chunk-delay-ms", MOST_MILLISECONDS) or 0) / 1000,
        output_tokens=_number(given, b"x-sandbox-output-tokens", MOST_WANTED) or None,
        fault=fault,
        feed_calls=1 if feed_calls is None else feed_calls,
        feed_tokens=_number(given, b"x-sandbox-feed-tokens", MOST_FEED_TOKENS) or 0,
        feed_key=given.get(b"x-sandbox-feed-key", "")[:MOST_KEY],
    )


def _number(given: dict[bytes, str], name: bytes, most: int) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) > most:
        raise BadKnob(f"{name.decode()} is a whole number from 0 to {most}.")
    return int(text)
