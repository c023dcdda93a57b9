"""The one door into the journal.

The database refuses what must not be (see `ledger/sql/journal.sql`); this service says so earlier and in words,
takes the balance rows in id order, and makes a repeated call return the entry that is already there.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
from django.db import DatabaseError, connection, transaction

from ledger.models import Account, AccountBalance, EntryKind, JournalEntry, Posting
from ledger.money import exact, plain, show
from ledger.selectors.journal import period_for, today
from teams.errors import Refused
from teams.models import User

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

    Raises Refused (unbalanced, overdraft, spent_or_held, no_open_period, future_date), IdempotencyClash when the key
    was used with another content, InexactAmount for amounts finer than twelve places.
    """
    legs = sorted(legs, key=lambda leg: leg.account.pk)
    require_balance(legs)
    fingerprint = _fingerprint(kind, legs, effective_on, reason, reverses)
    day = effective_on or today()
    if day > today():
        raise Refused(f"{day} lies in the future.", code="future_date", field="effective_on")
    balances = _lock(legs)
    fields = {
        "kind": kind,
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
    first = JournalEntry.objects.filter(source=source, key=key).first()
    if first is not None:
        return _same_or_clash(first, fingerprint)
    _require_funds(legs, balances)
    entry_id = _insert({**fields, "period_id": period_for(day, kind).pk})
    if entry_id is None:
        return _same_or_clash(JournalEntry.objects.get(source=source, key=key), fingerprint)
    _insert_postings(entry_id, legs)
    return JournalEntry.objects.get(pk=entry_id)


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
    if not reason.strip():
        raise Refused("A reversal needs a reason.", code="reason_missing", field="reason")
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


def _lock(legs: Sequence[Leg]) -> dict[int, AccountBalance]:
    ids = sorted({leg.account.pk for leg in legs})
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger_lock_accounts(%s)", [ids])
    return AccountBalance.objects.in_bulk(ids)


def _require_funds(legs: Sequence[Leg], balances: dict[int, AccountBalance]) -> None:
    for account_id, stored in balances.items():
        change = sum((leg.amount for leg in legs if leg.account.pk == account_id), Decimal(0))
        left = stored.debits - stored.credits
        if stored.no_overdraft and left + change < 0:
            account = next(leg.account for leg in legs if leg.account.pk == account_id)
            raise Refused(
                f"{account.name} has {show(left, account.currency)}; {show(-change, account.currency)} is needed.",
                code="overdraft",
            )


def _insert(fields: dict[str, Any]) -> int | None:
    # ON CONFLICT waits for a concurrent twin to commit or give up; the ORM cannot say "do nothing, tell me".
    columns = ", ".join(fields)
    marks = ", ".join(["%s"] * len(fields))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO ledger_journalentry ({columns}) VALUES ({marks})"  # noqa: S608 - our own column names
            " ON CONFLICT (source, key) DO NOTHING RETURNING id",
            list(fields.values()),
        )
        row = cursor.fetchone()
    return row[0] if row else None


def _insert_postings(entry_id: int, legs: Sequence[Leg]) -> None:
    try:
        Posting.objects.bulk_create(
            Posting(entry_id=entry_id, account=leg.account, currency=leg.account.currency, amount=leg.amount)
            for leg in legs
        )
    except DatabaseError as error:
        cause = error.__cause__
        if isinstance(cause, psycopg.Error) and cause.sqlstate == NOT_FREE:
            raise Refused(str(cause.diag.message_primary), code="spent_or_held") from error
        raise


def _same_or_clash(entry: JournalEntry, fingerprint: str) -> JournalEntry:
    if entry.fingerprint != fingerprint:
        raise IdempotencyClash(f"{entry.source} {entry.key} was already used for another entry ({entry}).")
    return entry
