"""Reports that read the journal alone: every entry of a period, and one account."""

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar

from django.db.models import F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from ledger.models import AccountBalance, EntryKind, JournalEntry, Posting
from ledger.reports.base import Choice, Column, Filter, Kind, Report, Row, Tie
from ledger.reports.links import account_url, entry_url
from ledger.reports.usage_days import ZERO, total
from teams.models import User

KINDS = dict(EntryKind.choices)
CELLS = (
    "entry_id",
    "entry__effective_on",
    "entry__recorded_at",
    "entry__kind",
    "entry__memo",
    "entry__reason",
    "entry__actor__email",
    "entry__approved_by__email",
    "amount",
)


class Journal(Report):
    """Every posting of the entries that are effective in a period, in the order of the journal."""

    slug = "journal"
    title = "Journal"
    purpose = "Which entries were made, by whom and why?"
    group = "Books"
    filters: ClassVar = frozenset({Filter.PERIOD, Filter.AS_OF})
    currency = ""

    def columns(self, choice: Choice) -> Sequence[Column]:
        """Return the columns."""
        return [
            Column("entry", "Entry", drill="entry"),
            Column("effective_on", "Effective", Kind.DATE),
            Column("recorded_at", "Recorded, UTC", Kind.TIME),
            Column("kind", "Kind"),
            Column("account", "Account", drill="account"),
            Column("debit", "Debit", Kind.MONEY),
            Column("credit", "Credit", Kind.MONEY),
            Column("currency", "Currency"),
            Column("memo", "Memo"),
            Column("reason", "Reason"),
            Column("actor", "By"),
            Column("approved_by", "Approved by"),
            Column("seal", "Seal", Kind.COUNT),
        ]

    def rows(self, choice: Choice, viewer: User) -> Iterator[Row]:
        """Go through the postings without holding them in memory."""
        postings = self._postings(choice).order_by("entry_id", "pk")
        cells = postings.values_list(*CELLS, "account__code", "currency", "entry__seal__seq")
        for pk, on, at, kind, memo, reason, actor, approver, amount, code, currency, seal in cells.iterator(2000):
            place = (f"J-{pk}", on, at, KINDS[kind], code, *sides(amount))
            links = {"entry": entry_url(pk), "account": account_url(code)}
            yield Row((*place, currency, memo, reason, actor, approver, seal), links, currency)

    def ties(self, choice: Choice) -> list[Tie]:
        """Return per currency the debits beside the credits."""
        chosen = _chosen(choice)
        inside, outside = JournalEntry.objects.filter(chosen), JournalEntry.objects.exclude(chosen)
        if outside.count() > inside.count():
            found = _sides(Posting.objects.filter(entry__in=inside))
        else:
            # Most of the journal: what is stored, less what was not chosen, reads fewer rows.
            found, less = _stored_sides(), _sides(Posting.objects.filter(entry__in=outside))
            found = {currency: _less(both, less.get(currency, (ZERO, ZERO))) for currency, both in found.items()}
        return [Tie("Debits", currency, *both, "the credits") for currency, both in sorted(found.items()) if any(both)]

    def _postings(self, choice: Choice) -> QuerySet[Posting]:
        return Posting.objects.filter(
            entry__effective_on__range=(choice.starts_on, choice.ends_on), entry__recorded_at__lte=choice.as_of
        )


SIDES: dict[str, Any] = {
    "debits": Coalesce(Sum("amount", filter=Q(amount__gt=0)), ZERO),
    "credits": Coalesce(-Sum("amount", filter=Q(amount__lt=0)), ZERO),
}


Sides = tuple[Decimal, Decimal]


def _chosen(choice: Choice) -> Q:
    return Q(effective_on__range=(choice.starts_on, choice.ends_on), recorded_at__lte=choice.as_of)


def _sides(postings: QuerySet[Posting]) -> dict[str, Sides]:
    rows: Any = postings.values("currency").order_by("currency").annotate(**SIDES)
    return {row["currency"]: (row["debits"], row["credits"]) for row in rows}


def _stored_sides() -> dict[str, Sides]:
    rows: Any = AccountBalance.objects.values("currency").order_by("currency")
    sums = rows.annotate(all_debits=Sum("debits"), all_credits=Sum("credits"))
    return {row["currency"]: (row["all_debits"], row["all_credits"]) for row in sums}


def _less(one: Sides, other: Sides) -> Sides:
    return one[0] - other[0], one[1] - other[1]


def sides(amount: Decimal) -> tuple[Decimal | None, Decimal | None]:
    """Return an amount as debit and credit, one of which is None."""
    return (amount, None) if amount > 0 else (None, -amount)


class Statement(Report):
    """One account from balance to balance, by the dates of the facts."""

    slug = "account-statement"
    title = "Account statement"
    purpose = "What moved on one account, from which balance to which?"
    group = "Books"
    filters: ClassVar = frozenset({Filter.ACCOUNT, Filter.PERIOD, Filter.AS_OF})
    currency = ""

    def columns(self, choice: Choice) -> Sequence[Column]:
        """Return the columns."""
        return [
            Column("effective_on", "Effective", Kind.DATE),
            Column("entry", "Entry", drill="entry"),
            Column("kind", "What"),
            Column("memo", "Memo"),
            Column("reason", "Reason"),
            Column("actor", "By"),
            Column("debit", "Debit", Kind.MONEY),
            Column("credit", "Credit", Kind.MONEY),
            Column("balance", "Balance", Kind.MONEY),
        ]

    def rows(self, choice: Choice, viewer: User) -> Iterator[Row]:
        """Go through the opening balance, the postings and the closing balance of the account."""
        if choice.account is None:
            return
        currency = choice.account.currency
        balance = total(_until(choice).filter(entry__effective_on__lt=choice.starts_on), "amount")
        yield _balance_row(choice.starts_on, "Opening balance", balance, currency)
        postings = _until(choice).filter(entry__effective_on__gte=choice.starts_on)
        cells = postings.order_by("entry__effective_on", "account_version").values_list(*CELLS)
        for pk, on, _, kind, memo, reason, actor, _, amount in cells.iterator(2000):
            balance += amount
            row = (on, f"J-{pk}", KINDS[kind], memo, reason, actor, *sides(amount), balance)
            yield Row(row, {"entry": entry_url(pk)}, currency)
        yield _balance_row(choice.ends_on, "Closing balance", balance, currency)

    def ties(self, choice: Choice) -> list[Tie]:
        """Return the closing balance beside the account's stored one, less what came after the choice."""
        if choice.account is None:
            return []
        closing = total(_until(choice), "amount")
        return [Tie("Closing balance", choice.account.currency, closing, _stored(choice), choice.account.code)]

    def notes(self, choice: Choice) -> list[str]:
        """Return what to do while no account is chosen."""
        return [] if choice.account else ["Choose an account by its code, such as metered:sandbox."]


def _until(choice: Choice) -> QuerySet[Posting]:
    return Posting.objects.filter(
        account=choice.account, entry__effective_on__lte=choice.ends_on, entry__recorded_at__lte=choice.as_of
    )


def _stored(choice: Choice) -> Decimal:
    stored = AccountBalance.objects.filter(account=choice.account).annotate(net=F("debits") - F("credits"))
    later = Q(entry__effective_on__gt=choice.ends_on) | Q(entry__recorded_at__gt=choice.as_of)
    return total(stored, "net") - total(Posting.objects.filter(later, account=choice.account), "amount")


def _balance_row(on: date, words: str, balance: Decimal, currency: str) -> Row:
    return Row((on, None, words, None, None, None, None, None, balance), {}, currency)
