"""Five hundred steps of any bookkeeping, in any order, against a plain model: a balance per account, and no more.

`TANK_STATEFUL_STEPS=5000 TANK_STATEFUL_EXAMPLES=20` makes it longer.
"""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import connection, connections
from django.db.models import Sum
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from pytest_django import DjangoDbBlocker

from allocations.metering.types import CallFacts, Hold
from allocations.models import Allocation, AllocationState, Quota
from allocations.services import allocation_expire, allocation_return, key_issue, key_resume, key_suspend
from ledger.checks import breaches
from ledger.closing import checklist
from ledger.models import (
    Account,
    AccountBalance,
    AccountClass,
    EntryKind,
    JournalEntry,
    Period,
    PeriodState,
    Posting,
    Tier,
    UsageRecord,
)
from ledger.models.journal import ENVELOPES
from ledger.money import usd
from ledger.reports.base import Choice
from ledger.reports.trial import TrialBalance
from ledger.selectors import authority_account, reserve_account, today
from ledger.selectors.pages import trial_rows
from ledger.services import (
    Leg,
    adjustment_propose,
    correction_approve,
    entry_post,
    fiscal_year_open,
    period_accept,
    period_close,
    period_close_begin,
    period_reopen_ask,
    period_reopen_decide,
    pool_open,
    reversal_propose,
    usage_post,
    year_cut,
    year_fund,
)
from teams.errors import Refused
from teams.selectors import system_user
from tests import databases
from tests.budget import Till, give, open_budget
from tests.cast import build_company

STEPS = int(os.environ.get("TANK_STATEFUL_STEPS", "500"))
EXAMPLES = int(os.environ.get("TANK_STATEFUL_EXAMPLES", "5"))
THOROUGH_EVERY = 50

LAST_LINKS = """
SELECT max(seq), bool_and(hash = sha256(prev_hash || convert_to(ledger_entry_canonical(entry_id), 'UTF8')))
  FROM (SELECT * FROM ledger_seal ORDER BY seq DESC LIMIT 5) last
"""

cents = st.integers(min_value=1, max_value=40_000).map(lambda number: Decimal(number) / 100)
dollars = st.integers(min_value=1, max_value=60).map(Decimal)


def stored_balances() -> dict[str, Decimal]:
    """Return every account's stored balance by its code."""
    rows = AccountBalance.objects.select_related("account")
    return {row.account.code: row.debits - row.credits for row in rows}


def figures_of(choice: Choice) -> list[tuple[object, ...]]:
    """Return the trial balance as the books stood at a time, but for accounts on which nothing had happened."""
    rows = TrialBalance().rows(choice, system_user())
    return [tuple(row.cells) for row in rows if any(row.cells[4:])]


class Bookkeeping(RuleBasedStateMachine):
    """A company's books, and beside them what they should say."""

    server: databases.Databases

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        name = self.stack.enter_context(self.server.cloned())
        self.stack.enter_context(databases.used_by_django(name))
        self.company = build_company()
        self.budget = open_budget(self.company)
        first = today().replace(day=1)
        self.past = fiscal_year_open(actor=self.company.system, first_day=first.replace(year=first.year - 2))
        self.holds: list[tuple[Hold, int]] = []
        self.repeats: list[tuple[Callable[[], Any], int]] = []
        self.settled: list[tuple[Hold, CallFacts]] = []
        self.unposted: dict[str, Decimal] = {}
        self.beyond = Decimal(0)
        self.number = self.steps = 0
        self.remembered: list[tuple[Choice, list[tuple[object, ...]]]] = []
        self.balances = stored_balances()
        self.facts: list[tuple[date, dict[str, Decimal]]] = [(today(), dict(self.balances))]

    def teardown(self) -> None:
        try:
            self.thorough()
        finally:
            self.stack.close()

    # --- The model ------------------------------------------------------------------------------

    def key(self) -> str:
        self.number += 1
        return f"step:{self.number}"

    def apply(self, moved: dict[str, Decimal], day: date | None = None) -> None:
        self.facts.append((day or today(), moved))
        for code, amount in moved.items():
            self.balances[code] = self.balances.get(code, Decimal(0)) + amount

    def fits(self, moved: dict[str, Decimal]) -> bool:
        """Say whether the envelopes and the quotas behind the lines bear a movement."""
        classes = dict(Account.objects.filter(code__in=moved).values_list("code", "account_class"))
        for code, amount in moved.items():
            if classes[code] in ENVELOPES and self.balances.get(code, Decimal(0)) + amount < 0:
                return False
            quota = Quota.objects.filter(line__account__code=code).first()
            if quota is not None and (quota.limit or 0) + amount < quota.spent + quota.held:
                return False
        return True

    def attempt(self, moved: dict[str, Decimal], act: Callable[[], Any], day: date | None = None) -> Any:
        """Do it when the model says that it fits, and be refused without a trace when not."""
        if self.fits(moved):
            done = act()
            self.apply(moved, day)
            return done
        before = JournalEntry.objects.count()
        with pytest.raises(Refused):
            act()
        assert JournalEntry.objects.count() == before
        return None

    @property
    def lines(self) -> list[Account]:
        return list(Account.objects.filter(account_class=AccountClass.LINE).order_by("pk"))

    @property
    def reserve(self) -> Account:
        return reserve_account()

    def one_of(self, data: st.DataObject, *classes: AccountClass) -> Account:
        return data.draw(st.sampled_from(list(Account.objects.filter(account_class__in=classes).order_by("pk"))))

    # --- What happens ---------------------------------------------------------------------------

    @rule(amount=cents)
    def fund(self, amount: Decimal) -> None:
        key = self.key()
        act = partial(year_fund, actor=self.company.hana, amount=usd(amount), reason="More", key=key)
        entry = act()
        self.apply({self.reserve.code: amount, authority_account().code: -amount})
        self.repeats.append((act, entry.pk))

    @rule(amount=cents)
    def cut(self, amount: Decimal) -> None:
        year = self.reserve.fiscal_year
        assert year is not None
        self.attempt(
            {self.reserve.code: -amount, authority_account().code: amount},
            lambda: year_cut(actor=self.company.hana, year=year, amount=usd(amount), reason="Less"),
        )

    @rule(amount=cents)
    def open_a_round(self, amount: Decimal) -> None:
        key = self.key()
        code = f"pool:{key}"
        system = self.company.system
        act = partial(pool_open, actor=system, code=code, name=code, amount=usd(amount), reason="Opens", key=key)
        if amount <= self.balances[self.reserve.code]:
            act()
            self.apply({code: amount, self.reserve.code: -amount})
            self.repeats.append((act, -1))
        else:
            with pytest.raises(Refused):
                act()

    @rule(data=st.data(), amount=cents)
    def award(self, data: st.DataObject, amount: Decimal) -> None:
        pool = self.one_of(data, AccountClass.POOL)
        name = self.key()
        if amount > self.balances[pool.code]:
            with pytest.raises(Refused):
                give(self.company, pool, name, "claims", {Tier.STANDARD: amount})
            return
        made = give(self.company, pool, name, "claims", {Tier.STANDARD: amount})
        key_issue(actor=self.company.ana, allocation=made, name=name)
        self.apply({made.committed_account.code: Decimal(0), pool.code: -amount, made.lines.get().account.code: amount})

    @rule(data=st.data(), amount=dollars)
    def hold(self, data: st.DataObject, amount: Decimal) -> None:
        budget = self.budget
        quota = Quota.objects.get(line=budget.line)
        if quota.is_open and (quota.available or Decimal(0)) >= amount:
            self.holds.append((budget.till.admit(budget.prod, budget.line, str(amount)), int(amount)))

    @precondition(lambda self: self.holds)
    @rule(share=st.integers(min_value=0, max_value=100))
    def settle(self, share: int) -> None:
        self.settle_last(share)

    def settle_last(self, share: int) -> None:
        hold, most = self.holds.pop()
        budget = self.budget
        facts = budget.facts(tokens=most * 10_000 * share)
        budget.till.settle(hold, facts)
        code = budget.line.account.code
        self.unposted[code] = self.unposted.get(code, Decimal(0)) + facts.cost
        self.settled.append((hold, facts))

    @precondition(lambda self: self.holds)
    @rule()
    def void(self) -> None:
        hold, _ = self.holds.pop()
        self.budget.till.void(hold)

    @rule()
    def crash_and_restart(self) -> None:
        """Lose the process: its holds stay held. Lose every connection too."""
        self.budget.till.die()
        self.holds, self.settled = [], []
        connections.close_all()
        self.budget = replace(self.budget, till=Till())

    @rule(shares=st.lists(st.integers(min_value=0, max_value=100), min_size=1, max_size=4))
    def meter_some_calls(self, shares: list[int]) -> None:
        """Hold and settle at once: examples in which another rule is left out still use what was given."""
        for share in shares:
            if (Quota.objects.get(line=self.budget.line).available or Decimal(0)) >= 1:
                hold = self.budget.till.admit(self.budget.prod, self.budget.line, "1")
                self.holds.append((hold, 1))
                self.settle_last(share)

    @rule(cents=st.integers(min_value=0, max_value=99))
    def settle_beyond_the_bound(self, cents: int) -> None:
        """A provider counted more than the bound: what still fits is charged, the rest is owed all the same."""
        budget = self.budget
        quota, own = Quota.objects.get(line=budget.line), Quota.objects.get(key=budget.prod)
        if not (quota.is_open and own.is_open and (quota.available or Decimal(0)) >= 1):
            return
        hold = budget.till.admit(budget.prod, budget.line, "1")
        room = quota.available or Decimal(0)
        facts = budget.facts(tokens=1_000_000 + int(room * 1_000_000) * cents // 50)
        fits = min(facts.cost, room)
        assert budget.till.settle_beyond(hold, facts) == facts.cost - fits
        code = budget.line.account.code
        self.unposted[code] = self.unposted.get(code, Decimal(0)) + fits
        self.beyond += facts.cost - fits
        if facts.cost > fits:  # the key is shut; its owner opens it again
            key_suspend(actor=self.company.ana, key=budget.prod, reason="Beyond its hold")
            key_resume(actor=self.company.ana, key=budget.prod, reason="Looked at")

    @precondition(lambda self: self.settled)
    @rule(data=st.data())
    def settle_again(self, data: st.DataObject) -> None:
        """The acknowledgement was lost: the same settle comes again and changes nothing."""
        hold, facts = data.draw(st.sampled_from(self.settled))
        quotas, records = list(Quota.objects.order_by("pk").values()), UsageRecord.objects.count()
        self.budget.till.settle(hold, facts)
        assert (list(Quota.objects.order_by("pk").values()), UsageRecord.objects.count()) == (quotas, records)

    @rule()
    def post_usage(self) -> None:
        usage_post(actor=self.company.system)
        for code, amount in self.unposted.items():
            if amount:
                self.apply({code: -amount, "metered:sandbox": amount})
        if self.beyond:
            self.apply({"variance:sandbox": -self.beyond, "metered:sandbox": self.beyond})
        self.unposted, self.beyond = {}, Decimal(0)

    @precondition(lambda self: self.repeats)
    @rule(data=st.data())
    def repeat_a_call(self, data: st.DataObject) -> None:
        act, pk = data.draw(st.sampled_from(self.repeats))
        before = JournalEntry.objects.count()
        again = act()
        assert JournalEntry.objects.count() == before
        assert pk in (-1, again.pk)

    @rule(data=st.data(), amount=cents)
    def transfer(self, data: st.DataObject, amount: Decimal) -> None:
        one, other = data.draw(st.lists(st.sampled_from(self.lines), min_size=2, max_size=2, unique=True))
        key = self.key()
        self.attempt(
            {one.code: amount, other.code: -amount},
            lambda: entry_post(
                actor=self.company.system,
                kind=EntryKind.TRANSFER,
                source="test",
                key=key,
                legs=[Leg(one, amount), Leg(other, -amount)],
            ),
        )

    @rule(data=st.data(), amount=cents)
    def adjust(self, data: st.DataObject, amount: Decimal) -> None:
        to = self.one_of(data, AccountClass.VARIANCE, AccountClass.POOL, AccountClass.LINE)
        out_of = self.one_of(data, AccountClass.RESERVE, AccountClass.POOL, AccountClass.LINE)
        if to == out_of or (out_of.fiscal_year_id == self.past.pk):
            return
        legs = [Leg(to, amount), Leg(out_of, -amount)]
        proposed = adjustment_propose(actor=self.company.hana, legs=legs, reason="A mistake")
        self.attempt(
            {to.code: amount, out_of.code: -amount},
            lambda: correction_approve(actor=self.company.lou, correction=proposed),
        )

    @rule(data=st.data())
    def reverse(self, data: st.DataObject) -> None:
        left = JournalEntry.objects.exclude(kind__in=[EntryKind.USAGE, EntryKind.OVERAGE, EntryKind.REVERSAL])
        left = left.filter(reversed_by=None).exclude(corrections__state="proposed")
        entry = data.draw(st.sampled_from(list(left.order_by("pk")))) if left else None
        if entry is None:
            return
        moved: dict[str, Decimal] = {}
        for posting in entry.postings.select_related("account"):
            moved[posting.account.code] = moved.get(posting.account.code, Decimal(0)) - posting.amount
        proposed = reversal_propose(actor=self.company.hana, entry=entry, reason="A mistake")
        self.attempt(moved, lambda: correction_approve(actor=self.company.lou, correction=proposed))

    @rule(data=st.data(), amount=cents, days=st.integers(min_value=0, max_value=800))
    def back_date(self, data: st.DataObject, amount: Decimal, days: int) -> None:
        pool = self.one_of(data, AccountClass.POOL)
        day, key = max(today() - timedelta(days=days), self.past.starts_on), self.key()
        entry = self.attempt(
            {pool.code: -amount, self.reserve.code: amount},
            lambda: entry_post(
                actor=self.company.system,
                kind=EntryKind.POOL_RETURN,
                source="test",
                key=key,
                legs=[Leg(self.reserve, amount), Leg(pool, -amount)],
                effective_on=day,
            ),
            day,
        )
        if entry is not None:
            assert (entry.effective_on, entry.period.state) == (day, PeriodState.OPEN)

    @rule()
    def close_a_month(self) -> None:
        month = Period.objects.filter(state=PeriodState.OPEN, fiscal_year=self.past).order_by("starts_on").first()
        if month is None:
            return
        hana = self.company.hana
        closing = period_close_begin(actor=hana, period=month)
        for checked in checklist(closing):
            if not checked.is_settled:  # such as what crashed processes still hold
                period_accept(actor=hana, period=closing, item=checked.item.name, reason="Known")
        period_close(actor=hana, period=closing)

    @rule()
    def reopen_a_month(self) -> None:
        month = Period.objects.filter(state=PeriodState.CLOSED).order_by("-starts_on").first()
        if month is not None:
            asked = period_reopen_ask(actor=self.company.hana, period=month, reason="An invoice was missed")
            period_reopen_decide(actor=self.company.lou, reopening=asked, is_granted=True)

    @rule(data=st.data())
    def end_an_allocation(self, data: st.DataObject) -> None:
        ending = Allocation.objects.exclude(pk=self.budget.claims.pk).filter(state=AllocationState.ACTIVE)
        if not ending:
            return
        ended = allocation_expire(actor=self.company.system, allocation=data.draw(st.sampled_from(list(ending))))
        entry = allocation_return(actor=self.company.hana, allocation=ended, reason="Ended")
        for posting in entry.postings.select_related("account") if entry else []:
            self.apply({posting.account.code: posting.amount})
            if posting.account.account_class in (AccountClass.LINE, AccountClass.COMMITTED):
                assert self.balances[posting.account.code] == 0

    # --- What holds after every step ------------------------------------------------------------

    @invariant()
    def stored_balances_are_the_models(self) -> None:
        stored = stored_balances()
        assert {code: amount for code, amount in stored.items() if amount} == {
            code: amount for code, amount in self.balances.items() if amount
        }
        assert sum(stored.values()) == 0

    @invariant()
    def quotas_are_hard(self) -> None:
        assert not [q for q in Quota.objects.exclude(limit=None) if q.spent + q.held > (q.limit or 0)]
        self.steps += 1
        if self.steps % THOROUGH_EVERY == 0:
            self.thorough()

    @invariant()
    def the_control_account_is_the_usage_that_was_posted(self) -> None:
        """What was metered is what was posted to the provider, but for what waits for the next run."""
        used = UsageRecord.objects.aggregate(cost=Sum("cost", default=Decimal(0)))["cost"]
        waiting = sum(self.unposted.values(), self.beyond)
        assert used - waiting == self.posted_to("metered:sandbox")

    def posted_to(self, code: str) -> Decimal:
        kinds = (EntryKind.USAGE, EntryKind.OVERAGE)
        found = Posting.objects.filter(account__code=code, entry__kind__in=kinds)
        total: Decimal = found.aggregate(sum=Sum("amount", default=Decimal(0)))["sum"]
        return total

    @invariant()
    def the_chain_grows_by_one_link_an_entry(self) -> None:
        """The last links are recomputed after every step, the whole chain now and then."""
        with connection.cursor() as cursor:
            cursor.execute(LAST_LINKS)
            assert cursor.fetchone() == (JournalEntry.objects.count(), True)

    @rule()
    def remember_the_books(self) -> None:
        """Keep what the trial balance says now: whatever comes later, as of now it must say the same."""
        choice = Choice(starts_on=today(), ends_on=today(), as_of=datetime.now(UTC))
        self.remembered = [*self.remembered, (choice, figures_of(choice))][-5:]

    @precondition(lambda self: self.remembered)
    @rule(data=st.data())
    def read_them_as_of_then(self, data: st.DataObject) -> None:
        choice, figures = data.draw(st.sampled_from(self.remembered))
        assert figures_of(choice) == figures

    def thorough(self) -> None:
        """Recompute every promise from the facts, and read the books as of a day that is not the last."""
        assert breaches() == []
        yesterday = today() - timedelta(days=1)
        known: dict[str, Decimal] = {}
        for day, moved in self.facts:
            for code, amount in moved.items() if day <= yesterday else ():
                known[code] = known.get(code, Decimal(0)) + amount
        read = {row.account.code: row.balance for row in trial_rows(yesterday)}
        assert {c: a for c, a in read.items() if a} == {c: a for c, a in known.items() if a}


def test_any_order_of_bookkeeping_keeps_every_promise(
    django_db_setup: None, server_databases: databases.Databases, django_db_blocker: DjangoDbBlocker
) -> None:
    Bookkeeping.server = server_databases
    profile = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=[Phase.generate],  # shrinking five hundred steps takes longer than reading them
    )
    with django_db_blocker.unblock():
        run_state_machine_as_test(Bookkeeping, settings=profile)
