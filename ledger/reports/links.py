"""Where the figures of a report lead: accounts, entries, and other reports with the same filters."""

from datetime import date
from functools import lru_cache
from urllib.parse import urlencode

from django.urls import reverse

from ledger.reports.base import Choice


@lru_cache(maxsize=4096)
def account_url(code: str) -> str:
    """Return the page of an account's statement."""
    return reverse("ledger:account", args=[code])


@lru_cache(maxsize=1)
def _journal() -> str:
    return reverse("ledger:entries")


def entry_url(pk: int) -> str:
    """Return the page of a journal entry."""
    return f"{_journal()}J-{pk}/"


@lru_cache(maxsize=64)
def _report(slug: str) -> str:
    return reverse("ledger:report", args=[slug])


def report_url(slug: str, **filters: str | date) -> str:
    """Return the page of a report with filters by the names of the form, "from" as `first` and "to" as `last`."""
    names = {"first": "from", "last": "to"}
    return f"{_report(slug)}?{urlencode({names.get(name, name): str(v) for name, v in filters.items() if v})}"


def usage_url(choice: Choice, **narrower: str) -> str:
    """Return the page of the usage records behind a row: the filters as chosen, and what the row narrows them to."""
    chosen = {
        "unit": choice.unit and choice.unit.slug,
        "team": choice.team and choice.team.slug,
        "provider": choice.provider and choice.provider.name,
        "model": choice.model and choice.model.name,
        "tier": choice.tier and choice.tier.value,
        "tag": choice.tag,
        "tag_value": choice.tag_value,
        "account": choice.account and choice.account.code,
    }
    filters = {name: value for name, value in (chosen | narrower).items() if value}
    return report_url("usage-records", first=choice.starts_on, last=choice.ends_on, **filters)
