"""What the ledger does to a line reaches its quota; ended allocations give back; units grant out of their own pool."""

from decimal import Decimal

import pytest

from allocations.models import Allocation, AllocationState, Quota
from allocations.services import allocation_expire, allocation_return, grant_make, year_end
from ledger.models import Account, AccountClass, FiscalYear, Tier
from ledger.money import usd
from ledger.selectors import balance, reserve_account
from ledger.services import Leg, adjustment_propose, correction_approve, pool_delegate, usage_post
from teams.errors import NotAllowed, Refused, WrongState
from tests.budget import Budget


def standard(allocation: Allocation) -> tuple[Account, Quota]:
    line = allocation.lines.select_related("account", "quota").get(tier=Tier.STANDARD)
    return line.account, line.quota


def adjust(budget: Budget, line: Account, amount: str) -> None:
    """Move money from a line to the provider's variance, decided by two people."""
    variance = Account.objects.get(account_class=AccountClass.VARIANCE)
    legs = [Leg(variance, Decimal(amount)), Leg(line, -Decimal(amount))]
    proposed = adjustment_propose(actor=budget.company.hana, legs=legs, reason="Charged elsewhere")
    correction_approve(actor=budget.company.lou, correction=proposed)


def test_an_adjustment_moves_the_quotas_limit_with_the_line(budget: Budget) -> None:
    line, quota = standard(budget.claims)
    adjust(budget, line, "120")
    quota.refresh_from_db()
    assert (quota.limit, balance(line).amount) == (Decimal(180), Decimal(180))


def test_nothing_takes_money_that_a_call_holds(budget: Budget) -> None:
    line, _ = standard(budget.claims)
    budget.till.admit(budget.prod, budget.claims.lines.get(tier=Tier.STANDARD), "250")
    with pytest.raises(
        Refused, match=r"The line has 250 USD spent or held: its limit cannot go below that\."
    ) as refused:
        adjust(budget, line, "120")
    assert refused.value.code == "spent_or_held"


def test_an_ended_allocation_gives_back_what_it_did_not_spend(budget: Budget) -> None:
    with pytest.raises(WrongState, match="has to end first"):
        allocation_return(actor=budget.company.hana, allocation=budget.claims, reason="Ended")
    budget.call()
    usage_post(actor=budget.company.system)
    ended = allocation_expire(actor=budget.company.system, allocation=budget.claims)
    assert ended.state == AllocationState.EXPIRED
    with pytest.raises(NotAllowed):
        allocation_return(actor=budget.company.ana, allocation=ended, reason="Ended")
    before = balance(budget.pool).amount

    allocation_return(actor=budget.company.hana, allocation=ended, reason="Ended")

    spent = sum((quota.spent for quota in Quota.objects.filter(line__allocation=ended)), Decimal(0))
    assert spent > 0
    assert balance(budget.pool).amount == before + 400 - spent
    assert [(q.limit, q.held) for q in Quota.objects.filter(line__allocation=ended, spent=0)] == [(0, 0)]
    assert allocation_return(actor=budget.company.hana, allocation=ended, reason="Again") is None


def test_a_year_that_still_runs_does_not_end(budget: Budget) -> None:
    year = FiscalYear.objects.get()
    for allocation in Allocation.objects.all():
        allocation_expire(actor=budget.company.system, allocation=allocation)
    with pytest.raises(WrongState, match="runs until"):
        year_end(actor=budget.company.hana, year=year, reason="Year end")


def test_the_head_of_a_unit_grants_out_of_its_pool_and_to_its_own_teams(budget: Budget) -> None:
    company = budget.company
    pool = pool_delegate(actor=company.hana, unit=company.insurance, amount=usd(100), reason="They know best")
    with pytest.raises(NotAllowed):
        grant_make(actor=company.kim, team_name="Claims", amount=usd(30), tier=Tier.ECONOMY, reason="A trial")
    with pytest.raises(Refused, match="teams of its own business unit"):
        grant_make(actor=company.kim, team_name="Fraud", amount=usd(30), tier=Tier.ECONOMY, reason="A trial", pool=pool)
    before = balance(reserve_account()).amount

    given = grant_make(
        actor=company.kim, team_name="Claims", amount=usd(30), tier=Tier.ECONOMY, reason="A trial", pool=pool
    )

    assert (given.team, given.funded_from, balance(pool).amount) == (company.claims, pool, Decimal(70))
    assert balance(reserve_account()).amount == before
