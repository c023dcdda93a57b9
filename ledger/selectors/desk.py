"""What finance's desk shows: years with their envelopes, periods, corrections."""

from datetime import date

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
from ledger.selectors.journal import today
from ledger.selectors.pages import EnvelopeRow
from ledger.selectors.year import Envelopes, envelopes_of
from teams.models import AuditEvent
from teams.selectors import history_of


def envelopes_by_year() -> list[Envelopes]:
    """Return the envelopes of every fiscal year and currency, newest year first."""
    return envelopes_of(FiscalYear.objects.order_by("-starts_on"))


def year_of(day: date) -> FiscalYear | None:
    """Return the fiscal year of a day, None when it is not open."""
    return FiscalYear.objects.filter(starts_on__lte=day, ends_on__gte=day).first()


def latest_year_over() -> FiscalYear | None:
    """Return the fiscal year that ended last, None when none is over."""
    return FiscalYear.objects.filter(ends_on__lt=today()).order_by("-ends_on").first()


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
