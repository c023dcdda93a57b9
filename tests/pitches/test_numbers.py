"""Numbers as people type them."""

from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError

from pitches.forms.fields import CountField, DollarField


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1200000", "1200000"),
        ("1,200,000", "1200000"),
        ("1 200 000", "1200000"),
        ("1\u00a0200\u202f000", "1200000"),
        ("$1,200,000.50", "1200000.50"),
        ("$ 12", "12"),
        ("0.5", "0.5"),
        ("  42 ", "42"),
        ("007", "7"),
    ],
)
def test_dollars_are_read_as_they_were_meant(text: str, amount: str) -> None:
    assert DollarField().clean(text) == Decimal(amount)


@pytest.mark.parametrize(
    "text",
    [
        "1.200.000",
        "1.200,50",
        "1,2,3",
        "1,20",
        "12,3456",
        "1e6",
        "-5",
        "+5",
        "about 40k",
        "40k",
        "€40",
        "0x10",
        "NaN",
        "Infinity",
        "1.234",
        "12.",
        ".5",
        "1_000",
        "\u0664\u0662",
        "4²",
        "1 2",
        "$",
        "<b>5</b>",
        "9" * 40 + "x",
    ],
)
def test_what_could_mean_two_things_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="Write dollars such as"):
        DollarField().clean(text)


def test_more_than_a_trillion_is_refused() -> None:
    with pytest.raises(ValidationError, match="more than Tank can count"):
        DollarField().clean("1000000000001")


@pytest.mark.parametrize("text", ["", "   "])
def test_nothing_typed_is_nothing_or_missing(text: str) -> None:
    assert DollarField(required=False).clean(text) is None
    with pytest.raises(ValidationError, match="required"):
        DollarField().clean(text)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("20000", 20_000), ("20,000", 20_000), ("20 000", 20_000)])
def test_counts_are_whole_numbers(text: str, number: int) -> None:
    assert CountField(most=100_000).clean(text) == number


@pytest.mark.parametrize("text", ["1.5", "-1", "1,00", "ten", "\u0661\u0660", "1e3", "0x1"])
def test_a_count_that_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="Write a whole number"):
        CountField(most=100_000).clean(text)


@pytest.mark.parametrize("text", ["0", "101", "9" * 4000])
def test_a_count_outside_its_bounds_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="Between 1 and 100"):
        CountField(least=1, most=100).clean(text)
