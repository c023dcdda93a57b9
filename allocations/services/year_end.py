"""The end of a fiscal year: allocations give back what they did not spend, and what is left lapses."""

from django.db import transaction

from allocations.models import Allocation
from allocations.services.allocation import allocation_return
from ledger.models import FiscalYear, JournalEntry
from ledger.services import year_lapse
from teams.models import User


@transaction.atomic
def year_end(*, actor: User, year: FiscalYear, reason: str) -> list[JournalEntry]:
    """Return the unspent budget of every allocation of a fiscal year that is over, then let the year lapse.

    All or nothing; returns the entries. Raises what `allocation_return` and `year_lapse` raise.
    """
    allocations = Allocation.objects.filter(committed_account__fiscal_year=year).order_by("pk")
    returned = [allocation_return(actor=actor, allocation=found, reason=reason) for found in allocations]
    return [entry for entry in returned if entry] + year_lapse(actor=actor, year=year, reason=reason)
