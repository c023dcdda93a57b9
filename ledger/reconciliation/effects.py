"""Posting what is agreed: the day's amount from Metered to Billed, and its differences to the accounts that take them.

Each account of a provider's day has a target; what was posted so far stands in `ReconciliationPosting`, and only the
difference between the two is posted, whatever its sign. So a re-read that changes nothing posts nothing, and a day
comes to the same accounts whatever order its figures came in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from ledger.models import (
    Account,
    AccountClass,
    EntryKind,
    JournalEntry,
    Provider,
    ReconciliationPosting,
)
from ledger.providers.base import Span
from ledger.reconciliation.above import hot_path
from ledger.reconciliation.judging import policy_of
from ledger.services.posting import Leg, accounts_lock, entry_post
from teams.models import User

ZERO = Decimal(0)
OVERAGE = "A correction by the provider's figures is more than this line could pay."

# Days on which an account's target is not what was posted. A day with a line that nobody has judged is left alone.
DUE = """
WITH target AS (
    SELECT l.day, b.id AS account_id, sum(l.reported) AS amount
      FROM ledger_reconciliationline l JOIN ledger_account b ON b.code = %(billed)s
     WHERE l.provider_id = %(provider)s AND l.day BETWEEN %(first)s AND %(last)s AND l.is_agreed
     GROUP BY l.day, b.id
     UNION ALL
    SELECT l.day, a.account_id, sum(a.amount)
      FROM ledger_reconciliationline l JOIN ledger_lineattribution a ON a.line_id = l.id
     WHERE l.provider_id = %(provider)s AND l.day BETWEEN %(first)s AND %(last)s AND l.is_agreed
     GROUP BY l.day, a.account_id
), posted AS (
    SELECT DISTINCT ON (day, account_id) day, account_id, amount, overage, step FROM ledger_reconciliationposting
     WHERE provider_id = %(provider)s AND day BETWEEN %(first)s AND %(last)s
     ORDER BY day, account_id, step DESC
)
SELECT d.* FROM (
    SELECT day, account_id, coalesce(t.amount, 0) AS target, coalesce(p.amount, 0) AS posted,
           coalesce(p.overage, 0) AS overage, coalesce(p.step, 0) AS step
      FROM target t FULL JOIN posted p USING (day, account_id)) d
 WHERE d.target <> d.posted
   AND NOT EXISTS (SELECT FROM ledger_reconciliationline n
                    WHERE n.provider_id = %(provider)s AND n.day = d.day AND n.outcome = 'new')
 ORDER BY d.day, d.account_id
"""


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be posted of a day to one account: its target, and what was posted so far."""

    day: date
    account_id: int
    target: Decimal
    posted: Decimal
    overage: Decimal
    step: int

    @property
    def change(self) -> Decimal:
        """Return what is to be posted, positive for a charge."""
        return self.target - self.posted


@dataclass
class Plan:
    """The legs of a day's entries, and the overage after them by account."""

    billed: list[Leg] = field(default_factory=list)
    charges: list[Leg] = field(default_factory=list)
    refunds: list[Leg] = field(default_factory=list)
    overage: dict[int, Decimal] = field(default_factory=dict)


def effects_post(*, actor: User, provider: Provider, span: Span) -> list[JournalEntry]:
    """Post what is agreed and not posted yet, one transaction for each day; returns the entries made."""
    entries: list[JournalEntry] = []
    for day in sorted({due.day for due in _due(provider, span)}):
        entries += _post_day(actor, provider, day)
    return entries


def _due(provider: Provider, span: Span) -> list[Due]:
    facts: dict[str, Any] = {
        "provider": provider.pk,
        "billed": f"billed:{provider.name}",
        "first": span.first,
        "last": span.last,
    }
    with connection.cursor() as cursor:
        cursor.execute(DUE, facts)
        return [Due(*row) for row in cursor.fetchall()]


@transaction.atomic
def _post_day(actor: User, provider: Provider, day: date) -> list[JournalEntry]:
    due = _due(provider, Span(day, day))
    accounts = Account.objects.in_bulk([one.account_id for one in due])
    named = {code: Account.objects.get(code=f"{code}:{provider.name}") for code in ("metered", "variance")}
    accounts_lock(Account.objects.filter(pk__in=[*accounts, *(account.pk for account in named.values())]))
    plan = _plan(due, accounts, named["variance"])
    entries = _entries(actor, provider, day, plan, named["metered"])
    _note(provider, due, plan, entries)
    _tell(actor, provider, due, plan, accounts)
    return list(dict.fromkeys(entries.values()))


def _plan(due: Sequence[Due], accounts: dict[int, Account], variance: Account) -> Plan:
    """Say which account pays or gets what; what a line cannot pay is Variance's, and comes back from there first."""
    plan = Plan()
    for one in due:
        account = accounts[one.account_id]
        plan.overage[one.account_id] = one.overage
        if account.account_class == AccountClass.BILLED:
            plan.billed.append(Leg(account, one.change))
        elif one.change > 0:
            fits = _fits(account, one.change)
            _add(plan.charges, account, -fits)
            _add(plan.charges, variance, fits - one.change)
            plan.overage[one.account_id] = one.overage + one.change - fits
        else:
            first = min(one.overage, -one.change)
            _add(plan.refunds, variance, first)
            _add(plan.refunds, account, -one.change - first)
            plan.overage[one.account_id] = one.overage - first
    return plan


def _fits(account: Account, amount: Decimal) -> Decimal:
    if account.account_class != AccountClass.LINE:
        return amount
    return min(amount, max(ZERO, hot_path().room(account)))


def _add(legs: list[Leg], account: Account, amount: Decimal) -> None:
    """Add a leg, to the one of the same account where there is one."""
    same = next((n for n, leg in enumerate(legs) if leg.account.pk == account.pk), None)
    if same is not None:
        legs[same] = Leg(account, legs[same].amount + amount)
    elif amount:
        legs.append(Leg(account, amount))


def _entries(actor: User, provider: Provider, day: date, plan: Plan, metered: Account) -> dict[str, JournalEntry]:
    number = ReconciliationPosting.objects.filter(provider=provider, day=day).values("entry").distinct().count() + 1
    kinds = {"billed": EntryKind.BILLED, "charges": EntryKind.DIFFERENCE, "refunds": EntryKind.DIFFERENCE}
    entries = {}
    for name, kind in kinds.items():
        legs: list[Leg] = getattr(plan, name)
        if legs:
            total = sum((leg.amount for leg in legs), ZERO)
            entries[name] = entry_post(
                actor=actor,
                kind=kind,
                source="reconciliation",
                key=f"{provider.pk}:{day}:{number}:{name}",
                legs=[*legs, Leg(metered, -total)],
                effective_on=day,
                memo=_memo(provider, day, name),
            )
    return entries


def _memo(provider: Provider, day: date, name: str) -> str:
    what = {
        "billed": "the provider's figure",
        "charges": "more than was metered",
        "refunds": "less than was metered",
    }[name]
    return f"{provider.name}, {day}: {what}"


def _note(provider: Provider, due: Sequence[Due], plan: Plan, entries: dict[str, JournalEntry]) -> None:
    """Write down how much of each account's target is posted now."""
    rows = []
    billed = {leg.account.pk for leg in plan.billed}
    for one in due:
        name = "billed" if one.account_id in billed else "charges" if one.change > 0 else "refunds"
        rows.append(
            ReconciliationPosting(
                entry=entries[name],
                provider=provider,
                day=one.day,
                account_id=one.account_id,
                step=one.step + 1,
                amount=one.target,
                overage=plan.overage[one.account_id],
            )
        )
    ReconciliationPosting.objects.bulk_create(rows)


def _tell(actor: User, provider: Provider, due: Sequence[Due], plan: Plan, accounts: dict[int, Account]) -> None:
    """Have the keys of lines suspended that could not pay, where the policy says so."""
    if not policy_of(provider).suspends_on_overage:
        return
    for one in due:
        more = plan.overage[one.account_id] - one.overage
        if more > 0:
            hot_path().overage(actor=actor, account=accounts[one.account_id], amount=more, reason=OVERAGE)
