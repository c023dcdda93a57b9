"""Worst cases: what a call can cost at most, known before it is sent.

A token stands for at least one byte of text, whichever tokenizer is used, so the bytes of a request bound its input:
the larger of its UTF-8 bytes and those after NFKC, which some tokenizers apply first, plus what a provider adds
around messages and tools. The JSON around the text is counted too; it is small, and counting it costs nothing. An
escape in a longer text counts as the one byte that it stands for. A picture counts by its pixels where they are plain
to see. What the bytes say nothing about (images by URL, files by id, what the provider keeps) reserves the model's
whole context window. Input is priced in the dearest class in which the provider may count it.

How a request is measured is in one file per dialect: `openai_bounds` and `anthropic_bounds`. Both hold for any model
of the dialect; `openai_models` tightens them for those of which OpenAI publishes how they count.
"""

from decimal import Decimal
from typing import NamedTuple

from allocations.metering.types import Tokens
from ledger.rating import MILLION, Prices, cost

MOST_OUTPUT = 10**7


class Unbounded(Exception):
    """A request has no worst case that Tank could price; the message says why, for the caller."""

    def __init__(self, message: str, parameter: str) -> None:
        super().__init__(message)
        self.message, self.parameter = message, parameter


class Demand(NamedTuple):
    """What a request can use at most."""

    input_tokens: int | None
    """None when only the model's context window bounds it."""
    output_cap: int | None
    """Per choice, as the request names it; None when it names none."""
    choices: int = 1
    extra_output: int = 0
    """Output tokens that may be billed beyond the cap."""
    input_classes: tuple[str, ...] = ("input",)
    """In which classes the provider may count the input; names of `Tokens` and `Prices` alike."""
    readings: int = 1
    """How often the provider may fill the context window and count it: once a text, once a turn of its own tools."""
    images: int = 0
    """How many pictures are in `input_tokens`, each at the dearest that it can be at any model."""
    picture_tokens: int = 0
    """How many of `input_tokens` are for pictures, where models count them by tiles."""
    tiles: int = 0
    """How many tiles the pictures have, where models count them so."""
    spared: int = 0
    """How many input tokens fewer it is at a model that cuts text into tokens in the way that OpenAI publishes."""
    is_published: bool = False
    """It is for such a model, and `spared` is taken off already."""


def most_input(demand: Demand, context_window: int) -> int:
    """Return the most input tokens that a provider could honestly count for a demand."""
    most = context_window * demand.readings
    return most if demand.input_tokens is None else min(demand.input_tokens, most)


def most_tokens(demand: Demand, *, context_window: int, output_cap: int) -> int:
    """Return the most tokens, input and output together, that a provider could honestly count for a demand."""
    return most_input(demand, context_window) + output_cap * demand.choices + demand.extra_output


def worst_tokens(demand: Demand, rate: Prices, *, context_window: int, output_cap: int) -> Tokens:
    """Return the dearest token counts that a provider could honestly report for a demand."""
    dearest = _dearest(demand.input_classes, rate)
    return Tokens(
        **{dearest: most_input(demand, context_window)}, output=output_cap * demand.choices + demand.extra_output
    )


def _dearest(input_classes: tuple[str, ...], rate: Prices) -> str:
    found, most = input_classes[0], getattr(rate, input_classes[0])
    for name in input_classes[1:]:
        price = getattr(rate, name)
        if price > most:
            found, most = name, price
    return found


def output_cap_within(demand: Demand, rate: Prices, *, context_window: int, granted: Decimal) -> int:
    """Return the largest output cap per choice whose worst case costs no more than `granted`."""
    rest = granted - cost(rate, worst_tokens(demand, rate, context_window=context_window, output_cap=0))
    per_token = rate.output * demand.choices
    return int(rest * MILLION // per_token) if per_token else MOST_OUTPUT
