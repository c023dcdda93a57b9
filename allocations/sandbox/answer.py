"""What the sandbox says, and how it counts: the same for the same prompt, always; its ids are new.

A token is four bytes of text, rounded up, so there are never more tokens than bytes.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import orjson

from allocations.sandbox import instances
from allocations.sandbox.instances import WORDS

FEWEST_WORDS, MORE_WORDS = 8, 24
IMAGE_TOKENS = 1_000
CONTEXT_WINDOW = 200_000
MOST_WANTED = 100_000
BYTES_PER_TOKEN = 4
# Which parameters decide what the answer is, and which beside the conversation are counted.
ASKED = ("system", "messages", "instructions", "input")
ASIDE = ("system", "tools", "instructions")
ANY_TOOL = "*"
IMAGES = ("image", "image_url", "input_image")


@dataclass(frozen=True, slots=True)
class Answer:
    """A text in the pieces in which it is streamed, and what it used."""

    pieces: list[str]
    input_tokens: int
    output_tokens: int
    is_truncated: bool
    tool: str = ""
    """The tool that is called; the text is then its arguments."""
    serial: str = field(default_factory=lambda: uuid4().hex, compare=False)
    """What its id ends with: programs in front of a provider tell calls apart by the ids of answers."""

    @property
    def text(self) -> str:
        """Return the whole text."""
        return "".join(self.pieces)


def count(text: str) -> int:
    """Return the tokens of a text."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class Wish:
    """What shape an answer shall have: any text, JSON of a schema, or a call of a tool with arguments of a schema."""

    schema: dict[str, Any] | None = None
    tool: str = ""


ANY_TEXT = Wish()


def wish_for(format_: object, named: str, tools: list[tuple[object, object]]) -> Wish:
    """Return the wish of a format block, or of the tool that must be called; tools are names with their schemas."""
    for name, schema in tools:
        if isinstance(name, str) and named in {name, ANY_TOOL}:
            return Wish(schema if isinstance(schema, dict) else {"type": "object"}, name)
    if isinstance(format_, dict) and isinstance(format_.get("schema"), dict):
        return Wish(format_["schema"])
    if isinstance(format_, dict) and format_.get("type") == "json_object":
        return Wish({"properties": {"answer": {"type": "string"}}})
    return ANY_TEXT


def prompt_tokens(payload: dict[str, Any]) -> int:
    """Return the tokens of a request: its texts and tools, and a fixed number per image."""
    given = payload.get("input")
    items = _messages(payload) if given is None else given
    extra = sum(count(orjson.dumps(item).decode()) for item in (payload.get(name) for name in ASIDE) if item)
    return max(1, _content(items) + extra)


def make(payload: dict[str, Any], cap: int | None, wanted: int | None, wish: Wish = ANY_TEXT) -> Answer:
    """Make the answer to a request, of at most `cap` tokens; `wanted` asks for a length in tokens."""
    digest = hashlib.sha256(orjson.dumps([payload.get(name) for name in ASKED])).digest()
    if wish.schema is not None:
        text, wanted = orjson.dumps(instances.of(wish.schema, digest)).decode(), None
    else:
        text = _text(digest, FEWEST_WORDS + digest[0] % MORE_WORDS if wanted is None else wanted * BYTES_PER_TOKEN)
    most = min(amount for amount in (cap, wanted, count(text)) if amount is not None)
    cut = text.encode()[: most * BYTES_PER_TOKEN].decode(errors="ignore")
    pieces = [word + " " for word in cut.split(" ")]
    pieces[-1] = pieces[-1].removesuffix(" ")
    is_truncated = cap is not None and most == cap and cut != text
    return Answer(pieces, prompt_tokens(payload), count(cut), is_truncated, wish.tool)


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
    if part.get("type") in IMAGES:
        return IMAGE_TOKENS
    for name in ("content", "output"):
        if isinstance(part.get(name), str | list):
            return _content(part[name])
    return count(orjson.dumps(part).decode())
