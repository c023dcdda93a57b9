"""The trial balance as the books stood at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from django.urls import reverse

from ledger.models import Account, AccountBalance, AccountClass, Posting
from ledger.reports.base import Choice, Column, Filter, Kind, Report, Row, Tie
from ledger.reports.books import SIDES
from teams.models import User

ZERO = Decimal(0)


class TrialBalance(Report):
    """Every account with its debits, credits and balance, from the entries recorded until a time."""

    slug = "trial-balance"
    title = "Trial balance"
    purpose = "What stood on every account at a time, and does it sum to zero?"
    group = "Books"
    filters: ClassVar = frozenset({Filter.AS_OF})
    currency = ""

    def columns(self, choice: Choice) -> Sequence[Column]:
        """Return the columns."""
        return [
            Column("account", "Account", drill="account"),
            Column("name", "Name"),
            Column("class", "Class"),
            Column("currency", "Currency"),
            Column("debits", "Debits", Kind.MONEY),
            Column("credits", "Credits", Kind.MONEY),
            Column("balance", "Balance", Kind.MONEY),
        ]

    def rows(self, choice: Choice, viewer: User) -> Iterator[Row]:
        """Go through the accounts, by class and code."""
        order = {name: place for place, name in enumerate(AccountClass.values)}
        found = _accounts(choice.as_of)
        for totals in sorted(found, key=lambda one: (order[one.account.account_class], one.account.code)):
            yield _row(totals)

    def ties(self, choice: Choice) -> list[Tie]:
        """Return per currency the debits beside the credits."""
        sums: dict[str, list[Decimal]] = {}
        for account in _accounts(choice.as_of):
            found = sums.setdefault(account.currency, [ZERO, ZERO])
            found[0] += account.debits
            found[1] += account.credits
        return [
            Tie("Debits", currency, debits, credit, "the credits")
            for currency, (debits, credit) in sorted(sums.items())
        ]


@dataclass(frozen=True, slots=True)
class _Totals:
    """An account and all that was debited and credited to it, in its currency."""

    account: Account
    debits: Decimal
    credits: Decimal

    @property
    def currency(self) -> str:
        return self.account.currency


def _accounts(as_of: datetime) -> list[_Totals]:
    """Return what stands on the accounts now, less what was posted after the time: no sum over the whole journal."""
    later = Posting.objects.filter(entry__recorded_at__gt=as_of).values_list("account").order_by()
    after = {pk: (debits, credit) for pk, debits, credit in later.annotate(**SIDES)}
    stored = AccountBalance.objects.filter(account__created_at__lte=as_of).select_related("account")
    none = (ZERO, ZERO)
    return [
        _Totals(row.account, row.debits - after.get(row.pk, none)[0], row.credits - after.get(row.pk, none)[1])
        for row in stored
    ]


def _row(totals: _Totals) -> Row:
    account, debits, credit = totals.account, totals.debits, totals.credits
    cells = (
        account.code,
        account.name,
        account.get_account_class_display(),
        account.currency,
        debits,
        credit,
        debits - credit,
    )
    return Row(cells, {"account": reverse("ledger:account", args=[account.code])}, account.currency)
