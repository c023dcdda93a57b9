"""What the teams used as FOCUS 1.4, the FinOps standard for cost and usage: one row per token class.

The rows come from the daily roll-ups. `BilledCost` is what the allocation lines were charged: usage rows add up to
the tokens at their rate, what was charged without a count of tokens is an adjustment, and where a call cost more than
its hold could take, a credit row gives that overage back, since the company bears it. So the sum over all rows is what
was charged, with every digit.

A row belongs to the month of its day. What was posted when that month was closed is billed in the month that took it,
as a correction; so is what people adjusted afterwards. Columns: https://focus.finops.org/focus-specification/
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.db import connection
from django.db.models import Exists, OuterRef

from ledger.exports import Cell, csv_lines
from ledger.models import Account, AccountClass, EntryKind, Posting, Provider, Rate, RateSource, UsageDay
from ledger.rating import MILLION, step_for

CLASSES = (
    ("input", "Input Tokens"),
    ("cache_read", "Cache Read Input Tokens"),
    ("cache_write_5m", "Cache Write Input Tokens (5m)"),
    ("cache_write_1h", "Cache Write Input Tokens (1h)"),
    ("output", "Output Tokens"),
)
COLUMNS = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingAccountType",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "HostProviderName",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingCurrency",
    "PricingQuantity",
    "PricingUnit",
    "ServiceCategory",
    "ServiceName",
    "ServiceProviderName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
    "x_tank_business_unit",
    "x_tank_cost_centre",
    "x_tank_entry",
    "x_tank_key",
    "x_tank_line",
    "x_tank_model",
    "x_tank_team",
    "x_tank_tier",
)
NOT_OF_A_PROVIDER = "tank"
# What each line was charged at a provider on a day but in a period that began after it: the usage came late.
LATE = """
SELECT p.account_id, p.provider_id, (p.hour AT TIME ZONE 'UTC')::date, m.starts_on, -sum(o.amount)
  FROM ledger_usageposting p JOIN ledger_journalentry e ON e.id = p.entry_id
  JOIN ledger_period m ON m.id = e.period_id
  JOIN ledger_posting o ON o.entry_id = e.id AND o.account_id = p.account_id
 WHERE p.hour >= %s AND p.hour < %s AND m.starts_on > (p.hour AT TIME ZONE 'UTC')::date
 GROUP BY 1, 2, 3, 4 ORDER BY 3, 1, 2, 4
"""
CHARGED = """
SELECT account_id, provider_id, day, sum(charged) FROM ledger_usageday
 WHERE day BETWEEN %s AND %s GROUP BY 1, 2, 3
"""
# An adjustment of usage moves money between a line and what is owed to a provider, or the variance.
OF_PROVIDERS = (AccountClass.METERED, AccountClass.BILLED, AccountClass.VARIANCE, AccountClass.ACCRUED)
FocusRow = dict[str, Cell]
Bucket = tuple[int, int, date]


@dataclass(frozen=True, slots=True)
class Late:
    """Usage of one line, provider and day that a later month took: first day of that month, amount charged."""

    month: date
    charged: Decimal


@dataclass(slots=True)
class Totals:
    """How many rows were written, and the sum of their `BilledCost` by currency."""

    rows: int = 0
    billed: dict[str, Decimal] = field(default_factory=dict)

    def counted(self, rows: Iterable[FocusRow]) -> Iterator[FocusRow]:
        """Pass rows on and add them up."""
        for row in rows:
            self.rows += 1
            currency = str(row["BillingCurrency"])
            self.billed[currency] = self.billed.get(currency, Decimal(0)) + Decimal(str(row["BilledCost"]))
            yield row


def focus_lines(starts_on: date, ends_on: date, totals: Totals) -> Iterator[str]:
    """Write what was charged on the days of a range (UTC, both ends included) as CSV lines, the header first.

    Adds the rows up in `totals`. Read it inside `ledger.snapshot.snapshot`.
    """
    rows = totals.counted(focus_rows(starts_on, ends_on))
    return csv_lines(COLUMNS, ([row.get(name) for name in COLUMNS] for row in rows))


def focus_rows(starts_on: date, ends_on: date) -> Iterator[FocusRow]:
    """Go through the rows of a range of days, in order of day; columns without a value are left out."""
    late, moved = _late(starts_on, ends_on)
    prices = _ListPrices()
    days = UsageDay.objects.filter(day__gte=starts_on, day__lte=ends_on).order_by("day", "pk")
    sources = days.select_related("account", "team__business_unit", "provider", "model", "rate")
    for usage in sources.iterator(chunk_size=2000):
        bucket = (usage.account_id, usage.provider_id, usage.day)
        yield from _of_day(usage, moved.get(bucket), prices)
    yield from _moved_parts(late)
    yield from _corrections(starts_on, ends_on)


def _of_day(usage: UsageDay, month: date | None, prices: "_ListPrices") -> Iterator[FocusRow]:
    base = _base(usage.day, month, usage.account, usage.provider.name) | {
        "BillingCurrency": usage.currency,
        "PricingCurrency": usage.currency,
        "SubAccountId": usage.team.slug,
        "SubAccountName": usage.team.name,
        "Tags": json.dumps(usage.tags, sort_keys=True, ensure_ascii=False),
        "x_tank_business_unit": usage.team.business_unit.name,
        "x_tank_cost_centre": usage.team.cost_centre,
        "x_tank_key": str(usage.key_id),
        "x_tank_model": usage.model.name,
        "x_tank_team": usage.team.slug,
    }
    rest = usage.cost
    for name, meter in CLASSES:
        tokens: int = getattr(usage, f"{name}_tokens")
        if tokens:
            row = base | _priced(usage, name, meter, prices)
            rest -= Decimal(str(row["BilledCost"]))
            yield row
    if rest:
        about = f"Calls of {usage.model.name} charged without a count of tokens"
        yield base | _plain("Adjustment", rest, about)
    if usage.overage:
        about = f"Beyond what was held for calls of {usage.model.name}: borne by the company"
        yield base | _plain("Credit", -usage.overage, about)


def _priced(usage: UsageDay, name: str, meter: str, prices: "_ListPrices") -> FocusRow:
    tokens: int = getattr(usage, f"{name}_tokens")
    price: Decimal = getattr(usage.rate, name)
    listed: Decimal = getattr(prices.of(usage), name)
    cost = price * tokens / MILLION
    return {
        "BilledCost": cost,
        "ChargeCategory": "Usage",
        "ChargeDescription": f"{meter} of {usage.model.name}",
        "ChargeFrequency": "Usage-Based",
        "ConsumedQuantity": tokens,
        "ConsumedUnit": "Tokens",
        "ContractedCost": cost,
        "ContractedUnitPrice": price,
        "EffectiveCost": cost,
        "ListCost": listed * tokens / MILLION,
        "ListUnitPrice": listed,
        "PricingCategory": "Standard",
        "PricingQuantity": tokens / MILLION,
        "PricingUnit": "1000000 Tokens",
        "SkuId": f"{usage.provider.name}/{usage.model.name}/{name}",
        "SkuMeter": meter,
        "SkuPriceId": f"rate-{usage.rate_id}/{name}",
    }


def _plain(category: str, amount: Decimal, about: str) -> FocusRow:
    costs: FocusRow = dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), amount)
    return costs | {"ChargeCategory": category, "ChargeDescription": about, "ChargeFrequency": "One-Time"}


def _base(day: date, month: date | None, line: Account, provider: str) -> FocusRow:
    """Return what every row of a line has; `month` is the first day of the later month that took it, if one did."""
    first = (month or day).replace(day=1)
    return {
        "BillingAccountId": provider,
        "BillingAccountName": provider,
        "BillingAccountType": "Provider account",
        "BillingCurrency": line.currency,
        "BillingPeriodEnd": _midnight(_next_month(first)),
        "BillingPeriodStart": _midnight(first),
        "ChargeClass": "Correction" if month else None,
        "ChargePeriodEnd": _midnight(day + timedelta(days=1)),
        "ChargePeriodStart": _midnight(day),
        "HostProviderName": provider,
        "InvoiceIssuerName": provider,
        "PricingCurrency": line.currency,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "Language model API",
        "ServiceProviderName": provider,
        "ServiceSubcategory": "Generative AI",
        "SubAccountType": "Team",
        "x_tank_line": line.code,
        "x_tank_tier": line.tier,
    }


def _of_team(line: Account) -> FocusRow:
    team = line.team
    if team is None:
        return {}
    return {
        "SubAccountId": team.slug,
        "SubAccountName": team.name,
        "x_tank_business_unit": team.business_unit.name,
        "x_tank_cost_centre": team.cost_centre,
        "x_tank_team": team.slug,
    }


def _late(starts_on: date, ends_on: date) -> tuple[dict[Bucket, list[Late]], dict[Bucket, date]]:
    """Return the days of which a part came late, and those of which everything did with the month that took it."""
    found: dict[Bucket, list[Late]] = {}
    with connection.cursor() as cursor:
        cursor.execute(LATE, [_midnight(starts_on), _midnight(ends_on + timedelta(days=1))])
        for account, provider, day, month, charged in cursor.fetchall():
            found.setdefault((account, provider, day), []).append(Late(month, charged))
        cursor.execute(CHARGED, [starts_on, ends_on])
        totals = {(account, provider, day): charged for account, provider, day, charged in cursor.fetchall()}
    whole = {
        bucket: parts[0].month
        for bucket, parts in found.items()
        if len(parts) == 1 and parts[0].charged == totals.get(bucket)
    }
    return {bucket: parts for bucket, parts in found.items() if bucket not in whole}, whole


def _moved_parts(late: dict[Bucket, list[Late]]) -> Iterator[FocusRow]:
    """Move what came late out of its own month and into the one that took it; the two rows sum to zero."""
    lines = Account.objects.select_related("team__business_unit").in_bulk({account for account, _, _ in late})
    names = dict(Provider.objects.values_list("pk", "name"))
    for (account, provider, day), parts in late.items():
        for part in parts:
            about = f"Usage of {day} that came late, billed in {part.month:%Y-%m}"
            for month, amount in ((None, -part.charged), (part.month, part.charged)):
                base = _base(day, month, lines[account], names[provider]) | _of_team(lines[account])
                yield base | _plain("Adjustment", amount, about)


def _corrections(starts_on: date, ends_on: date) -> Iterator[FocusRow]:
    """Go through what people adjusted on lines against what is owed for usage, by the date of the fact."""
    against = Posting.objects.filter(entry_id=OuterRef("entry_id"), account__account_class__in=OF_PROVIDERS)
    postings = Posting.objects.filter(
        Exists(against),
        account__account_class=AccountClass.LINE,
        entry__effective_on__gte=starts_on,
        entry__effective_on__lte=ends_on,
    ).exclude(entry__kind__in=(EntryKind.USAGE, EntryKind.OVERAGE, EntryKind.ACCRUAL))
    wanted = postings.select_related("entry__period", "account__team__business_unit").order_by("entry_id", "pk")
    for posting in wanted:
        entry, line = posting.entry, posting.account
        month = entry.period.starts_on if entry.period.starts_on > entry.effective_on else None
        about = f"{entry.get_kind_display()} {entry}: {' '.join((entry.reason or entry.memo).split())}"
        base = _base(entry.effective_on, month, line, _provider_of(posting)) | _of_team(line)
        yield base | {"x_tank_entry": str(entry)} | _plain("Adjustment", -posting.amount, about)


def _provider_of(posting: Posting) -> str:
    facing = Posting.objects.filter(entry_id=posting.entry_id, account__provider__isnull=False).order_by("pk")
    name = facing.values_list("account__provider__name", flat=True).first()
    return name or NOT_OF_A_PROVIDER


class _ListPrices:
    """The published price of a model on a day, or where none was approved the one that was charged.

    A step that was charged has the published step of the same size beside it, or the next one below.
    """

    def __init__(self) -> None:
        self._rates: dict[int, list[Rate]] = {}

    def of(self, usage: UsageDay) -> Rate:
        if usage.rate.source == RateSource.PUBLISHED:
            return usage.rate
        until = _midnight(usage.day + timedelta(days=1))
        before = [rate for rate in self._of_model(usage.model_id) if rate.valid_from < until]
        return step_for(before[-1].steps, usage.rate.above_input_tokens + 1) if before else usage.rate

    def _of_model(self, model: int) -> list[Rate]:
        if model not in self._rates:
            bases = Rate.objects.filter(model_id=model, source=RateSource.PUBLISHED, base=None)
            rates = bases.exclude(approved_at=None).prefetch_related("further_steps")
            self._rates[model] = list(rates.order_by("valid_from"))
        return self._rates[model]


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _next_month(first: date) -> date:
    return date(first.year + first.month // 12, first.month % 12 + 1, 1)
