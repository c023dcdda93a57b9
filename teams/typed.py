"""Whole numbers as people and programs send them: in addresses, hidden fields and counts of rows."""

from typing import TypeVar

D = TypeVar("D")
MOST_DIGITS = 17
"""What a bigint holds in any case."""


def whole_in(text: str, otherwise: D, *, digits: int = MOST_DIGITS) -> int | D:
    """Return the number that a text is, in plain digits and not too many of them; for anything else `otherwise`."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else otherwise
