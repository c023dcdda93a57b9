"""A realistic mix of calls, small enough to read: what is asked, and what a provider would report for it.

`tests/data/mix/calls.json` holds the calls. In it `@prose:1200` stands for 1,200 bytes of English text,
`@code` and `@german` likewise, `@tools:8:openai` for eight tools in a dialect, `@image:180000:1536x1024` and `@base64`
for a PNG of so many characters and pixels.
"""

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from allocations.metering.types import Tokens

MIX = Path(__file__).resolve().parent.parent / "data" / "mix"
MESSAGE_TOKENS = 4
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"
# Measured on these very texts with o200k_base, a published tokenizer; that of Anthropic counts rather more.
BYTES_PER_TOKEN = {"prose": 4.02, "code": 4.09, "german": 4.62, "tool": 4.29}
CONTEXT_WINDOW = 200_000
DEFAULT_OUTPUT_CAP = 4096
CONVERSATION = {"chat/completions": "messages", "messages": "messages", "responses": "input"}


@dataclass(frozen=True)
class Price:
    """USD per million tokens."""

    input: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    output: Decimal


def price(*figures: str) -> Price:
    """Return prices from input, cache read, cache write (5 minutes, an hour) and output."""
    return Price(*map(Decimal, figures))


PRICES = {
    "small": price("0.25", "0.025", "0.25", "0.25", "2"),
    "large": price("2", "0.2", "2", "2", "10"),
    "sonnet": price("3", "0.3", "3.75", "6", "15"),
    "embedding": price("0.02", "0.02", "0.02", "0.02", "0"),
}


# What was counted here was counted as this model does: by o200k_base, and 85 + 6 x 170 for the picture.
MODELS = {"small": "a-small-one", "large": "gpt-4o", "sonnet": "claude-sonnet", "embedding": "an-embedding"}
ADDRESS = "https://api.openai.com"


@dataclass(frozen=True)
class MixedCall:
    """One call of the mix, as a client sends it, and what it used."""

    name: str
    surface: str
    model: str
    """What its provider calls the model."""
    price: Price
    body: bytes
    used: Tokens


def calls() -> list[MixedCall]:
    """Return the calls of the mix; an agent makes several, each with one more turn."""
    return [call for entry in _entries() for call in _calls(entry)]


def openings() -> list[MixedCall]:
    """Return for every use that has instructions or tools an earlier call of it: the same, with a greeting."""
    found = []
    for entry in _entries():
        body, name = dict(entry["body"]), CONVERSATION.get(entry["surface"], "")
        said = body.get(name)
        first = [piece for piece in said if piece["role"] == "system"] if isinstance(said, list) else []
        if first or body.keys() & {"system", "tools", "instructions"}:
            body[name] = [*first, {"role": "user", "content": "Hello"}]
            found.append(_call(entry, body, 10, ""))
    return found


def _entries() -> list[dict[str, Any]]:
    return list(json.loads((MIX / "calls.json").read_text()))


def _calls(entry: dict[str, Any]) -> Iterator[MixedCall]:
    if "turns" not in entry:
        yield _call(entry, entry["body"], entry["output"], "")
        return
    name = CONVERSATION[entry["surface"]]
    said = list(entry["body"][name])
    for number, output in enumerate(entry["output"]):
        said += entry["turns"][number - 1] if number else []
        yield _call(entry, entry["body"] | {name: said}, output, f", step {number + 1}")


def _call(entry: dict[str, Any], body: dict[str, Any], output: int, step: str) -> MixedCall:
    counter = _Counter()
    expanded = {"model": f"model-{entry['price']}", **counter.expand(body)}
    tokens = round(counter.tokens) + MESSAGE_TOKENS * counter.texts + entry.get("images", 0)
    cached = int(tokens * entry.get("cached", 0))
    return MixedCall(
        name=entry["name"] + step,
        surface=entry["surface"],
        model=MODELS[entry["price"]],
        price=PRICES[entry["price"]],
        body=json.dumps(expanded, ensure_ascii=False).encode(),
        used=Tokens(input=tokens - cached, cache_read=cached, output=output),
    )


class _Counter:
    """Puts texts in the place of what stands for them, and counts their tokens."""

    def __init__(self) -> None:
        self.tokens, self.texts = 0.0, 0

    def expand(self, value: Any) -> Any:
        """Return a part of a body with its texts."""
        if isinstance(value, dict):
            return {name: self.expand(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.expand(inner) for inner in value]
        return self._text(value) if isinstance(value, str) else value

    def _text(self, text: str) -> Any:
        kind, *details = text.removeprefix("@").split(":") if text.startswith("@") else [""]
        if kind in ("image", "base64"):
            head = PNG + b"".join(int(side).to_bytes(4, "big") for side in details[1].split("x"))
            return "data:image/png;base64," * (kind == "image") + b64encode(head).decode().ljust(int(details[0]), "A")
        if kind in ("prose", "code", "german"):
            return self._written(kind, int(details[0]))
        if kind == "paragraphs":
            return [self._written("prose", int(details[1])) for _ in range(int(details[0]))]
        if kind in ("tool", "tools"):
            tools = [_in_dialect(details[1], self._tool()) for _ in range(int(details[0]))] if details else []
            return tools or self._tool()
        # Also what is no text counts here: that makes the usage larger than it was, by a few tokens.
        self.tokens += len(text.encode()) / BYTES_PER_TOKEN["prose"]
        return text

    def _written(self, kind: str, size: int) -> str:
        text = (_text_of(f"{kind}.txt") * (size // len(_text_of(f"{kind}.txt")) + 1))[:size]
        self.tokens += len(text.encode()) / BYTES_PER_TOKEN[kind]
        self.texts += 1
        return text

    def _tool(self) -> dict[str, Any]:
        text = _text_of("tool.json")
        self.tokens += len(text) / BYTES_PER_TOKEN["tool"]
        return dict(json.loads(text))


@cache
def _text_of(name: str) -> str:
    return (MIX / name).read_text()


def _in_dialect(dialect: str, tool: dict[str, Any]) -> dict[str, Any]:
    if dialect == "openai":
        return {"type": "function", "function": tool}
    if dialect == "responses":
        return {"type": "function", **tool}
    return {"name": tool["name"], "description": tool["description"], "input_schema": tool["parameters"]}
