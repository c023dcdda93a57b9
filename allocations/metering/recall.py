"""What a provider counted before bounds what it will count now: tighter than bytes, and no less sound.

A conversation grows at its end. When a request begins like one whose input the provider has counted, then what they
share cannot count more than that; only what is new is bounded by its bytes. The same holds for instructions and tools
that many calls share, whose count is at most that of any call that had them. It needs no tokenizer, so it holds for
models whose tokenizer is not public. It is forgotten after an hour, should a model's tokenizer change behind its name,
and used only for text: what a provider shortens or compresses itself depends on more than what a request begins with.

Nothing but hashes and counts is kept, by allocation and model, a bounded number of them.
"""

import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import orjson

from allocations.metering.bounds import Demand
from allocations.metering.measure import escapes_in, long_texts, text_bound
from allocations.metering.openai_models import spared_in
from allocations.metering.types import Tokens

MOST_ENTRIES = 50_000
SECONDS = 3600
# Below this a bound is mostly output anyhow, and looking would cost more than it saves.
LEAST_BYTES = 1_000
PIECE_OVERHEAD, SLACK = 8, 64
MOST_BYTES_PER_TOKEN = 12

# Parameters that say nothing to the model.
SILENT = {
    *("frequency_penalty", "logit_bias", "logprobs", "max_completion_tokens", "max_output_tokens", "max_tokens"),
    *("metadata", "model", "n", "presence_penalty", "prompt_cache_key", "safety_identifier", "seed", "service_tier"),
    *("stop", "stop_sequences", "store", "stream", "stream_options", "temperature", "top_k", "top_logprobs", "top_p"),
}
# With these the provider may count less of the same text at another time.
SHORTENING = ("context_management", "truncation", "image", "moderation")


class Recall:
    """The counts that one process remembers."""

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[int, bytes], tuple[int, float]] = OrderedDict()

    def most(self, model_id: int, prefix: bytes) -> int | None:
        """Return the most that a model counts for a prefix; None when that is not known."""
        tokens, until = self._counts.get((model_id, prefix), (None, 0.0))
        return tokens if until > time.monotonic() else None

    def keep(self, model_id: int, prefix: bytes, tokens: int) -> None:
        """Remember that a model counts no more than so many tokens for a prefix."""
        known = self.most(model_id, prefix)
        least = tokens if known is None else min(tokens, known)
        self._counts[model_id, prefix] = (least, time.monotonic() + SECONDS)
        self._counts.move_to_end((model_id, prefix))
        if len(self._counts) > MOST_ENTRIES:
            self._counts.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Trail:
    """A request cut where it may begin like another: its head, then every piece of its conversation."""

    recall: Recall
    size: int
    """Bytes of the whole body."""
    prefixes: list[bytes]
    """Hashes of the head, of the head with the first piece, and so on."""
    sizes: list[int]
    """Bounds of the pieces, in tokens."""
    pieces: list[Any]
    found: dict[int, Demand] = field(default_factory=dict)
    """What was answered, by model: one call is bounded in one way from its admission to its end."""

    def tightened(self, demand: Demand, model_id: int) -> Demand:
        """Return a demand with the bound that what is known of a model allows."""
        if model_id not in self.found:
            self.found[model_id] = self._tightened(demand, model_id)
        return self.found[model_id]

    def _tightened(self, demand: Demand, model_id: int) -> Demand:
        added = SLACK
        for place in range(len(self.sizes), -1, -1):
            known = self.recall.most(model_id, self.prefixes[place])
            if known is not None:
                return demand._replace(input_tokens=min(known + added, demand.input_tokens or 0))
            if place:
                added += self.sizes[place - 1] - (_spared(self.pieces[place - 1]) if demand.is_published else 0)
        return demand

    def forget_words(self) -> None:
        """Free the memory of the request's words: no further model will be asked about."""
        self.pieces.clear()

    def learn(self, model_id: int, tokens: Tokens) -> None:
        """Remember what a model counted: for all of it, for all but the last piece, and for the head."""
        counted = tokens.input + tokens.cache_read + tokens.cache_write_5m + tokens.cache_write_1h
        if counted * MOST_BYTES_PER_TOKEN < self.size:
            return  # whoever counts so little may count otherwise next time
        for place in {0, max(0, len(self.sizes) - 1), len(self.sizes)}:
            self.recall.keep(model_id, self.prefixes[place], counted)


def trail_of(
    recall: Recall, payload: dict[str, Any], body: bytes, demand: Demand, *, conversation: str, scope: int
) -> Trail | None:
    """Cut a request at the pieces of its conversation; None where what was counted before says nothing."""
    pieces = payload.get(conversation)
    if len(body) < LEAST_BYTES or demand.input_tokens is None or demand.images or not isinstance(pieces, list):
        return None
    if any(payload.get(shortening) for shortening in SHORTENING):
        return None
    head = [(name, payload[name]) for name in sorted(payload.keys() - SILENT - {conversation})]
    trail = Trail(recall, len(body), [], [], [*pieces])
    try:
        digest = blake2b(orjson.dumps([scope, conversation, head]), digest_size=16)
        trail.prefixes.append(digest.digest())
        for piece in pieces:
            text = orjson.dumps(piece)
            digest.update(b"%d:%b" % (len(text), text))
            trail.prefixes.append(digest.digest())
            escapes = sum(map(escapes_in, _texts(piece)))
            trail.sizes.append(text_bound({"": piece}, text) + PIECE_OVERHEAD - escapes)
    except orjson.JSONEncodeError:
        return None
    return trail


def _texts(piece: object) -> Iterable[str]:
    return long_texts(piece) if isinstance(piece, dict) else ()


def _spared(piece: object) -> int:
    return sum(map(spared_in, _texts(piece)))
