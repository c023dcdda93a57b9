"""What only reports need in templates."""

from decimal import Decimal

from django import template
from djmoney.money import Money

from ledger.templatetags.money import money_exact

register = template.Library()


@register.filter
def in_currency(value: Decimal, currency: str) -> str:
    """Write an amount of any currency for people, with every digit on hover."""
    return money_exact(Money(value, currency))
