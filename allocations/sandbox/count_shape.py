"""The sandbox's count of a message's tokens, in Anthropic's shape."""

from typing import Any

from allocations.sandbox import anthropic_shape
from allocations.sandbox.answer import Answer, prompt_tokens

CAPS = ()
# Shared with the other surfaces of the dialect.
error, models, problem = anthropic_shape.error, anthropic_shape.models, anthropic_shape.problem


def answer_to(payload: dict[str, Any]) -> Answer:
    """Return an answer without text, and with what the input counts."""
    return Answer([], prompt_tokens(payload), 0, is_truncated=False)


def whole(payload: dict[str, Any], answer: Answer, usage: dict[str, Any] | None) -> dict[str, Any]:
    """Return the count."""
    return {"input_tokens": answer.input_tokens}


def usage(payload: dict[str, Any], answer: Answer, output_tokens: int) -> None:
    """Return that counting uses nothing."""
