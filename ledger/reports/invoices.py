"""Invoice match: what providers invoiced for a month beside what was billed in the ledger and what was metered."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import ClassVar

import plotly.graph_objects as go
from django.urls import reverse

from ledger.money import plain, show
from ledger.months import month_of
from ledger.reports.base import Choice, Column, Filter, Kind, Report, Row, Tie
from ledger.reports.links import account_url, report_url
from ledger.selectors.invoices import Match, billed_by_date, billed_elsewhere, matches
from teams.models import User

ZERO = Decimal(0)


class InvoiceMatch(Report):
    """Per month and provider: invoices, what of them is billed, and what was metered and is not on any invoice."""

    slug = "invoice-match"
    title = "Invoice match"
    purpose = "Does what providers invoice agree with what was billed and metered, month by month?"
    group = "Providers"
    filters: ClassVar = frozenset({Filter.PERIOD, Filter.PROVIDER, Filter.AS_OF})

    def columns(self, choice: Choice) -> Sequence[Column]:
        """Return the columns."""
        return [
            Column("month", "Month"),
            Column("provider", "Provider", drill="account"),
            Column("invoices", "Invoices", drill="invoice"),
            Column("invoiced", "Invoiced without tax", Kind.MONEY, "USD"),
            Column("agreed", "Of it agreed", Kind.MONEY, "USD"),
            Column("billed", "Billed", Kind.MONEY, "USD"),
            Column("to_bill", "Invoiced, not billed", Kind.MONEY, "USD"),
            Column("metered", "Metered", Kind.MONEY, "USD", drill="usage"),
            Column("unexplained", "Metered, not invoiced", Kind.MONEY, "USD"),
            Column("verdict", "State"),
        ]

    def rows(self, choice: Choice, viewer: User) -> Iterator[Row]:
        """Go through the months and providers; months are whole."""
        for match in _matches(choice):
            numbers = ", ".join(one.number for one in match.invoices)
            figures = (match.invoiced, match.agreed, match.billed, match.to_bill, match.metered, match.unexplained)
            yield Row((f"{match.month:%Y-%m}", match.provider, numbers, *figures, match.verdict), _links(match))

    def ties(self, choice: Choice) -> list[Tie]:
        """Return what is billed to the months beside what moved on the Billed accounts in them."""
        first, last = month_of(choice.starts_on)[0], month_of(choice.ends_on)[1]
        moved = billed_by_date(first, last, provider=choice.provider, as_of=choice.as_of)
        late, others = billed_elsewhere(first, last, provider=choice.provider, as_of=choice.as_of)
        billed = sum((match.billed for match in _matches(choice)), ZERO)
        words = f"posted on later days for these months {show(late)}, on these days for other months {show(others)}"
        explained = words if late - others == billed - moved != 0 else ""
        return [Tie("Billed", "USD", billed, moved, "Billed accounts", explained)]

    def notes(self, choice: Choice) -> list[str]:
        """Return how a month is counted."""
        return [
            "Invoices count in the month whose usage they bill, without tax; refused and withdrawn ones nowhere.",
            "Metered is by the date of the calls. What is metered and not invoiced stays in the clearing account.",
        ]

    def plot(self, choice: Choice, viewer: User) -> go.Figure | None:
        """Return invoiced, billed and metered by month."""
        totals: dict[str, list[Decimal]] = {}
        for match in _matches(choice):
            sums = totals.setdefault(f"{match.month:%Y-%m}", [ZERO, ZERO, ZERO])
            for place, figure in enumerate((match.invoiced, match.billed, match.metered)):
                sums[place] += figure
        if not totals:
            return None
        bars = [
            go.Bar(x=list(totals), y=[plain(sums[place]) for sums in totals.values()], name=name)
            for place, name in enumerate(("Invoiced", "Billed", "Metered"))
        ]
        axes = {"xaxis": {"type": "category"}, "yaxis": {"title": {"text": "USD"}}}
        return go.Figure(bars, {"barmode": "group", **axes})


def _matches(choice: Choice) -> list[Match]:
    return matches(choice.starts_on, choice.ends_on, provider=choice.provider, as_of=choice.as_of)


def _links(match: Match) -> dict[str, str]:
    first, last = month_of(match.month)
    links = {
        "account": account_url(f"billed:{match.provider}"),
        "usage": report_url("chargeback", first=first, last=last, provider=match.provider),
    }
    if len(match.invoices) == 1:
        links["invoice"] = reverse("ledger:invoice", args=[match.invoices[0].pk])
    elif match.invoices:
        links["invoice"] = reverse("ledger:invoices")
    return links
