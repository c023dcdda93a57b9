"""Fetch what a provider reports and reconcile it with what was metered."""

import argparse
from datetime import date, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from ledger.models import Provider
from ledger.providers.base import Span
from ledger.selectors import today
from ledger.services.feed_runs import provider_read
from teams.commands import ContractCommand
from teams.errors import Refused
from teams.models import User

DAYS = 31


class Command(ContractCommand):
    """Run what the schedule does every hour and every night by hand; run twice, the second posts nothing."""

    help = "Fetch what a provider reports of some days, reconcile them and post what is agreed."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("provider")
        parser.add_argument("--from", dest="first", type=_day, metavar="DAY", help="YYYY-MM-DD, UTC; 30 days ago.")
        parser.add_argument("--to", dest="last", type=_day, metavar="DAY", help="YYYY-MM-DD, UTC, included; today.")

    def handle_contract(
        self, *, actor: User, provider: str, first: date | None, last: date | None, **_: Any
    ) -> dict[str, Any]:
        found = Provider.objects.filter(name=provider).first()
        if found is None:
            raise Refused(f"There is no provider {provider!r}; add_provider makes one.", code="no_such_provider")
        read = provider_read(actor=actor, provider=found, span=_span(first, last))
        if read.failures or read.reconciled is None:
            raise CommandError("; ".join(read.failures))
        done = read.reconciled
        return {
            "provider": done.provider,
            "from": done.first,
            "to": done.last,
            "fetches": len(read.fetches),
            "rows": sum(fetch.rows_count for fetch in read.fetches),
            "figures_changed": sum(fetch.changes_count for fetch in read.fetches),
            "lines_changed": done.changed,
            "judged": done.judged,
            "entries": done.entries,
            "outcomes": done.outcomes,
        }


def _day(text: str) -> date:
    """Read a day such as 2026-03-31."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day such as 2026-03-31") from None


def _span(first: date | None, last: date | None) -> Span:
    """Return the days asked for; raises Refused (days_reversed, future_date)."""
    end = last or today()
    start = first or end - timedelta(days=DAYS - 1)
    if start > end:
        raise Refused(f"{start} lies after {end}.", code="days_reversed")
    if end > today():
        raise Refused(f"{end} lies in the future.", code="future_date")
    return Span(start, end)
