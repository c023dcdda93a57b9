"""Whole numbers as they are sent."""

import pytest

from teams.typed import whole_in


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("42", 42), ("007", 7), ("9" * 17, 10**17 - 1), ("9" * 18, -1)]
    + [(text, -1) for text in ("", "-1", "+1", "1.0", "1e3", " 1", "1_000", "1,000", "²", "٣", "x")],
)
def test_only_plain_digits_that_fit_are_a_number(text: str, number: int) -> None:
    assert whole_in(text, -1) == number


def test_a_field_can_take_fewer_digits() -> None:
    assert [whole_in(text, None, digits=2) for text in ("99", "100")] == [99, None]
