"""How amounts, envelopes, tiers and times look, on every page the same.

Money on a page is short and exact on hover; an envelope is a gauge; whatever moves says as of when.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from djmoney.money import Money

from ledger.models import Tier
from ledger.money import CURRENCY, show
from ledger.money import plain as plain_text

register = template.Library()

Amount = Money | Decimal | int | str
LEAST_VISIBLE = Decimal("0.6")  # percent: what is there at all can be seen


def _parts(value: Amount) -> tuple[Decimal, str]:
    if isinstance(value, Money):
        return value.amount, str(value.currency)
    return Decimal(value), CURRENCY


@register.filter
def money(value: Amount | None) -> str:
    """Write an amount for people: "$1,234.50", "$0.000041"; an em dash for none."""
    return "—" if value is None or value == "" else show(*_parts(value))


@register.filter
def in_currency(value: Decimal | None, currency: str) -> Money | None:
    """Return an amount with its currency, for amounts that may be in another one than USD."""
    return None if value is None else Money(value, currency)


@register.filter
def money_exact(value: Amount | None) -> str | SafeString:
    """Write an amount for people with every digit on hover."""
    if value is None or value == "":
        return "—"
    amount, currency = _parts(value)
    return format_html(
        '<data value="{}" title="{} {}">{}</data>', plain_text(amount), _exact(amount), currency, show(amount, currency)
    )


def _exact(amount: Decimal) -> str:
    whole, _, places = plain_text(amount).partition(".")
    return f"{int(whole):,}.{places.ljust(2, '0')}" if whole not in {"0", "-0"} else f"{whole}.{places.ljust(2, '0')}"


@register.filter
def cents(value: Amount | None) -> str:
    """Write a computed amount, such as a plan or a forecast, to the cent; an em dash for none."""
    if value is None:
        return "—"
    amount, currency = _parts(value)
    return show(amount.quantize(Decimal("0.01")), currency)


@register.filter
def signed_percent(value: Decimal) -> str:
    """Write a change in percent with its sign: "+12.5 %", "-20 %" with a true minus."""
    rounded = value.quantize(Decimal("0.1"))
    sign = "+" if rounded > 0 else "\N{MINUS SIGN}" if rounded < 0 else ""
    return f"{sign}{plain_text(abs(rounded))} %"


@register.filter
def unsigned(value: Money | Decimal) -> Money | Decimal:
    """Return an amount without its sign, for columns that say debit or credit."""
    return Money(abs(value.amount), value.currency) if isinstance(value, Money) else abs(value)


@register.filter
def plain(value: Amount | None) -> str:
    """Write an amount as a plain decimal string, for exports and data attributes."""
    return "" if value is None else plain_text(_parts(value)[0])


def percent(part: Decimal, whole: Decimal) -> Decimal:
    """Return a share in percent, 0 of nothing."""
    return part * 100 / whole if whole > 0 else Decimal(0)


@register.inclusion_tag("parts/gauge.html")
def gauge(spent: Amount, held: Amount, limit: Amount | None, words: str = "spent,held") -> dict[str, object]:
    """Draw an envelope: solid is spent, hatched is held, empty is available.

    `words` names the two parts when they are something else, such as "spent,promised" for a pool.
    """
    (used, currency), (kept, _) = _parts(spent), _parts(held)
    whole = _parts(limit)[0] if limit is not None else Decimal(0)
    solid, hatched = _width(used, whole), _width(kept, whole)
    hatched = min(hatched, 100 - solid)
    solid_word, hatched_word = words.split(",")
    label = (
        f"{show(used, currency)} {solid_word} and {show(kept, currency)} {hatched_word} of {show(whole, currency)}: "
        f"{percent(used, whole):.0f} percent {solid_word}, {percent(kept, whole):.0f} percent {hatched_word}, "
        f"{show(whole - used - kept, currency)} left"
    )
    return {"label": label, "solid": f"{solid:.2f}", "hatched": f"{hatched:.2f}"}


def _width(part: Decimal, whole: Decimal) -> Decimal:
    share = min(percent(part, whole), Decimal(100))
    return max(share, LEAST_VISIBLE) if part > 0 and whole > 0 else Decimal(0)


@register.simple_tag
def tier(value: str, words: str = "") -> SafeString:
    """Write a tier's word with its small square; `words` come after it, such as "92 % quality"."""
    label = Tier(value).label if value in Tier.values else value
    return format_html('<span class="tier {}">{}{}</span>', value, label, f", {words}" if words else "")


@register.simple_tag
def as_of(moment: datetime | None = None) -> SafeString:
    """Say when a number was true, by default now; the date only when it is not today."""
    moment = (moment or timezone.now()).astimezone(UTC)
    form = "%H:%M:%S UTC" if moment.date() == timezone.now().date() else "%-d %b %Y, %H:%M UTC"
    return format_html(
        '<span class="sub nowrap">as of <time datetime="{}">{}</time></span>', moment.isoformat(), moment.strftime(form)
    )


@register.filter
def ago(moment: datetime | None) -> str | SafeString:
    """Say how long ago something was: "2 s ago", "3 h ago", "yesterday", "14 Mar 2027"; "never" for none."""
    if moment is None:
        return "never"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(),
        moment.astimezone(UTC).strftime("%-d %b %Y, %H:%M:%S UTC"),
        _ago_words(moment),
    )


def _ago_words(moment: datetime) -> str:
    now = timezone.now()
    passed = max(now - moment, timedelta())
    if passed < timedelta(minutes=1):
        return f"{passed.seconds} s ago"
    if passed < timedelta(hours=1):
        return f"{passed.seconds // 60} min ago"
    if passed < timedelta(hours=24):
        return f"{passed.seconds // 3600} h ago"
    days = (now.astimezone(UTC).date() - moment.astimezone(UTC).date()).days
    if days <= 1:
        return "yesterday"
    return f"{days} days ago" if days < 14 else moment.astimezone(UTC).strftime("%-d %b %Y")


@register.filter
def moment(value: datetime | None) -> str | SafeString:
    """Write a time in UTC with its zone: "14 Mar 2027, 09:30 UTC"; an em dash for none."""
    if value is None:
        return "—"
    utc = value.astimezone(UTC)
    return format_html(
        '<time class="nowrap" datetime="{}">{}</time>', utc.isoformat(), utc.strftime("%-d %b %Y, %H:%M UTC")
    )
