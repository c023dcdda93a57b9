"""What waits for a decision of finance. Every floor says what of its own does, so that no floor imports one above it.

A floor registers its source in its `AppConfig.ready`; the overview and the home page show what all of them say.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from django.db.models import Count
from django.urls import reverse

from ledger.models import (
    Correction,
    CorrectionState,
    DecisionState,
    FileRun,
    FileRunState,
    InvoiceState,
    KeyStanding,
    LineDecision,
    Period,
    PeriodReopening,
    PeriodState,
    ProviderInvoice,
    ProviderKey,
    Rate,
    ReopeningState,
)
from ledger.money import show
from ledger.selectors.feeds import feeds_silent
from ledger.selectors.journal import today
from ledger.selectors.reconciliation import lines_to_decide
from teams.models import User
from teams.waiting import Waiting as ForPerson


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing that waits: what, why, the page to act on, and the permission of those who may act on it."""

    title: str
    why: str
    url: str
    permission: str


JUDGE = "ledger.judge_reconciliation"
Source = Callable[[], Iterable[Waiting]]
_SOURCES: list[Source] = []


def register(source: Source) -> None:
    """Add a source of things that wait; added again, it stays once."""
    if source not in _SOURCES:
        _SOURCES.append(source)


def things_waiting() -> Iterator[Waiting]:
    """Go through everything that waits for a decision of finance."""
    for source in _SOURCES:
        yield from source()


def waiting_for(user: User) -> Iterator[ForPerson]:
    """Go through what waits for a decision that somebody may take as finance."""
    if not user.has_perm("ledger.view_ledger"):
        return
    for thing in things_waiting():
        if user.has_perm(thing.permission):
            yield ForPerson(thing.title, thing.why, thing.url)


def of_the_ledger() -> Iterator[Waiting]:
    """Go through prices, corrections, invoices, lines of reconciliation, periods to reopen and periods to close."""
    yield from _rates()
    yield from _corrections()
    yield from _invoices()
    yield from _reconciliation()
    yield from _reopenings()
    yield from _periods()


def _rates() -> Iterator[Waiting]:
    count = Rate.objects.filter(approved_at=None, base=None).count()
    if count:
        title = f"{many(count, 'proposed price')} to approve"
        yield Waiting(title, "Rate card", reverse("ledger:rates"), "ledger.approve_rate")


def _corrections() -> Iterator[Waiting]:
    proposed = Correction.objects.filter(state=CorrectionState.PROPOSED).select_related("proposed_by", "reverses")
    for one in proposed.order_by("pk"):
        what = f"the reversal of {one.reverses}" if one.reverses else "an adjustment"
        url = reverse("ledger:correction", args=[one.pk])
        why = f"{one.proposed_by}: {one.reason}"
        yield Waiting(f"Decide on {what} ({one})", why, url, "ledger.decide_correction")


def _invoices() -> Iterator[Waiting]:
    entered = ProviderInvoice.objects.filter(state=InvoiceState.ENTERED).select_related("provider", "entered_by")
    for one in entered.order_by("pk"):
        why = f"{show(one.amount, one.currency)} for {one.month:%Y-%m}, entered by {one.entered_by}"
        url = reverse("ledger:invoice", args=[one.pk])
        yield Waiting(f"Decide on invoice {one}", why, url, "ledger.decide_invoice")


def _reconciliation() -> Iterator[Waiting]:
    proposed = LineDecision.objects.filter(state=DecisionState.PROPOSED).select_related("proposed_by", "provider")
    for one in proposed.annotate(count=Count("lines")).order_by("pk"):
        title = f"Decide on {one}: {many(one.count, 'line')} of {one.provider.name}"
        url = reverse("ledger:line_decision", args=[one.pk])
        yield Waiting(title, f"{one.proposed_by}: {one.reason}", url, "ledger.decide_line")
    if count := lines_to_decide().count():
        url = f"{reverse('ledger:lines')}?waits=1"
        yield Waiting(f"Decide about {many(count, 'line')} that no rule settles", "Reconciliation", url, JUDGE)
    if count := ProviderKey.objects.filter(standing=KeyStanding.UNKNOWN).count():
        title = f"Say whose {many(count, 'unknown key')} of providers {'is' if count == 1 else 'are'}"
        yield Waiting(title, "Used past Tank", reverse("ledger:provider_keys"), JUDGE)
    for silent in feeds_silent():
        url = reverse("ledger:feed", args=[silent.feed.pk])
        yield Waiting(f"{silent.feed} brings no figures", silent.words, url, "ledger.fetch_feed")
    checked = FileRun.objects.filter(state=FileRunState.CHECKED).select_related("asked_by", "feed__provider")
    for run in checked.defer("found").order_by("pk"):
        why = f"Nothing is wrong with it; {run.asked_by} sent it for {run.feed}"
        yield Waiting(f"Import {run.name}", why, reverse("ledger:file_run", args=[run.pk]), "ledger.import_feed_file")


def _reopenings() -> Iterator[Waiting]:
    asked = PeriodReopening.objects.filter(state=ReopeningState.ASKED).select_related("asked_by", "period")
    for one in asked.order_by("pk"):
        why = f"{one.asked_by}: {one.reason}"
        url = reverse("ledger:period", args=[one.period])
        yield Waiting(f"Decide on reopening period {one.period}", why, url, "ledger.reopen_period")


def _periods() -> Iterator[Waiting]:
    over = list(Period.objects.filter(ends_on__lt=today()).exclude(state=PeriodState.CLOSED).order_by("starts_on"))
    if len(over) == 1:
        why = "Its close has begun" if over[0].state == PeriodState.CLOSING else "It is over"
        url = reverse("ledger:period", args=[over[0]])
        yield Waiting(f"Close period {over[0]}", why, url, "ledger.close_period")
    elif over:
        why = f"{over[0]} to {over[-1]} are over"
        yield Waiting(f"Close {len(over)} periods", why, reverse("ledger:periods"), "ledger.close_period")


def many(count: int, one: str, more: str = "") -> str:
    """Write a number of things: "1 line", "3 lines"."""
    return f"{count} {one if count == 1 else more or one + 's'}"
