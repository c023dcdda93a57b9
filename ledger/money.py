"""Exact money: what may be stored, and how it is shown.

Amounts have at most 12 decimal places (a token can cost 1e-8 of a dollar) and are never rounded on the way
into the database: the column has no scale, and anything finer is refused. The one rounding there is happens
at rating, see `ledger.rating`.
"""

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, cast

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.lookups import LessThanOrEqual
from djmoney.money import Money

if TYPE_CHECKING:
    DecimalFieldBase = models.DecimalField[Any, Any]
else:
    DecimalFieldBase = models.DecimalField

PLACES = 12
CURRENCY = "USD"
SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£"}


class InexactAmount(ValueError):
    """An amount is a float, is not finite, or has more than 12 decimal places."""


def exact(value: Decimal | int | str) -> Decimal:
    """Return a value as a Decimal of at most 12 places.

    Raises InexactAmount for floats, NaN, infinities, malformed text and finer amounts.
    """
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise InexactAmount(f"{value!r} is a {type(value).__name__}; money is Decimal, int or str")
    try:
        amount = Decimal(value)
    except InvalidOperation:
        raise InexactAmount(f"{value!r} is not a number") from None
    if not amount.is_finite():
        raise InexactAmount(f"{value!r} is not finite")
    if cast(int, amount.normalize().as_tuple().exponent) < -PLACES:
        raise InexactAmount(f"{value!r} has more than {PLACES} decimal places")
    return amount


def exact_money(value: Money) -> Money:
    """Return money whose amount is checked by `exact`; raises InexactAmount."""
    return Money(exact(value.amount), value.currency)


def usd(value: Decimal | int | str) -> Money:
    """Make dollars; raises InexactAmount."""
    return Money(exact(value), CURRENCY)


def plain(value: Decimal) -> str:
    """Write an amount as a plain decimal string without exponent or trailing zeros ("0.00000125", "12.5", "0")."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in {"", "-0", "-"} else text


def show(value: Decimal, currency: str = CURRENCY) -> str:
    """Write an amount for people: cents, and below a cent the digits that matter ("$1,234.50", "$0.000041")."""
    amount = abs(value)
    sign = "\N{MINUS SIGN}" if value < 0 else ""
    return f"{sign}{SYMBOLS.get(currency, currency + ' ')}{_digits(amount)}"


def _digits(amount: Decimal) -> str:
    cents = amount.quantize(Decimal("0.01"))
    if cents == amount or amount >= 1000:
        return f"{cents:,f}"
    if amount >= Decimal("0.01"):
        return f"{amount.quantize(Decimal('0.0001')):,f}"
    # Two significant digits of what is smaller than a cent.
    return plain(amount.quantize(Decimal(1).scaleb(amount.adjusted() - 1)))


class ExactAmountField(DecimalFieldBase):
    """A `numeric` column without precision or scale, so that PostgreSQL cannot round; use with a scale CHECK."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_digits"], kwargs["decimal_places"] = 40, PLACES
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        """Leave the fixed digits out of migrations."""
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("max_digits", None)
        kwargs.pop("decimal_places", None)
        return name, path, args, kwargs

    def db_type(self, connection: Any) -> str:
        """Return numeric without a scale: PostgreSQL then stores what it is given."""
        return "numeric"

    def to_python(self, value: Any) -> Decimal | None:
        """Read a value; raises ValidationError for what `exact` refuses."""
        if value is None or value == "":
            return None
        try:
            return exact(value)
        except InexactAmount as error:
            raise ValidationError(str(error)) from error

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        """Pass the exact amount on; raises InexactAmount."""
        if value is None or hasattr(value, "resolve_expression"):
            return value
        return exact(value)

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        """Pass the exact amount on; raises InexactAmount."""
        return self.get_db_prep_value(value, connection)


class Scale(models.Func):
    """`scale(column)`: how many decimal places a numeric value carries."""

    function = "scale"
    arity = 1
    output_field = models.IntegerField()


def scale_check(field: str, name: str, places: int = PLACES) -> models.CheckConstraint:
    """Make the CHECK that refuses an amount of more than `places` decimal places; NULL passes."""
    return models.CheckConstraint(condition=LessThanOrEqual(Scale(models.F(field)), places), name=name)
