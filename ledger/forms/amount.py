"""The form field for money."""

import re
from decimal import Decimal

from django import forms
from django.core.exceptions import ValidationError

from ledger.money import InexactAmount, exact

WRITTEN = re.compile(r"(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.[0-9]+)?")
MOST = Decimal(10) ** 12


class AmountField(forms.CharField):
    """An amount of US dollars as people write it: "1234.5", "1,234.50", "$0.000004"; exact, never a float.

    Its value is a positive Decimal of at most 12 places, None when it may be and is empty.
    """

    default_error_messages = {  # noqa: RUF012 - Django merges these dictionaries by name
        "format": "Write dollars like 1,234.50 — a point for cents, commas only between thousands.",
        "sign": "The amount must be more than zero.",
        "size": "That is more than a trillion dollars.",
        "scale": "An amount has at most 12 decimal places.",
    }

    def __init__(self, **kwargs: object) -> None:
        kwargs.setdefault("widget", forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}))
        super().__init__(max_length=40, **kwargs)  # type: ignore[arg-type]  # Django's own arguments

    def clean(self, value: object) -> Decimal | None:
        """Return the amount; raises ValidationError with the message for people."""
        text = str(super().clean(value) or "").strip()
        if not text:
            return None
        if text.startswith(("-", "\N{MINUS SIGN}")):
            raise ValidationError(self.error_messages["sign"], code="sign")
        text = text.removeprefix("$").strip()
        if not WRITTEN.fullmatch(text):
            raise ValidationError(self.error_messages["format"], code="format")
        return self._checked(text.replace(",", ""))

    def _checked(self, text: str) -> Decimal:
        try:
            amount = exact(text)
        except InexactAmount as error:
            raise ValidationError(self.error_messages["scale"], code="scale") from error
        if amount <= 0:
            raise ValidationError(self.error_messages["sign"], code="sign")
        if amount >= MOST:
            raise ValidationError(self.error_messages["size"], code="size")
        return amount
