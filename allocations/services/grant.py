"""Grants: allocations outside a round, out of the reserve."""

from datetime import date
from decimal import Decimal
from uuid import uuid4

from django.db import transaction
from djmoney.money import Money

from allocations.models import Allocation, StopBehaviour
from allocations.services.allocation import allocation_create
from ledger.models import Account, EntryKind, Tier
from ledger.money import exact_money
from ledger.selectors import current_fiscal_year, reserve_account, today
from teams.access import require
from teams.errors import Refused, require_reason
from teams.models import Team, User
from teams.services import team_create

COST_CENTRE_OF_NEW_TEAMS = "unassigned"


@transaction.atomic
def grant_make(
    *,
    actor: User,
    team_name: str,
    amount: Money,
    tier: Tier,
    reason: str,
    ends_on: date | None = None,
    stop_behaviour: StopBehaviour = StopBehaviour.STOP,
    pool: Account | None = None,
) -> Allocation:
    """Allocate out of this fiscal year's reserve until its end, making the team when it is missing.

    Out of a business unit's delegated `pool`, the unit's head grants too, and to the unit's own teams only.
    Raises Refused (reason_missing, amount_not_positive, no_fiscal_year, overdraft, other_unit), InexactAmount.
    """
    require(actor, "allocations.grant_budget", pool, message="Only finance grants budget outside a round.")
    require_reason(reason, "A grant needs a reason.")
    if exact_money(amount).amount <= 0:
        raise Refused("The amount must be more than zero.", code="amount_not_positive", field="amount")
    year = current_fiscal_year()
    team = Team.objects.filter(name__iexact=team_name).first() or Team.objects.filter(slug=team_name).first()
    if pool is not None and (team is None or team.business_unit_id != pool.business_unit_id):
        raise Refused(f"{pool.name} is for teams of its own business unit.", code="other_unit", field="team")
    team = team or team_create(actor=actor, name=team_name, cost_centre=COST_CENTRE_OF_NEW_TEAMS)
    return allocation_create(
        actor=actor,
        team=team,
        owner=actor,
        name=f"Grant to {team.name}",
        lines={tier: Decimal(amount.amount)},
        funded_from=pool or reserve_account(year),
        kind=EntryKind.GRANT,
        starts_on=today(),
        ends_on=ends_on or year.ends_on,
        stop_behaviour=stop_behaviour,
        reason=reason,
        key=f"grant:{uuid4().hex}",
    )
