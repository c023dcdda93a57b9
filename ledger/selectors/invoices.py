"""What providers invoiced for a month, beside what was billed to it in the ledger and what was metered.

Billed in a month are the providers' figures dated in it, and what agreeing to an invoice for it posted: that entry
may carry a later date, when the invoice came after the month was closed. A reversal counts where its entry does.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db.models import Case, DateField, F, Q, QuerySet, Sum, When
from django.db.models.functions import Cast, Coalesce, TruncMonth

from ledger.models import AccountClass, EntryKind, InvoiceState, Posting, Provider, ProviderInvoice
from ledger.months import month_of

ZERO = Decimal(0)
COUNTED = (InvoiceState.ENTERED, InvoiceState.AGREED)
Month = tuple[str, date]  # a provider's name, and the first day of a month

# The entry whose fact a posting is part of: for a reversal's, the one it turns round.
_FACT_DAY = Case(
    When(entry__kind=EntryKind.REVERSAL, then=F("entry__reverses__effective_on")), default=F("entry__effective_on")
)
_INVOICED = Coalesce("entry__reverses__invoice__month", "entry__invoice__month")
SERVICE_MONTH = Coalesce(_INVOICED, Cast(TruncMonth(_FACT_DAY), DateField()))


@dataclass(frozen=True, slots=True)
class Match:
    """One provider's month: what was invoiced, agreed, billed and metered; amounts in the account's currency."""

    provider: str
    month: date
    invoices: tuple[ProviderInvoice, ...] = ()
    billed: Decimal = ZERO
    metered: Decimal = ZERO

    @property
    def invoiced(self) -> Decimal:
        """Return what all its invoices say, decided or not."""
        return sum((one.amount for one in self.invoices), ZERO)

    @property
    def agreed(self) -> Decimal:
        """Return what its agreed invoices say."""
        return sum((one.amount for one in self.invoices if one.state == InvoiceState.AGREED), ZERO)

    @property
    def to_bill(self) -> Decimal:
        """Return what is invoiced and not billed; below zero when more was billed."""
        return self.invoiced - self.billed

    @property
    def unexplained(self) -> Decimal:
        """Return what was metered and is not invoiced; below zero when more was invoiced."""
        return self.metered - self.invoiced

    @property
    def verdict(self) -> str:
        """Say in words how the month stands."""
        if not self.invoices:
            return "No invoice"
        if any(one.state == InvoiceState.ENTERED for one in self.invoices):
            return "Waits for a second person"
        if self.to_bill:
            return "Billed differs"
        return "Metered differs" if self.unexplained else "Matched"


def matches(first: date, last: date, *, provider: Provider | None = None, as_of: datetime | None = None) -> list[Match]:
    """Return the months from the one of `first` to the one of `last`, by month and provider, where anything is."""
    span = (month_of(first)[0], month_of(last)[1])
    invoices = _invoices(span, provider, as_of)
    billed = _sums(_postings(AccountClass.BILLED, provider, as_of), span)
    metered = _sums(_postings(AccountClass.METERED, provider, as_of).filter(_used()), span)
    months = sorted({*invoices, *billed, *metered}, key=lambda one: (one[1], one[0]))
    return [Match(*m, tuple(invoices.get(m, ())), billed.get(m, ZERO), metered.get(m, ZERO)) for m in months]


def match_of(invoice: ProviderInvoice) -> Match:
    """Return the month that an invoice belongs to."""
    return matches(invoice.month, invoice.month, provider=invoice.provider)[0]


def billed_by_date(first: date, last: date, *, provider: Provider | None, as_of: datetime) -> Decimal:
    """Return what moved on the Billed accounts from one day to another, by the dates of the entries."""
    rows = _postings(AccountClass.BILLED, provider, as_of)
    found = rows.filter(entry__effective_on__range=(first, last)).aggregate(net=Sum("amount"))
    return found["net"] or ZERO


def billed_elsewhere(first: date, last: date, *, provider: Provider | None, as_of: datetime) -> tuple[Decimal, Decimal]:
    """Return what belongs to these months and was posted on other days, and what was posted in them for others."""
    rows = _postings(AccountClass.BILLED, provider, as_of).annotate(service=SERVICE_MONTH)
    belongs, dated = Q(service__range=(first, last)), Q(entry__effective_on__range=(first, last))
    found = rows.aggregate(late=Sum("amount", filter=belongs & ~dated), others=Sum("amount", filter=dated & ~belongs))
    return found["late"] or ZERO, found["others"] or ZERO


def invoices_listed(limit: int = 200) -> QuerySet[ProviderInvoice]:
    """Return the invoices, those that wait for a second person first, then by month, the newest first."""
    rows = ProviderInvoice.objects.select_related("provider", "entered_by", "decided_by", "entry")
    return rows.order_by(Case(When(state=InvoiceState.ENTERED, then=0), default=1), "-month", "-pk")[:limit]


def invoices_waiting_count() -> int:
    """Return how many invoices wait for a second person."""
    return ProviderInvoice.objects.filter(state=InvoiceState.ENTERED).count()


def _used() -> Q:
    used = (EntryKind.USAGE, EntryKind.OVERAGE)
    return Q(entry__kind__in=used) | Q(entry__reverses__kind__in=used)


def _postings(kind: AccountClass, provider: Provider | None, as_of: datetime | None) -> QuerySet[Posting]:
    rows = Posting.objects.filter(account__account_class=kind)
    rows = rows.filter(account__provider=provider) if provider else rows
    return rows.filter(entry__recorded_at__lte=as_of) if as_of else rows


def _sums(rows: QuerySet[Posting], span: tuple[date, date]) -> dict[Month, Decimal]:
    by_month = rows.annotate(service=SERVICE_MONTH).filter(service__range=span)
    found = by_month.values_list("account__provider__name", "service").annotate(net=Sum("amount")).order_by()
    return {(name, month): net for name, month, net in found if net}


def _invoices(
    span: tuple[date, date], provider: Provider | None, as_of: datetime | None
) -> dict[Month, list[ProviderInvoice]]:
    rows = ProviderInvoice.objects.filter(month__range=span, state__in=COUNTED)
    rows = rows.filter(provider=provider) if provider else rows
    rows = rows.filter(entered_at__lte=as_of) if as_of else rows
    found: dict[Month, list[ProviderInvoice]] = {}
    for one in rows.select_related("provider").order_by("issued_on", "pk"):
        found.setdefault((one.provider.name, one.month), []).append(one)
    return found
