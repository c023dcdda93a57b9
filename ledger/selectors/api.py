"""What the API reads: rows that somebody may see, each list in a fixed number of queries."""

from datetime import date

from django.db.models import F, Prefetch, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from ledger.models import Account, JournalEntry, Posting, UsageDay, UsageHour
from ledger.selectors.pages import ZERO
from teams.selectors import Person, standing


def accounts_visible_to(user: Person) -> QuerySet[Account]:
    """Return the accounts that somebody may read: all for finance and auditors, else those of their teams and units."""
    accounts = Account.objects.select_related("team", "business_unit", "provider")
    return accounts if user.has_perm("ledger.view_ledger") else accounts.filter(_of(user))


def _of(user: Person) -> Q:
    own = standing(user)
    teams = [pk for pk, _ in own.teams]
    in_units = Q(team__business_unit_id__in=own.units) | Q(business_unit_id__in=own.units)
    return Q(team_id__in=teams) | in_units


def with_balances(accounts: QuerySet[Account], on: date | None) -> QuerySet[Account]:
    """Add `debits` and `credits`: as stored now, or summed up to the end of a day by effective date."""
    if on is None:
        return accounts.annotate(debits=F("stored__debits"), credits=F("stored__credits"))
    until = Q(postings__entry__effective_on__lte=on)
    return accounts.annotate(
        debits=Coalesce(Sum("postings__amount", filter=until & Q(postings__amount__gt=0)), ZERO),
        credits=Coalesce(-Sum("postings__amount", filter=until & Q(postings__amount__lt=0)), ZERO),
    )


def entries_whole() -> QuerySet[JournalEntry]:
    """Return journal entries with everything that the API says of one."""
    postings = Posting.objects.select_related("account").order_by("pk")
    entries = JournalEntry.objects.select_related("actor", "approved_by", "period", "seal")
    return entries.prefetch_related(Prefetch("postings", postings))


def statement_rows(account: Account) -> QuerySet[Posting]:
    """Return the postings of an account with their entries."""
    return Posting.objects.filter(account=account).select_related("entry__actor")


def days_visible_to(user: Person) -> QuerySet[UsageDay]:
    """Return the daily usage that somebody may read, by the account that was charged."""
    days = UsageDay.objects.select_related("account", "team", "provider", "model")
    return days if user.has_perm("ledger.view_ledger") else days.filter(_charged_to(user))


def hours_visible_to(user: Person) -> QuerySet[UsageHour]:
    """Return the hourly usage that somebody may read, by the account that was charged."""
    hours = UsageHour.objects.select_related("account", "team", "provider", "model")
    return hours if user.has_perm("ledger.view_ledger") else hours.filter(_charged_to(user))


def _charged_to(user: Person) -> Q:
    own = standing(user)
    return Q(account__team_id__in=[pk for pk, _ in own.teams]) | Q(account__team__business_unit_id__in=own.units)
