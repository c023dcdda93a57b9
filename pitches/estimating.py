"""How many tokens a text is, estimated from its characters; pure.

Every model counts in its own way, so this is an estimate with a range, no bound and no bill. Per character:

- Latin letters, digits and signs: OpenAI counts about 4 characters of English a token, which is 0.25
  (help.openai.com/en/articles/4936856), DeepSeek 0.3 tokens a character of English
  (api-docs.deepseek.com/quick_start/token_usage); code, tables and other languages take more.
- Chinese, Japanese and Korean: DeepSeek counts 0.6 a character; tokenisers made for English take one and more.
- Every other script lies between a word piece of four letters and more than one token a letter.

No tokeniser that works on bytes makes more tokens than a text has bytes in UTF-8, so the high end stops there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import Enum

from allocations.metering.measure import text_tokens

CACHED_FROM = 1024
"""Providers cache the beginning of a prompt from about this many tokens on."""


class Script(Enum):
    """A group of scripts whose characters make about as many tokens."""

    LATIN = "Latin"
    EAST_ASIAN = "Chinese, Japanese, Korean"
    OTHER = "other scripts"


@dataclass(frozen=True, slots=True)
class Tokens:
    """A number of tokens: at least about, expected, at most about."""

    low: int
    expected: int
    high: int

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.low + other.low, self.expected + other.expected, self.high + other.high)


PER_CHARACTER: Mapping[Script, tuple[Decimal, Decimal, Decimal]] = {
    Script.LATIN: (Decimal("0.22"), Decimal("0.28"), Decimal("0.4")),
    Script.EAST_ASIAN: (Decimal("0.5"), Decimal("0.8"), Decimal("1.5")),
    Script.OTHER: (Decimal("0.25"), Decimal("0.5"), Decimal("1.5")),
}
# Hangul Jamo; CJK radicals to Yi; Hangul syllables; compatibility forms; full-width forms; the ideographic planes.
EAST_ASIAN = (
    (0x1100, 0x11FF),
    (0x2E80, 0xA4CF),
    (0xAC00, 0xD7FF),
    (0xF900, 0xFAFF),
    (0xFF00, 0xFFEF),
    (0x20000, 0x3FFFF),
)
# Letters with marks; general punctuation.
LATIN = ((0x0000, 0x024F), (0x1E00, 0x1EFF), (0x2000, 0x206F))


def script_of(character: str) -> Script:
    """Return the group that a character belongs to."""
    code = ord(character)
    if any(first <= code <= last for first, last in LATIN):
        return Script.LATIN
    return Script.EAST_ASIAN if any(first <= code <= last for first, last in EAST_ASIAN) else Script.OTHER


def tokens_in(text: str) -> Tokens:
    """Return how many tokens a text is likely to be."""
    if not text:
        return Tokens(0, 0, 0)
    counts = dict.fromkeys(Script, 0)
    latin = len(text) if text.isascii() else 0
    counts[Script.LATIN] = latin
    for character in "" if latin else text:
        counts[script_of(character)] += 1
    low, expected, high = (
        sum((count * PER_CHARACTER[script][place] for script, count in counts.items()), Decimal(0))
        for place in range(3)
    )
    most = text_tokens(text)
    floor = max(int(low.to_integral_value(ROUND_FLOOR)), 1)
    return Tokens(floor, min(_up(expected), most), min(_up(high), most))


def _up(amount: Decimal) -> int:
    return int(amount.to_integral_value(ROUND_CEILING))


@dataclass(frozen=True, slots=True)
class CallEstimate:
    """Tokens of one call: what goes in, of that the part that can be read from the cache, and what comes out."""

    input: Tokens
    cached: Tokens
    output: Tokens


def call_estimate(*, fixed: str, prompt: str, answer: str) -> CallEstimate:
    """Estimate one call from a sample: `fixed` is what stands before every prompt, unchanged."""
    before = tokens_in(fixed)
    cached = before if before.expected >= CACHED_FROM else Tokens(0, 0, 0)
    return CallEstimate(input=before + tokens_in(prompt), cached=cached, output=tokens_in(answer))
