"""What the sandbox says, and how it counts: the same for the same prompt, always.

A token is four bytes of text, rounded up, so there are never more tokens than bytes.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

VOCABULARY = (
    "amber anchor apple autumn basin beacon birch bridge candle canyon cedar cloud coast copper coral cotton creek "
    "crystal dawn delta dune eagle ember falcon fern field forest garden glacier granite harbor hazel heron hill "
    "island ivory jasper juniper lagoon lantern lark linen maple marble meadow mint mist moss north oak ocean olive "
    "orchard pearl pebble pine plum prairie quartz rain raven reed ridge river saffron sage shore silver sky slate "
    "snow spruce star stone stream summit thistle timber valley violet walnut willow winter"
)
WORDS = VOCABULARY.split()
FEWEST_WORDS, MORE_WORDS = 8, 24
IMAGE_TOKENS = 1_000
CONTEXT_WINDOW = 200_000
MOST_WANTED = 100_000
BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """A text in the pieces in which it is streamed, and what it used."""

    pieces: list[str]
    input_tokens: int
    output_tokens: int
    is_truncated: bool

    @property
    def text(self) -> str:
        """Return the whole text."""
        return "".join(self.pieces)


def count(text: str) -> int:
    """Return the tokens of a text."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def prompt_tokens(payload: dict[str, Any]) -> int:
    """Return the tokens of a request: its texts and tools, and a fixed number per image."""
    parts = (_content(message.get("content")) for message in _messages(payload))
    tools = payload.get("tools")
    extra = sum(count(orjson.dumps(item).decode()) for item in (tools, payload.get("system")) if item)
    return max(1, sum(parts) + extra)


def make(payload: dict[str, Any], cap: int | None, wanted: int | None) -> Answer:
    """Make the answer to a request, of at most `cap` tokens; `wanted` asks for a length in tokens."""
    digest = hashlib.sha256(orjson.dumps([payload.get("system"), payload.get("messages")])).digest()
    text = _text(digest, FEWEST_WORDS + digest[0] % MORE_WORDS if wanted is None else wanted * BYTES_PER_TOKEN)
    most = min(amount for amount in (cap, wanted, count(text)) if amount is not None)
    cut = text[: most * BYTES_PER_TOKEN]
    pieces = [word + " " for word in cut.split(" ")]
    pieces[-1] = pieces[-1].removesuffix(" ")
    return Answer(pieces, prompt_tokens(payload), count(cut), cap is not None and most == cap and cut != text)


def _text(digest: bytes, words: int) -> str:
    chosen = [WORDS[(digest[place % 32] + place * 7) % len(WORDS)] for place in range(words)]
    return f"Sandbox answer {digest.hex()[:8]}: {' '.join(chosen)}."


def _messages(payload: dict[str, Any]) -> list[dict[str, Any]]:
    messages = payload.get("messages")
    return [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []


def _content(content: object) -> int:
    if isinstance(content, str):
        return count(content)
    parts = content if isinstance(content, list) else []
    return sum(map(_part, parts))


def _part(part: object) -> int:
    if not isinstance(part, dict):
        return 0
    if part.get("type") in ("image", "image_url"):
        return IMAGE_TOKENS
    if part.get("type") == "tool_result":
        return _content(part.get("content"))
    return count(orjson.dumps(part).decode())
