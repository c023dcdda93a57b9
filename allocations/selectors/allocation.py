"""How an allocation stands."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from django.db.models import Q, Sum

from allocations.models import Allocation, AllocationLine, HoldState
from ledger.models import Tier
from teams.errors import Refused
from teams.typed import whole_in


@dataclass(frozen=True, slots=True)
class Figures:
    """How an envelope stands, in its currency. `unsettled` is the part of `held` whose process went away."""

    limit: Decimal
    spent: Decimal
    held: Decimal
    unsettled: Decimal
    currency: str
    as_of: datetime
    token_limit: int | None
    """Input and output together; None is no limit, and so it is over lines of which one has none."""
    tokens_spent: int
    tokens_held: int

    @property
    def available(self) -> Decimal:
        """Return limit minus spent minus held."""
        return self.limit - self.spent - self.held


def allocation_by_number(number: str) -> Allocation:
    """Return the allocation that people call A-0042, or 42. Raises Refused (no_such_allocation)."""
    pk = whole_in(number.strip().upper().removeprefix("A-"), None)
    if pk is not None:
        allocation = Allocation.objects.select_related("team", "committed_account").filter(pk=pk).first()
        if allocation is not None:
            return allocation
    raise Refused(f"There is no allocation {number!r}.", code="no_such_allocation", field="allocation")


def figures_by_tier(allocation: Allocation) -> dict[Tier, Figures]:
    """Return the figures of each line of an allocation, dearest tier first."""
    lines = (
        AllocationLine.objects.filter(allocation=allocation)
        .select_related("quota")
        .annotate(unsettled=Sum("quota__holds__amount", filter=Q(quota__holds__state=HoldState.UNSETTLED)))
    )
    now = datetime.now(UTC)
    found = {
        Tier(line.tier): Figures(
            limit=line.quota.limit or Decimal(0),
            spent=line.quota.spent,
            held=line.quota.held,
            unsettled=line.unsettled or Decimal(0),
            currency=line.quota.currency,
            as_of=now,
            token_limit=line.quota.token_limit,
            tokens_spent=line.quota.tokens_spent,
            tokens_held=line.quota.tokens_held,
        )
        for line in lines
    }
    return {tier: found[tier] for tier in Tier if tier in found}


def quota_figures(allocation: Allocation) -> Figures:
    """Return the figures of all lines of an allocation together."""
    lines = list(figures_by_tier(allocation).values())
    limits = [line.token_limit for line in lines if line.token_limit is not None]
    return Figures(
        limit=sum((line.limit for line in lines), Decimal(0)),
        spent=sum((line.spent for line in lines), Decimal(0)),
        held=sum((line.held for line in lines), Decimal(0)),
        unsettled=sum((line.unsettled for line in lines), Decimal(0)),
        currency=allocation.committed_account.currency,
        as_of=datetime.now(UTC),
        token_limit=sum(limits) if lines and len(limits) == len(lines) else None,
        tokens_spent=sum(line.tokens_spent for line in lines),
        tokens_held=sum(line.tokens_held for line in lines),
    )
