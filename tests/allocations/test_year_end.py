"""What the ledger does to a line reaches its quota; ended allocations give back; units grant out of their own pool."""

from datetime import timedelta
from decimal import Decimal

import pytest

from allocations.models import Allocation, AllocationState, Quota, StopBehaviour
from allocations.services import (
    allocation_create,
    allocation_expire,
    allocation_return,
    grant_make,
    key_issue,
    year_return,
)
from ledger.models import Account, AccountClass, EntryKind, FiscalYear, Tier
from ledger.money import usd
from ledger.selectors import balance, reserve_account, today
from ledger.services import (
    Leg,
    adjustment_propose,
    correction_approve,
    fiscal_year_open,
    pool_delegate,
    usage_post,
    year_fund,
)
from teams.errors import NotAllowed, Refused, WrongState
from tests.budget import Budget, Till
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, error_beside, page_of, rows


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


class Over:
    """A year that is over and what was granted out of it: one ended, one that runs on, one whose calls were lost."""

    def __init__(self, company: Company) -> None:
        self.company = company
        first = today().replace(day=1)
        fiscal_year_open(actor=company.system, first_day=first)
        self.year = fiscal_year_open(actor=company.system, first_day=first.replace(year=first.year - 1))
        year_fund(actor=company.hana, amount=usd(1000), reason="Budget of the year", year=self.year)
        self.reserve = reserve_account(self.year)
        self.ended = self.give("Ended", "100", ends=1)
        self.running = self.give("Running on", "30", ends=-20)
        self.lost = self.give("Lost calls", "7", ends=1)
        self.till = Till()
        key, _ = key_issue(actor=company.ana, allocation=self.lost, name="lost")
        self.till.admit(key, self.lost.lines.get(), "2")
        self.till.die()
        for allocation in (self.ended, self.lost):
            allocation_expire(actor=company.system, allocation=allocation)

    def give(self, name: str, amount: str, *, ends: int) -> Allocation:
        return allocation_create(
            actor=self.company.system,
            team=self.company.claims,
            owner=self.company.ana,
            name=name,
            lines={Tier.STANDARD: Decimal(amount)},
            funded_from=self.reserve,
            kind=EntryKind.GRANT,
            starts_on=self.year.starts_on,
            ends_on=today() - timedelta(days=ends),
            stop_behaviour=StopBehaviour.STOP,
            reason="A try",
            key=name,
        )

    @property
    def page(self) -> str:
        return f"/allocations/year-end/{self.year}/"


@pytest.fixture
def over(company: Company) -> Over:
    return Over(company)


def test_a_year_gives_back_what_it_can_and_names_what_it_cannot(over: Over) -> None:
    done = year_return(actor=over.company.hana, year=over.year, reason="Year end")

    assert (done.returned, done.amounts) == ([over.ended], {"USD": Decimal(100)})
    assert [(kept.allocation, kept.why) for kept in done.kept] == [
        (over.running, f"{over.running.number} is active; it has to end first."),
        (over.lost, f"$2.00 of {over.lost.number} is still held; settle or release it first."),
    ]
    assert balance(over.reserve).amount == 963
    again = year_return(actor=over.company.hana, year=over.year, reason="Year end")
    assert (again.returned, len(again.kept)) == ([], 2)


def test_a_year_that_still_runs_gives_nothing_back(budget: Budget) -> None:
    with pytest.raises(WrongState, match="runs until"):
        year_return(actor=budget.company.hana, year=FiscalYear.objects.get(), reason="Year end")


@pytest.mark.parametrize("name", ["ana", "kim", "ivo", "jo"])
def test_only_finance_returns_what_a_year_left(over: Over, name: str) -> None:
    with pytest.raises(NotAllowed):
        year_return(actor=over.company.person(name), year=over.year, reason="Year end")


def test_the_page_of_the_year_end_says_what_is_left_returns_it_and_leads_to_the_lapse(over: Over) -> None:
    hana = over.company.client(over.company.hana)
    assert f"Return $137.00 of {over.year}" in page_of(hana.get("/ledger/")).text
    assert rows(hana.get("/allocations/year-end/"), "Years, table") == [
        [str(over.year), f"{over.year.ends_on:%-d %b %Y}", "3", "$137.00"]
    ]
    page = hana.get(over.page)
    assert_readable(page)
    assert [(row[0], *row[2:]) for row in rows(page, "Not spent, table")] == [
        (f"Ended {over.ended.number}", "expired", "$100.00", "$0.00", "$0.00", "nothing"),
        (
            f"Running on {over.running.number}",
            *("active", "$30.00", "$0.00", "$0.00", f"It is active until {over.running.ends_on:%-d %b %Y}."),
        ),
        (
            f"Lost calls {over.lost.number}",
            *("expired", "$7.00", "$0.00", "$2.00 $2.00 unsettled", "$2.00 is held by calls that have to be settled."),
        ),
        ("Together, USD, released or not", ""),
    ]

    refused = hana.post(over.page, {"reason": " "})
    assert (refused.status_code, error_beside(refused, "reason")) == (422, "Say why: an auditor will ask.")
    answer = hana.post(over.page, {"reason": "Year end"})
    assert_readable(answer)
    assert "1 allocation gave back $100.00 . 2 could not:" in page_of(answer).one("main").text
    assert [row[0] for row in rows(answer, "Not returned, table")] == [over.running.number, over.lost.number]

    lapse = hana.post("/ledger/budget/lapse/", {"year": over.year.pk, "reason": "Year end"})
    assert lapse.status_code == 422
    assert page_of(lapse).one("main").one("a", href="/allocations/year-end/").text == "year end"


def test_when_nothing_is_left_the_page_of_the_year_end_says_so(company: Company) -> None:
    first = today().replace(day=1)
    year = fiscal_year_open(actor=company.system, first_day=first.replace(year=first.year - 1))
    hana = company.client(company.hana)
    page = hana.get(f"/allocations/year-end/{year}/")
    assert f"No allocation of {year} has budget left" in page_of(page).text
    assert page_of(page).one("a", href="/ledger/budget/lapse/").text == f"Let the rest of {year} lapse…"
    assert_readable(page)


def test_before_any_year_is_over_the_list_of_year_ends_is_empty(budget: Budget) -> None:
    page = budget.company.client(budget.company.hana).get("/allocations/year-end/")
    assert "No year is over yet" in page_of(page).text
    assert_readable(page)
    running = f"/allocations/year-end/{FiscalYear.objects.get()}/"
    assert budget.company.client(budget.company.hana).get(running).status_code == 404


def test_auditors_read_the_year_end_and_others_do_not(over: Over) -> None:
    for name in PEOPLE:
        client = over.company.client(over.company.person(name))
        statuses = [client.get(url).status_code for url in ("/allocations/year-end/", over.page)]
        assert statuses == ([200, 200] if name in {"hana", "jo"} else [404, 404]), name
        if name != "hana":
            assert client.post(over.page, {"reason": "Year end"}).status_code == 404, name
    assert "Return all" not in page_of(over.company.client(over.company.jo).get(over.page)).text


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
