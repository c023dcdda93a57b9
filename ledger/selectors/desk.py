"""What finance's desk shows: years with their envelopes, periods, corrections."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db.models import F, Sum
from djmoney.money import Money

from ledger.models import (
    Account,
    AccountBalance,
    AccountClass,
    Correction,
    CorrectionState,
    FiscalYear,
    Period,
)
from ledger.models.journal import ENVELOPES
from ledger.selectors.pages import EnvelopeRow
from teams.models import AuditEvent
from teams.selectors import history_of

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class YearRow:
    """A fiscal year's budget in one currency: what came in, where it is now, what was used of it."""

    year: FiscalYear
    currency: str
    funded: Money
    reserve: Money
    pools: Money
    committed: Money
    lines: Money

    @property
    def used(self) -> Money:
        """Return what left the year's envelopes; of a converted currency, less what was converted away."""
        return self.funded - self.reserve - self.pools - self.committed - self.lines


def year_rows() -> list[YearRow]:
    """Return every fiscal year and currency, newest first."""
    found = AccountBalance.objects.filter(account__fiscal_year__isnull=False).values(
        "account__fiscal_year", "currency", "account__account_class"
    )
    sums: dict[tuple[int, str], dict[str, Decimal]] = {}
    for row in found.annotate(net=Sum(F("debits") - F("credits"))):
        place = (row["account__fiscal_year"], row["currency"])
        sums.setdefault(place, {})[row["account__account_class"]] = row["net"]
    years = FiscalYear.objects.in_bulk({year for year, _ in sums})
    rows = [_year_row(years[year], currency, net) for (year, currency), net in sums.items()]
    return sorted(rows, key=lambda row: (row.year.starts_on, row.currency), reverse=True)


def _year_row(year: FiscalYear, currency: str, net: dict[str, Decimal]) -> YearRow:
    parts = [_brought_in(year, currency), *(net.get(name.value, ZERO) for name in ENVELOPES)]
    return YearRow(year, currency, *(Money(part, currency) for part in parts))


def _brought_in(year: FiscalYear, currency: str) -> Decimal:
    """What funding, cuts, lapse and conversions brought into a year's reserve of a currency."""
    kinds = ["fund", "supplement", "cut", "lapse", "conversion"]
    reserves = Account.objects.filter(
        fiscal_year=year, currency=currency, account_class=AccountClass.RESERVE, postings__entry__kind__in=kinds
    )
    return reserves.aggregate(total=Sum("postings__amount"))["total"] or ZERO


def year_of(day: date) -> FiscalYear | None:
    """Return the fiscal year of a day, None when it is not open."""
    return FiscalYear.objects.filter(starts_on__lte=day, ends_on__gte=day).first()


def delegated_pools() -> list[EnvelopeRow]:
    """Return the pools of business units, newest first."""
    rows = AccountBalance.objects.filter(
        account__account_class=AccountClass.POOL, account__business_unit__isnull=False
    ).select_related("account__business_unit", "account__fiscal_year")
    return [EnvelopeRow(r.account, r.debits, r.credits, r.debits - r.credits) for r in rows.order_by("-account_id")]


def periods_by_year() -> list[tuple[FiscalYear, list[Period]]]:
    """Return fiscal years with their periods, newest first."""
    years = FiscalYear.objects.prefetch_related("periods").order_by("-starts_on")
    return [(year, sorted(year.periods.all(), key=lambda period: period.starts_on)) for year in years]


def period_history(period: Period) -> list[AuditEvent]:
    """Return who did what to a period, newest first."""
    return history_of("ledger.period", period.pk)


def corrections_waiting() -> list[Correction]:
    """Return the corrections that wait for a second person, oldest first."""
    rows = Correction.objects.filter(state=CorrectionState.PROPOSED).select_related("proposed_by", "reverses")
    return list(rows.order_by("pk"))


def corrections_waiting_count() -> int:
    """Return how many corrections wait for a second person."""
    return Correction.objects.filter(state=CorrectionState.PROPOSED).count()


def corrections_decided(limit: int = 50) -> list[Correction]:
    """Return the corrections that were decided, latest first."""
    rows = Correction.objects.exclude(state=CorrectionState.PROPOSED)
    return list(rows.select_related("proposed_by", "decided_by", "entry", "reverses").order_by("-pk")[:limit])


def correction_legs(correction: Correction) -> list[tuple[Account, Money]]:
    """Return what a correction posts: its own postings, or the mirror of the entry that it reverses."""
    if correction.reverses is not None:
        postings = correction.reverses.postings.select_related("account").order_by("pk")
        return [(posting.account, -posting.money) for posting in postings]
    legs = correction.legs.select_related("account").order_by("pk")
    return [(leg.account, Money(leg.amount, leg.account.currency)) for leg in legs]
