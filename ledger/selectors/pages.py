"""What the ledger's pages show, each list in a fixed number of queries."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db.models import Case, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from ledger.models import (
    Account,
    AccountBalance,
    AccountClass,
    AiModel,
    FiscalYear,
    JournalEntry,
    Posting,
    Rate,
)
from ledger.selectors.journal import TrialRow, trial_balance
from ledger.selectors.rates import rates_at

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class TrialSection:
    """The accounts of one class in one currency, with their sums."""

    account_class: AccountClass
    currency: str
    rows: list[TrialRow]
    debits: Decimal
    credits: Decimal
    balance: Decimal


@dataclass(frozen=True, slots=True)
class TrialTotal:
    """The sums over all accounts of one currency; `balance` is zero or the books are broken."""

    currency: str
    debits: Decimal
    credits: Decimal
    balance: Decimal


def trial_rows(on: date | None = None) -> list[TrialRow]:
    """Return the trial balance now, or at the end of a day by the entries' effective dates."""
    return trial_balance() if on is None else _trial_balance_on(on)


def _trial_balance_on(on: date) -> list[TrialRow]:
    order = {account_class: place for place, account_class in enumerate(AccountClass.values)}
    until = Q(postings__entry__effective_on__lte=on)
    accounts = Account.objects.select_related("team").annotate(
        debits=Coalesce(Sum("postings__amount", filter=until & Q(postings__amount__gt=0)), ZERO),
        credits=Coalesce(-Sum("postings__amount", filter=until & Q(postings__amount__lt=0)), ZERO),
    )
    rows = [TrialRow(a, a.debits, a.credits, a.debits - a.credits) for a in accounts]
    return sorted(rows, key=lambda row: (order[row.account.account_class], row.account.code))


def trial_sections(rows: Iterable[TrialRow]) -> list[TrialSection]:
    """Group a trial balance by class and currency."""
    groups: dict[tuple[str, str], list[TrialRow]] = {}
    for row in rows:
        groups.setdefault((row.account.account_class, row.account.currency), []).append(row)
    return [
        TrialSection(AccountClass(account_class), currency, found, *_sums(found))
        for (account_class, currency), found in groups.items()
    ]


def trial_totals(rows: Iterable[TrialRow]) -> list[TrialTotal]:
    """Sum a trial balance per currency."""
    groups: dict[str, list[TrialRow]] = {}
    for row in rows:
        groups.setdefault(row.account.currency, []).append(row)
    return [TrialTotal(currency, *_sums(found)) for currency, found in sorted(groups.items())]


def _sums(rows: list[TrialRow]) -> tuple[Decimal, Decimal, Decimal]:
    debits = sum((row.debits for row in rows), ZERO)
    credit = sum((row.credits for row in rows), ZERO)
    return debits, credit, debits - credit


def statement_whole(account: Account) -> Iterator[Posting]:
    """Go through all postings of an account, oldest first, without holding them in memory."""
    rows = Posting.objects.filter(account=account).select_related("entry__actor").order_by("account_version")
    return rows.iterator(chunk_size=2000)


def entries(*, kind: str = "", before: int | None = None, limit: int = 50) -> list[JournalEntry]:
    """Return journal entries with `volume`, the sum of their debits, newest first, older than the id `before`."""
    rows = JournalEntry.objects.select_related("actor", "seal", "period").order_by("-pk")
    if kind:
        rows = rows.filter(kind=kind)
    if before is not None:
        rows = rows.filter(pk__lt=before)
    return list(rows.annotate(volume=Sum("postings__amount", filter=Q(postings__amount__gt=0)))[:limit])


def entry_whole(rows: QuerySet[JournalEntry]) -> QuerySet[JournalEntry]:
    """Add everything that the page of an entry shows."""
    return rows.select_related("actor", "approved_by", "period", "seal", "reverses", "reversed_by")


def entry_postings(entry: JournalEntry) -> list[Posting]:
    """Return the postings of an entry, debits first."""
    side = Case(When(amount__gt=0, then=Value(0)), default=Value(1))
    return list(entry.postings.select_related("account").order_by(side, "pk"))


@dataclass(frozen=True, slots=True)
class EnvelopeRow:
    """An envelope as a gauge: what went in, what went out, what is left, in its currency."""

    account: Account
    put_in: Decimal
    taken: Decimal
    left: Decimal


def pool_rows(year: FiscalYear) -> list[EnvelopeRow]:
    """Return the pools of a fiscal year, newest first."""
    pools = AccountBalance.objects.filter(account__account_class=AccountClass.POOL, account__fiscal_year=year)
    rows = pools.select_related("account")
    return [EnvelopeRow(r.account, r.debits, r.credits, r.debits - r.credits) for r in rows.order_by("-account_id")]


def clearing_rows() -> list[AccountBalance]:
    """Return what was used and is not yet agreed with each provider: accounts that must go to zero."""
    rows = AccountBalance.objects.filter(account__account_class=AccountClass.METERED)
    return list(rows.select_related("account__provider").order_by("account__code"))


@dataclass(frozen=True, slots=True)
class RateRow:
    """A model with the rate in force, None when there is none: then it cannot be called."""

    model: AiModel
    rate: Rate | None


def rate_card(at: datetime | None = None) -> list[RateRow]:
    """Return every enabled model with the rate in force at a time, by default now; dearest tier first."""
    models = list(AiModel.objects.filter(is_enabled=True).select_related("provider"))
    found = rates_at(models, at or timezone.now())
    tiers = {"frontier": 0, "standard": 1, "economy": 2, "batch": 3}
    return sorted(
        (RateRow(model, found.get(model.pk)) for model in models), key=lambda r: (tiers[r.model.tier], r.model.name)
    )


@dataclass(frozen=True, slots=True)
class ProposalRow:
    """A proposed rate beside the one it would replace."""

    rate: Rate
    current: Rate | None

    def change(self, column: str) -> Decimal | None:
        """Return by how many percent a price would change; None without one to compare with."""
        before = getattr(self.current, column) if self.current else None
        return None if not before else (getattr(self.rate, column) - before) * 100 / before

    @property
    def input_change(self) -> Decimal | None:
        """Return the change of the input price in percent."""
        return self.change("input")

    @property
    def output_change(self) -> Decimal | None:
        """Return the change of the output price in percent."""
        return self.change("output")


def rate_proposals() -> list[ProposalRow]:
    """Return the rates that wait for approval, oldest first, each beside the one in force."""
    waiting = Rate.objects.filter(approved_at=None, base=None).select_related("model__provider", "proposed_by")
    rates = list(waiting.prefetch_related("further_steps").order_by("pk"))
    found = rates_at([rate.model for rate in rates], timezone.now())
    return [ProposalRow(rate, found.get(rate.model_id)) for rate in rates]
