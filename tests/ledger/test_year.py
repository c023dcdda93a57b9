"""A year of bookkeeping, step and balance: funded, added to, cut, delegated, used, closed, corrected, lapsed.

The year is the twelve months that end with the last one, so that all of it is over whatever day it is; the calendar
runs on in the year after it.
"""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ledger.models import Account, AccountClass, Dialect, EntryKind, JournalEntry, Period, PeriodState
from ledger.money import usd
from ledger.selectors import authority_account, balance, reserve_account, today, trial_balance
from ledger.services import (
    Leg,
    account_open,
    adjustment_propose,
    correction_approve,
    correction_refuse,
    correction_withdraw,
    entry_post,
    exchange_rate_record,
    fiscal_year_open,
    period_accept,
    period_accrue,
    period_close,
    period_close_begin,
    period_close_stop,
    period_reopen_ask,
    period_reopen_decide,
    pool_delegate,
    provider_add,
    reserve_convert,
    reserve_in,
    reversal_propose,
    year_cut,
    year_fund,
    year_lapse,
)
from teams.errors import NotAllowed, Refused, WrongState
from tests.cast import Company

REASON = "Agreed with the board"


class Year:
    """Two fiscal years, the one that is over and today's, with one provider and the accounts of a line."""

    def __init__(self, company: Company) -> None:
        self.company = company
        self.system = company.system
        first = today().replace(day=1)
        self.now = fiscal_year_open(actor=self.system, first_day=first)
        self.over = fiscal_year_open(actor=self.system, first_day=first.replace(year=first.year - 1))
        provider_add(actor=self.system, name="acme", dialect=Dialect.SANDBOX)
        year_fund(actor=self.system, amount=usd(1000), reason=REASON, year=self.over)
        self.line = self.envelope(AccountClass.LINE)
        self.committed = self.envelope(AccountClass.COMMITTED)

    def envelope(self, account_class: AccountClass) -> Account:
        code = f"{account_class.value}:test"
        return account_open(code=code, name=code, account_class=account_class, fiscal_year=self.over)

    def account(self, code: str) -> Account:
        return Account.objects.get(code=code)

    def move(self, kind: EntryKind, to: Account, out_of: Account, amount: str, day: date, key: str) -> JournalEntry:
        legs = [Leg(to, Decimal(amount)), Leg(out_of, -Decimal(amount))]
        return entry_post(actor=self.system, kind=kind, source="test", key=key, legs=legs, effective_on=day)

    def use(self, amount: str, day: date, key: str) -> JournalEntry:
        """Post usage of a day, as the hourly run would."""
        return self.move(EntryKind.USAGE, self.account("metered:acme"), self.line, amount, day, key)

    def give(self, amount: str) -> None:
        """Grant out of the reserve and release to the line on the year's first day."""
        day = self.over.starts_on
        self.move(EntryKind.GRANT, self.committed, reserve_account(self.over), amount, day, f"grant:{amount}")
        self.move(EntryKind.RELEASE, self.line, self.committed, amount, day, f"release:{amount}")

    def period(self, place: int) -> Period:
        return list(self.over.periods.order_by("starts_on"))[place]

    def left(self, *accounts: Account) -> list[Decimal]:
        return [balance(account).amount for account in accounts]


@pytest.fixture
def year(company: Company) -> Year:
    return Year(company)


def test_a_year_is_funded_added_to_and_cut_down_to_what_is_committed(year: Year) -> None:
    reserve, authority = reserve_account(year.over), authority_account(year.over)
    assert year.left(reserve, authority) == [1000, -1000]

    more = year_fund(actor=year.company.hana, amount=usd(200), reason="A new law", year=year.over)
    assert more.kind == EntryKind.SUPPLEMENT
    assert year.left(reserve, authority) == [1200, -1200]

    year.give("700")
    with pytest.raises(Refused, match=r"Only \$500.00 of FY\d+ is neither in pools nor committed") as refused:
        year_cut(actor=year.company.hana, year=year.over, amount=usd("500.01"), reason="Costs down")
    assert refused.value.code == "below_committed"

    year_cut(actor=year.company.hana, year=year.over, amount=usd(500), reason="Costs down")
    assert year.left(reserve, authority, year.line) == [0, -700, 700]


@pytest.mark.parametrize("name", ["ana", "gil", "ivo", "jo"])
def test_only_finance_moves_the_years_budget(year: Year, name: str) -> None:
    person = year.company.person(name)
    with pytest.raises(NotAllowed):
        year_fund(actor=person, amount=usd(1), reason=REASON)
    with pytest.raises(NotAllowed):
        year_cut(actor=person, year=year.over, amount=usd(1), reason=REASON)
    with pytest.raises(NotAllowed):
        pool_delegate(actor=person, unit=year.company.insurance, amount=usd(1), reason=REASON)
    with pytest.raises(NotAllowed):
        period_close_begin(actor=person, period=year.period(0))
    with pytest.raises(NotAllowed):
        adjustment_propose(actor=person, legs=[], reason=REASON)


def test_a_month_is_closed_when_its_checklist_is_settled_and_its_accrual_turns_round(year: Year) -> None:
    hana, first = year.company.hana, year.period(0)
    year.give("700")
    year.use("40", first.starts_on, "usage-1")
    metered, accrued_code = year.account("metered:acme"), "accrued:acme"

    period_close_begin(actor=hana, period=first)
    with pytest.raises(Refused, match="Still open: Usage not yet billed is accrued"):
        period_close(actor=hana, period=first)

    period_accrue(actor=hana, period=first)
    assert year.left(metered, year.account(accrued_code)) == [0, 40]

    period_close(actor=hana, period=first)
    assert Period.objects.get(pk=first.pk).state == PeriodState.CLOSED
    assert year.left(metered, year.account(accrued_code)) == [40, 0]
    back = JournalEntry.objects.get(kind=EntryKind.REVERSAL)
    assert (back.effective_on, back.period) == (year.period(1).starts_on, year.period(1))


def test_what_is_found_open_can_be_accepted_by_name_until_it_changes(year: Year) -> None:
    hana, first = year.company.hana, year.period(0)
    year.give("700")
    year.use("40", first.starts_on, "usage-1")
    period_close_begin(actor=hana, period=first)

    with pytest.raises(Refused) as refused:
        period_accept(actor=hana, period=first, item="usage_posted", reason="In a hurry")
    assert refused.value.code == "not_acceptable"
    accepted = period_accept(actor=hana, period=first, item="usage_accrued", reason="The bill comes tomorrow")
    assert accepted.found == "Metered, and neither billed nor accrued: Metered: acme $40.00."

    year.use("1", first.ends_on, "usage-2")  # what was accepted is no longer what is found
    with pytest.raises(Refused, match="Still open"):
        period_close(actor=hana, period=first)


def test_a_month_that_is_not_over_or_follows_an_open_one_is_not_closed(year: Year) -> None:
    hana = year.company.hana
    current = year.now.periods.order_by("starts_on")[0]
    with pytest.raises(Refused, match="runs until"):
        period_close_begin(actor=hana, period=current)

    second = period_close_begin(actor=hana, period=year.period(1))
    with pytest.raises(Refused, match="Still open: Earlier periods are closed"):
        period_close(actor=hana, period=second)
    assert period_close_stop(actor=hana, period=second, reason="Wrong month").state == PeriodState.OPEN


def test_a_closed_month_takes_late_facts_in_the_next_open_one(year: Year) -> None:
    first = year.period(0)
    year.give("700")
    period_close(actor=year.company.hana, period=period_close_begin(actor=year.company.hana, period=first))

    late = year.use("5", first.ends_on, "late")

    assert (late.effective_on, late.period) == (first.ends_on, year.period(1))


def test_reopening_a_month_takes_two_people_and_a_reason(year: Year) -> None:
    company, first = year.company, year.period(0)
    period_close(actor=company.hana, period=period_close_begin(actor=company.hana, period=first))
    with pytest.raises(Refused, match="Give a reason"):
        period_reopen_ask(actor=company.hana, period=first, reason=" ")
    asked = period_reopen_ask(actor=company.hana, period=first, reason="An invoice was missed")
    with pytest.raises(Refused, match="waits for a second person"):
        period_reopen_ask(actor=company.lou, period=first, reason="Another")
    with pytest.raises(NotAllowed):
        period_reopen_decide(actor=company.hana, reopening=asked, is_granted=True)

    assert period_reopen_decide(actor=company.lou, reopening=asked, is_granted=True).state == PeriodState.OPEN
    with pytest.raises(WrongState):
        period_reopen_decide(actor=company.lou, reopening=asked, is_granted=False)


def test_an_adjustment_is_posted_when_a_second_person_approves_it(year: Year) -> None:
    company = year.company
    year.give("700")
    legs = [Leg(year.account("variance:acme"), Decimal(30)), Leg(year.line, Decimal(-30))]
    proposed = adjustment_propose(actor=company.hana, legs=legs, reason="Charged to the wrong line")
    assert year.left(year.line) == [700]
    with pytest.raises(NotAllowed):
        correction_approve(actor=company.hana, correction=proposed)

    entry = correction_approve(actor=company.lou, correction=proposed)

    assert (entry.actor, entry.approved_by, entry.reason) == (company.hana, company.lou, "Charged to the wrong line")
    assert year.left(year.line, year.account("variance:acme")) == [670, 30]
    with pytest.raises(WrongState):
        correction_approve(actor=company.lou, correction=proposed)


def test_a_correction_can_be_refused_or_taken_back_and_then_posts_nothing(year: Year) -> None:
    company = year.company
    year.give("700")
    legs = [Leg(year.account("variance:acme"), Decimal(30)), Leg(year.line, Decimal(-30))]
    before = JournalEntry.objects.count()

    refused = adjustment_propose(actor=company.hana, legs=legs, reason="Charged to the wrong line")
    correction_refuse(actor=company.lou, correction=refused, reason="It was the right one")
    back = adjustment_propose(actor=company.hana, legs=legs, reason="Again")
    with pytest.raises(NotAllowed):
        correction_withdraw(actor=company.lou, correction=back)
    correction_withdraw(actor=company.hana, correction=back)

    assert JournalEntry.objects.count() == before


def test_a_reversal_is_proposed_once_and_usage_is_not_reversed(year: Year) -> None:
    company = year.company
    year.give("700")
    used = year.use("5", year.over.starts_on, "usage")
    release = JournalEntry.objects.get(kind=EntryKind.RELEASE)
    with pytest.raises(Refused, match="propose an adjustment"):
        reversal_propose(actor=company.hana, entry=used, reason="Wrong")
    proposed = reversal_propose(actor=company.hana, entry=release, reason="Released too early")
    with pytest.raises(Refused, match="already waits"):
        reversal_propose(actor=company.lou, entry=release, reason="Too")
    with pytest.raises(Refused, match=r"line:test has \$695.00; \$700.00 is needed"):
        correction_approve(actor=company.lou, correction=proposed)


def test_a_conversion_goes_through_the_trading_accounts_at_the_rate_of_the_day(year: Year) -> None:
    hana, lou, day = year.company.hana, year.company.lou, year.over.starts_on + timedelta(days=9)
    rate, reason = Decimal("0.923457"), "A team pays in euro"
    with pytest.raises(Refused, match="No rate USD/EUR"):
        reserve_convert(actor=hana, year=year.over, amount=usd(100), into="EUR", reason=reason, key="1")
    exchange_rate_record(actor=lou, base="USD", quote="EUR", valid_on=day, rate=rate, source="Central bank")
    with pytest.raises(Refused, match="already"):
        exchange_rate_record(actor=hana, base="USD", quote="EUR", valid_on=day, rate=Decimal(1), source="A friend")

    later = day + timedelta(days=3)
    reserve_convert(actor=hana, year=year.over, amount=usd(100), into="EUR", reason=reason, key="1", effective_on=later)

    euros = reserve_in(year.over, "EUR")
    assert (euros.currency, *year.left(reserve_account(year.over), euros)) == ("EUR", 900, Decimal("92.35"))
    assert year.left(year.account("trading:USD"), year.account("trading:EUR")) == [100, Decimal("-92.35")]
    totals: dict[str, Decimal] = {}
    for row in trial_balance():
        totals[row.account.currency] = totals.get(row.account.currency, Decimal(0)) + row.balance
    assert totals == {"USD": 0, "EUR": 0}


def test_who_recorded_the_rate_does_not_convert_at_it(year: Year) -> None:
    hana, lou, day = year.company.hana, year.company.lou, year.over.starts_on
    rate: Any = {"base": "USD", "quote": "EUR", "rate": Decimal("0.9"), "source": "Central bank"}
    exchange_rate_record(actor=hana, valid_on=day, **rate)
    exchange_rate_record(actor=lou, valid_on=day, **rate)  # said again, it stays hers
    asked: Any = {"year": year.over, "amount": usd(100), "into": "EUR", "reason": "A team pays in euro"}

    with pytest.raises(Refused, match="You recorded the rate USD/EUR of") as refused:
        reserve_convert(actor=hana, **asked)
    assert refused.value.code == "second_person"

    entry = reserve_convert(actor=lou, **asked)
    assert (entry.actor, entry.approved_by) == (lou, hana)


def test_at_the_end_what_nobody_committed_lapses(year: Year) -> None:
    hana = year.company.hana
    year.give("700")
    with pytest.raises(WrongState, match="runs until"):
        year_lapse(actor=hana, year=year.now, reason="Year end")
    with pytest.raises(Refused, match=r"1 accounts of FY\d+ still hold budget \(line:test \$700.00\)"):
        year_lapse(actor=hana, year=year.over, reason="Year end")

    year.move(EntryKind.RETURN, reserve_account(year.over), year.line, "700", today(), "return")
    year_lapse(actor=hana, year=year.over, reason="Year end")

    assert year.left(reserve_account(year.over), authority_account(year.over)) == [0, 0]


def test_what_a_correction_brings_back_after_the_lapse_lapses_too(year: Year) -> None:
    hana, reserve = year.company.hana, reserve_account(year.over)
    pool = year.envelope(AccountClass.POOL)

    for turn in ("first", "second", "third"):
        if turn != "first":
            back = [Leg(reserve, Decimal(5)), Leg(year.account("variance:acme"), Decimal(-5))]
            proposed = adjustment_propose(actor=hana, legs=back, reason="An invoice was too high")
            correction_approve(actor=year.company.lou, correction=proposed)
        year.move(EntryKind.POOL_OPEN, pool, reserve, "5", today(), turn)
        year_lapse(actor=hana, year=year.over, reason="Year end")
        assert year.left(reserve, pool, authority_account(year.over))[:2] == [0, 0]


def test_a_delegated_pool_belongs_to_its_unit_and_gets_more_under_the_same_name(year: Year) -> None:
    company = year.company
    year_fund(actor=year.system, amount=usd(1000), reason=REASON)
    pool = pool_delegate(actor=company.hana, unit=company.insurance, amount=usd(100), reason="They know best")
    again = pool_delegate(actor=company.hana, unit=company.insurance, amount=usd(50), reason="They know best")

    assert (again, again.business_unit, again.fiscal_year) == (pool, company.insurance, year.now)
    assert year.left(pool) == [150]
    assert company.kim.has_perm("ledger.view_account", pool)
    assert not company.cy.has_perm("ledger.view_account", pool)
