"""The one door into the journal.

The database refuses what must not be (see `ledger/sql/journal.sql`); this service says so earlier and in words,
takes the balance rows in id order, and makes a repeated call return the entry that is already there.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import psycopg
from django.db import DatabaseError, connection, transaction
from django.db.models import QuerySet

from ledger.models import Account, EntryKind, JournalEntry
from ledger.money import exact, plain, show
from ledger.selectors.journal import period_states, today
from teams.errors import Refused, require_reason
from teams.models import User

POST = """
SELECT entry, is_new, period, recorded, stopped, short_account, short_left
  FROM ledger_post(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::text[], %s::bigint[], %s::text[], %s::numeric[])
"""
NOT_FREE = "TK006"  # raised by a floor above, whose hot path has spent or holds what an entry would take


class IdempotencyClash(Refused):
    """The same source and key came again with another content."""

    code = "idempotency_clash"


@dataclass(frozen=True, slots=True)
class Leg:
    """One posting to be: positive is a debit, negative a credit, in the account's currency."""

    account: Account
    amount: Decimal


@transaction.atomic
def entry_post(
    *,
    actor: User,
    kind: EntryKind,
    source: str,
    key: str,
    legs: Sequence[Leg],
    effective_on: date | None = None,
    reason: str = "",
    memo: str = "",
    reverses: JournalEntry | None = None,
    approved_by: User | None = None,
) -> JournalEntry:
    """Post a balanced entry; called again with the same source, key and content, return the first one.

    What is returned says with `is_new` which of the two it is.
    Raises Refused (unbalanced, overdraft, spent_or_held, no_open_period, future_date), IdempotencyClash when the key
    was used with another content, InexactAmount for amounts finer than twelve places.
    """
    legs = sorted(legs, key=lambda leg: leg.account.pk)
    require_balance(legs)
    fingerprint = _fingerprint(kind, legs, effective_on, reason, reverses)
    day = effective_on or today()
    if day > today():
        raise Refused(f"{day} lies in the future.", code="future_date", field="effective_on")
    head = {
        "kind": str(kind),
        "source": source,
        "key": key,
        "fingerprint": fingerprint,
        "effective_on": day,
        "actor_id": actor.pk,
        "approved_by_id": approved_by.pk if approved_by else None,
        "reason": reason,
        "memo": memo[:300],
        "reverses_id": reverses.pk if reverses else None,
    }
    outcome = _post(head, kind, legs)
    _require_not_stopped(outcome, legs, day)
    if not outcome.is_new:
        return _same_or_clash(JournalEntry.objects.get(pk=outcome.entry), fingerprint)
    return _posted(head, outcome)


@transaction.atomic
def entry_reverse(
    *,
    actor: User,
    entry: JournalEntry,
    reason: str,
    approved_by: User | None,
    effective_on: date | None = None,
) -> JournalEntry:
    """Post the mirror of an entry into the open period; an entry can be reversed once.

    Only an accrual is reversed without a second person. People reverse through `correction_propose`.
    Raises Refused (reason_missing, already_reversed, approver_missing, overdraft).
    """
    require_reason(reason, "A reversal needs a reason.")
    if JournalEntry.objects.filter(reverses=entry).exists():
        raise Refused(f"Entry {entry} is already reversed.", code="already_reversed")
    if approved_by is None and entry.kind != EntryKind.ACCRUAL:
        raise Refused("A reversal needs a second person who approves it.", code="approver_missing")
    legs = [Leg(posting.account, -posting.amount) for posting in entry.postings.select_related("account")]
    return entry_post(
        actor=actor,
        kind=EntryKind.REVERSAL,
        source="reversal",
        key=str(entry.pk),
        legs=legs,
        reason=reason,
        memo=f"Reverses {entry}",
        reverses=entry,
        approved_by=approved_by,
        effective_on=effective_on,
    )


def accounts_lock(accounts: QuerySet[Account]) -> None:
    """Take the balance rows of accounts in id order until the transaction ends, as every entry does first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger_lock_accounts(%s)", [list(accounts.values_list("pk", flat=True))])


def require_balance(legs: Sequence[Leg]) -> None:
    """Raise Refused (unbalanced) unless postings are two or more, none zero, and sum to zero in each currency."""
    totals: dict[str, Decimal] = {}
    for leg in legs:
        totals[leg.account.currency] = totals.get(leg.account.currency, Decimal(0)) + exact(leg.amount)
    if len(legs) < 2 or any(totals.values()) or any(leg.amount == 0 for leg in legs):
        raise Refused(
            "An entry needs two or more postings, none zero, that sum to zero in each currency.", code="unbalanced"
        )


def _fingerprint(
    kind: EntryKind, legs: Sequence[Leg], effective_on: date | None, reason: str, reverses: JournalEntry | None
) -> str:
    content: list[Any] = [
        str(kind),
        sorted([leg.account.pk, plain(leg.amount)] for leg in legs),
        effective_on.isoformat() if effective_on else None,
        reason,
        reverses.pk if reverses else None,
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `ledger_post` answered: a new entry with its period and time, an earlier entry, or what stopped it."""

    entry: int
    is_new: bool
    period: int
    recorded: datetime
    stopped: str | None
    short_account: int | None
    short_left: Decimal | None


def _post(head: dict[str, Any], kind: EntryKind, legs: Sequence[Leg]) -> Outcome:
    columns = [leg.account.pk for leg in legs], [leg.account.currency for leg in legs], [leg.amount for leg in legs]
    try:
        with connection.cursor() as cursor:
            cursor.execute(POST, [*head.values(), period_states(kind), *columns])
            return Outcome(*cursor.fetchone())
    except DatabaseError as error:
        cause = error.__cause__
        if isinstance(cause, psycopg.Error) and cause.sqlstate == NOT_FREE:
            raise Refused(str(cause.diag.message_primary), code="spent_or_held") from error
        raise


def _require_not_stopped(outcome: Outcome, legs: Sequence[Leg], day: date) -> None:
    match outcome.stopped:
        case "overdraft":
            found = [leg for leg in legs if leg.account.pk == outcome.short_account]
            account, left = found[0].account, outcome.short_left or Decimal(0)
            needed = -sum((leg.amount for leg in found), Decimal(0))
            raise Refused(
                f"{account.name} has {show(left, account.currency)}; {show(needed, account.currency)} is needed.",
                code="overdraft",
            )
        case "no_open_period":
            raise Refused(f"No accounting period is open for {day}.", code="no_open_period")


def _posted(head: dict[str, Any], outcome: Outcome) -> JournalEntry:
    entry = JournalEntry(pk=outcome.entry, period_id=outcome.period, recorded_at=outcome.recorded, **head)
    entry.is_new = True
    entry._state.adding = False  # it is in the database, by `ledger_post`
    entry._state.db = connection.alias
    return entry


def _same_or_clash(entry: JournalEntry, fingerprint: str) -> JournalEntry:
    if entry.fingerprint != fingerprint:
        raise IdempotencyClash(f"{entry.source} {entry.key} was already used for another entry ({entry}).")
    return entry
