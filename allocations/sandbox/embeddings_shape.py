"""The sandbox's embeddings in OpenAI's shape: the same vector for the same text, of length one."""

import base64
import hashlib
import math
import struct
from typing import Any

import orjson

from allocations.sandbox import openai_shape
from allocations.sandbox.answer import Answer, count

CAPS = ()
# Shared with the other surfaces of the dialect.
error, models = openai_shape.error, openai_shape.models
DIMENSIONS, MOST_DIMENSIONS = 256, 4096


def problem(payload: dict[str, Any]) -> str:
    """Return what is wrong with a request; empty when nothing is."""
    given, dimensions = payload.get("input"), payload.get("dimensions")
    if not isinstance(given, str | list) or not given:
        return "`input` must be a text, or a list of texts or token numbers."
    if dimensions is not None and (type(dimensions) is not int or not 1 <= dimensions <= MOST_DIMENSIONS):
        return f"`dimensions` must be a whole number from 1 to {MOST_DIMENSIONS}."
    return ""


def answer_to(payload: dict[str, Any]) -> Answer:
    """Return an answer without text, and with what the input counts."""
    return Answer([], max(1, sum(map(_tokens, _inputs(payload)))), 0, is_truncated=False)


def whole(payload: dict[str, Any], answer: Answer, usage: dict[str, Any] | None) -> dict[str, Any]:
    """Return the vectors, as numbers or in base64."""
    dimensions, is_packed = payload.get("dimensions") or DIMENSIONS, payload.get("encoding_format") == "base64"
    data = []
    for index, text in enumerate(_inputs(payload)):
        vector = _vector(text, dimensions)
        embedding = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode() if is_packed else vector
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    document = {"object": "list", "data": data, "model": payload.get("model")}
    return document | ({"usage": usage} if usage else {})


def usage(payload: dict[str, Any], answer: Answer, output_tokens: int) -> dict[str, Any]:
    """Return the usage block; there is no output."""
    tokens = answer.input_tokens + output_tokens
    return {"prompt_tokens": tokens, "total_tokens": tokens}


def _inputs(payload: dict[str, Any]) -> list[Any]:
    given = payload["input"]
    return given if isinstance(given, list) and not isinstance(given[0], int) else [given]


def _tokens(text: object) -> int:
    if isinstance(text, str):
        return count(text)
    return len(text) if isinstance(text, list) else count(orjson.dumps(text).decode())


def _vector(text: object, dimensions: int) -> list[float]:
    digest = hashlib.shake_256(orjson.dumps(text)).digest(2 * dimensions)
    numbers = [number + 0.5 for number in struct.unpack(f"<{dimensions}h", digest)]
    length = math.sqrt(sum(number * number for number in numbers))
    return [number / length for number in numbers]
