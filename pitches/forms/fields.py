"""Numbers as people type them: "$1,200,000", "20 000"; anything that could mean two things is refused."""

import re
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

# Digits of other scripts are refused: nobody should have to guess what was meant.
GROUPED = re.compile(r"\d{1,3}(?:[, \u00a0\u202f]\d{3})+|\d+", re.ASCII)
MONEY = re.compile(rf"\$? ?(?P<whole>{GROUPED.pattern})(?:\.(?P<cents>\d{{1,2}}))?", re.ASCII)
PERCENT = re.compile(r"\d{1,3}(?:\.\d{1,2})?", re.ASCII)
MOST_DOLLARS = Decimal("1000000000000")


class NumberInput(forms.TextInput):
    """A text input for numbers: it keeps what was typed, right or wrong, and opens the number keyboard."""

    def __init__(self, **attrs: str) -> None:
        super().__init__({"inputmode": "decimal", "autocomplete": "off", **attrs})


class DollarField(forms.Field):
    """An amount in USD, at most two decimal places; thousands may be set off by commas or spaces."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"widget": NumberInput(), **kwargs})

    def to_python(self, value: Any) -> Decimal | None:
        """Return the amount, None for nothing typed. Raises ValidationError."""
        text = str(value or "").strip()
        if not text:
            return None
        match = MONEY.fullmatch(text)
        if match is None:
            raise ValidationError("Write dollars such as 1200000, 1,200,000 or 49.50.", code="invalid")
        cents = f".{match['cents']}" if match["cents"] else ""
        amount = Decimal(_digits(match["whole"]) + cents)
        if amount > MOST_DOLLARS:
            raise ValidationError("That is more than Tank can count.", code="too_large")
        return amount


class CountField(forms.Field):
    """A whole number from `least` to `most`; thousands may be set off by commas or spaces."""

    def __init__(self, *, least: int = 0, most: int, **kwargs: Any) -> None:
        self.least, self.most = least, most
        super().__init__(**{"widget": NumberInput(), **kwargs})

    def to_python(self, value: Any) -> int | None:
        """Return the number, None for nothing typed. Raises ValidationError."""
        text = str(value or "").strip()
        if not text:
            return None
        if GROUPED.fullmatch(text) is None:
            raise ValidationError("Write a whole number such as 20000 or 20,000.", code="invalid")
        number = int(_digits(text)[:30])
        if not self.least <= number <= self.most:
            raise ValidationError(f"Between {self.least:,} and {self.most:,}.", code="out_of_range")
        return number


class PercentField(forms.Field):
    """A percentage above 0 up to 100, at most two decimal places."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"widget": NumberInput(maxlength="6"), **kwargs})

    def to_python(self, value: Any) -> Decimal | None:
        """Return the percentage, None for nothing typed. Raises ValidationError."""
        text = str(value or "").strip().removesuffix("%").strip()
        if not text:
            return None
        if PERCENT.fullmatch(text) is None or not 0 < Decimal(text) <= 100:
            raise ValidationError("Above 0, up to 100, such as 97.5.", code="invalid")
        return Decimal(text)


def _digits(text: str) -> str:
    return re.sub(r"[^0-9]", "", text)
