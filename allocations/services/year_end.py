"""The end of a fiscal year: allocations give back what they did not spend, before what is left lapses."""

from dataclasses import dataclass
from decimal import Decimal

from django.db import transaction

from allocations.models import Allocation
from allocations.selectors.year_end import year_leftovers
from allocations.services.allocation import allocation_return
from ledger.models import FiscalYear
from ledger.selectors import today
from teams.access import require
from teams.errors import Refused, WrongState, require_reason
from teams.models import User


@dataclass(frozen=True, slots=True)
class Kept:
    """An allocation that did not give back what it has left, and why."""

    allocation: Allocation
    why: str


@dataclass(frozen=True, slots=True)
class YearReturn:
    """What the allocations of a year gave back: which of them, how much by currency, and which could not."""

    returned: list[Allocation]
    amounts: dict[str, Decimal]
    kept: list[Kept]


@transaction.atomic
def year_return(*, actor: User, year: FiscalYear, reason: str) -> YearReturn:
    """Return what the allocations of a fiscal year that is over did not spend, as far as each can give it back.

    One that cannot, because it still runs or calls still hold of it, keeps what it has and is named with the reason.
    Raises NotAllowed, Refused (reason_missing), WrongState while the year runs.
    """
    require(actor, "allocations.grant_budget", message="Only finance returns unused budget.")
    require_reason(reason)
    if today() <= year.ends_on:
        raise WrongState(f"{year.name} runs until {year.ends_on}.")
    done = YearReturn([], {}, [])
    for leftover in year_leftovers(year):
        _return_one(actor, leftover.allocation, reason, done)
    return done


def _return_one(actor: User, allocation: Allocation, reason: str, done: YearReturn) -> None:
    try:
        entry = allocation_return(actor=actor, allocation=allocation, reason=reason)
    except Refused as error:
        done.kept.append(Kept(allocation, error.message))
        return
    if entry is not None:
        (posting,) = entry.postings.filter(account=allocation.funded_from)
        done.returned.append(allocation)
        done.amounts[posting.currency] = done.amounts.get(posting.currency, Decimal(0)) + posting.amount
