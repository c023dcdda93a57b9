"""The trial balance as the books stood at a time."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.urls import reverse

from ledger.models import Account, AccountClass, Posting
from ledger.reports.base import Choice, Column, Filter, Kind, Report, Row, Tie
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
        for account in sorted(_accounts(choice.as_of), key=lambda one: (order[one.account_class], one.code)):
            yield _row(account)

    def ties(self, choice: Choice) -> list[Tie]:
        """Return per currency the debits beside the credits."""
        sums = Posting.objects.filter(entry__recorded_at__lte=choice.as_of).values("currency").order_by("currency")
        found = sums.annotate(
            debits=Coalesce(Sum("amount", filter=Q(amount__gt=0)), ZERO),
            credits=Coalesce(-Sum("amount", filter=Q(amount__lt=0)), ZERO),
        )
        return [Tie("Debits", row["currency"], row["debits"], row["credits"], "the credits") for row in found]


def _accounts(as_of: datetime) -> QuerySet[Account]:
    known = Q(postings__entry__recorded_at__lte=as_of)
    return Account.objects.filter(created_at__lte=as_of).annotate(
        debits=Coalesce(Sum("postings__amount", filter=known & Q(postings__amount__gt=0)), ZERO),
        credits=Coalesce(-Sum("postings__amount", filter=known & Q(postings__amount__lt=0)), ZERO),
    )


def _row(account: Account) -> Row:
    debits, credit = account.debits, account.credits  # type: ignore[attr-defined]  # annotated
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
