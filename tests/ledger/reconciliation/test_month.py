"""A month with every kind of difference: each is named rightly and none falsely, in whatever order its figures come."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from django.db.models import Sum
from pytest_django import DjangoDbBlocker

from allocations.models import Hold
from ledger.checks import breaches
from ledger.hledger import journal_pieces
from ledger.models import (
    AccountClass,
    AttributionRule,
    Cause,
    EntryKind,
    LineAttribution,
    Outcome,
    Posting,
    ReconciliationLine,
    ReconciliationPosting,
    UsageRecord,
)
from ledger.providers.base import Span
from ledger.services.fetching import fetch_apply, fetch_begin, pages_keep
from ledger.services.reconciliation import reconcile
from teams.models import Notification, Role
from teams.selectors import people_with_role
from tests import databases
from tests.cast import build_company
from tests.ledger.history import noon
from tests.ledger.reconciliation.bill import Bill, balances, open_bill, page
from tests.ledger.reconciliation.bill import Written as Adapter
from tests.ledger.reconciliation.month import Ends, day, plant

SPAN = Span(day(1), day(28))


@contextmanager
def planted(server: databases.Databases, blocker: DjangoDbBlocker) -> Iterator[tuple[Bill, list[Ends]]]:
    """Give the month in a database of its own: everything is metered, and no figure has come in."""
    with (
        server.cloned() as name,
        blocker.unblock(),
        databases.used_by_django(name),
        psycopg.connect(databases.owner_url(name)) as owner,
    ):
        company = build_company()
        bill = open_bill(owner)
        yield bill, plant(bill, company.hana)


@pytest.fixture
def month(
    django_db_setup: None, server_databases: databases.Databases, django_db_blocker: DjangoDbBlocker
) -> Iterator[tuple[Bill, list[Ends]]]:
    """Plant the month for one test."""
    with planted(server_databases, django_db_blocker) as what:
        yield what


def found() -> list[Ends]:
    """Return how the lines ended, in the order that they are listed in."""
    rows = ReconciliationLine.objects.select_related("provider_key").order_by("day", "pk")
    return sorted((_ends(line) for line in rows), key=_order)


def _ends(line: ReconciliationLine) -> Ends:
    subject = str(line.provider_key) if line.provider_key else line.model_name or line.charge
    return Ends(line.day.day, subject, Outcome(line.outcome), tuple(line.causes), line.is_agreed)


def _order(ends: Ends) -> tuple[int, str]:
    return ends.day, ends.subject


def test_each_difference_is_named_rightly_and_none_falsely(month: tuple[Bill, list[Ends]]) -> None:
    bill, ends = month
    bill.fetch(until=noon(day(28)))

    reconcile(actor=bill.actor, provider=bill.provider)

    assert found() == sorted(ends, key=_order)
    kinds = {cause for one in ends for cause in one.causes}
    assert (len(ends), len(kinds)) == (41, 13)
    ties(bill)


def ties(bill: Bill) -> None:
    """Assert that the accounts tie to the lines, to the last place, and that no promise is broken."""
    agreed = ReconciliationLine.objects.filter(is_agreed=True)
    waits = ReconciliationLine.objects.filter(is_agreed=False).aggregate(sum=Sum("metered"))["sum"]
    sums = agreed.aggregate(reported=Sum("reported"), metered=Sum("metered"))
    posted = balances()
    used = UsageRecord.objects.aggregate(sum=Sum("cost"))["sum"]
    to_lines = Posting.objects.filter(
        entry__kind=EntryKind.DIFFERENCE, account__account_class=AccountClass.LINE
    ).aggregate(sum=Sum("amount"))["sum"]
    assert posted["billed"] == sums["reported"]
    assert posted["metered"] == waits
    # What is on the three accounts is all usage ever posted, and what differences charged to lines.
    assert posted["metered"] + posted["billed"] + posted["variance"] == used - to_lines
    taken = LineAttribution.objects.filter(line__is_agreed=True).aggregate(sum=Sum("amount"))["sum"]
    assert taken == sums["reported"] - sums["metered"]
    assert breaches() == []


def test_the_same_month_in_another_order_and_twice_over_ends_in_the_same_ledger(
    django_db_setup: None, server_databases: databases.Databases, django_db_blocker: DjangoDbBlocker
) -> None:
    books = []
    for seed in (None, 4711):
        with planted(server_databases, django_db_blocker) as (bill, _ends):
            if seed is None:
                bill.fetch(until=noon(day(28)))
            else:
                deliver(bill, random.Random(seed))  # noqa: S311 - it shuffles, it keeps no secret
            reconcile(actor=bill.actor, provider=bill.provider)
            books.append([line for line in "".join(journal_pieces()).splitlines() if not said_when(line)])
    assert books[0] == books[1]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_month_that_is_reconciled_while_its_figures_still_change_ends_with_the_same_balances(
    django_db_setup: None, server_databases: databases.Databases, django_db_blocker: DjangoDbBlocker, seed: int
) -> None:
    ended = []
    for chance in (None, random.Random(seed)):  # noqa: S311 - it shuffles, it keeps no secret
        with planted(server_databases, django_db_blocker) as (bill, _ends):
            if chance is None:
                bill.fetch(until=noon(day(28)))
            else:
                deliver(bill, chance, reconciled=0.5)
            reconcile(actor=bill.actor, provider=bill.provider)
            ties(bill)
            lines = ReconciliationLine.objects.order_by("day", "model_name", "charge", "provider_key__external_id")
            facts = lines.values_list("day", "model_name", "charge", "reported", "is_agreed")
            ended.append((every_balance(), list(facts)))
    assert ended[0] == ended[1]


def every_balance() -> dict[str, Decimal]:
    rows = Posting.objects.values_list("account__code").annotate(sum=Sum("amount"))
    return {code: amount for code, amount in rows if amount}


def said_when(line: str) -> bool:
    """Say whether a line of the journal's text tells when it was written or recorded, which is never the same twice."""
    return line.endswith(" UTC.") or "; recorded:" in line


def deliver(bill: Bill, chance: random.Random, reconciled: float = 0) -> None:
    """Fetch the month in other parts: days at random, some of them first with other figures, rows on two pages.

    `reconciled` is how likely the month is reconciled after each fetch, with the figures that it has then.
    """
    spans = [Span(day(first), day(last)) for first, last in ((15, 28), (1, 9), (7, 20), (21, 28), (1, 14))]
    for feed, rows in ((bill.tokens, bill.token_rows), (bill.money, bill.money_rows)):
        for span in spans:
            wrong = [replace(row, output_tokens=row.output_tokens + 7) for row in rows if row.day in span]
            for told in (wrong, [row for row in rows if row.day in span]):
                chance.shuffle(told)
                pages = [page(told[n::4]) for n in range(4)] + [page(told[::3])]
                chance.shuffle(pages)
                fetch = fetch_begin(bill.actor, feed, span)
                pages_keep(fetch, [replace(one, complete_until=noon(day(28))) for one in pages])
                fetch_apply(fetch, Adapter())
                if chance.random() < reconciled:
                    reconcile(actor=bill.actor, provider=bill.provider)


def test_a_month_that_is_read_again_posts_nothing(month: tuple[Bill, list[Ends]]) -> None:
    bill, _ends = month
    bill.fetch(until=noon(day(28)))
    reconcile(actor=bill.actor, provider=bill.provider)
    posted = ReconciliationPosting.objects.count()

    bill.fetch(until=noon(day(28)), pages=5)
    again = reconcile(actor=bill.actor, provider=bill.provider)

    assert (again.changed, again.entries, ReconciliationPosting.objects.count()) == (0, 0, posted)


def test_what_a_crash_left_held_is_settled_out_of_what_was_held_for_it(month: tuple[Bill, list[Ends]]) -> None:
    bill, _ends = month
    bill.fetch(until=noon(day(28)))
    free = bill.desk().quota.limit - bill.desk().quota.spent

    reconcile(actor=bill.actor, provider=bill.provider)

    line = ReconciliationLine.objects.get(day=day(14))
    by_hand = UsageRecord.objects.get(settle_kind="by_hand")
    assert (by_hand.cost, by_hand.input_tokens, by_hand.sent_at) == (Decimal("0.7"), 700_000, noon(day(14), 15))
    assert not Hold.objects.filter(state="unsettled").exists()
    assert (line.metered, line.reported, line.revision) == (Decimal("2.04"), Decimal("2.04"), 2)
    assert line.revisions.get().figures["causes"] == [Cause.UNSETTLED]
    moved = LineAttribution.objects.filter(line__is_agreed=True, account=bill.desk().line.account)
    quota = bill.desk().quota
    assert quota.limit - quota.spent == free - by_hand.cost - moved.aggregate(sum=Sum("amount"))["sum"]


def test_who_takes_a_difference_is_who_caused_it(month: tuple[Bill, list[Ends]]) -> None:
    bill, _ends = month
    bill.fetch(until=noon(day(28)))
    reconcile(actor=bill.actor, provider=bill.provider)

    def takers(number: int, model: str = "acme-small") -> list[tuple[str, str, Decimal]]:
        rows = LineAttribution.objects.filter(line__day=day(number), line__model_name=model, line__is_agreed=True)
        named = rows.select_related("account__team").order_by("account__team__name")
        return [(row.account.team.name if row.account.team else "Variance", row.rule, row.amount) for row in named]

    # The estimated call was Green's; half of the midnight's two days was used by Blue, and both days come to nothing.
    assert takers(12) == [("Green", AttributionRule.ESTIMATE, Decimal("0.068"))]
    assert takers(11) == [("Green", AttributionRule.KEY, Decimal(2))]
    assert [(team, -amount) for team, _rule, amount in takers(15)] == [(t, a) for t, _rule, a in takers(16)]
    assert takers(6) == [("Variance", AttributionRule.TOLERANCE, Decimal("0.005679"))]
    assert takers(8) == [("Blue", AttributionRule.SHARE, Decimal("0.268"))]


def test_people_are_told_once_of_traffic_that_was_not_metered(month: tuple[Bill, list[Ends]]) -> None:
    bill, _ends = month
    bill.fetch(until=noon(day(28)))

    for _turn in range(2):
        reconcile(actor=bill.actor, provider=bill.provider)
        bill.fetch(until=noon(day(28)))

    told = Notification.objects.filter(title="acme reports traffic that was not metered")
    people = people_with_role(Role.FINANCE, Role.PLATFORM_ADMIN)
    assert sorted(note.user_id for note in told) == sorted(person.pk for person in people)
    assert told[0].body.splitlines() == [
        f"Key key_stray, of which nobody has said whose it is: $7.40 since {day(10)}.",
        f"acme-small on {day(11)}, with the gateway's own key: $0.50 more than was metered.",
    ]


def test_the_days_after_say_what_was_late(month: tuple[Bill, list[Ends]]) -> None:
    bill, _ends = month
    bill.fetch(until=noon(day(28)))
    reconcile(actor=bill.actor, provider=bill.provider)
    twice = [row for row in bill.token_rows + bill.money_rows if row.day == day(28)]
    for row in twice:
        rows = bill.token_rows if row in bill.token_rows else bill.money_rows
        rows[rows.index(row)] = replace(
            row,
            requests=row.requests * 2,
            input_tokens=row.input_tokens * 2,
            cache_read_tokens=row.cache_read_tokens * 2,
            output_tokens=row.output_tokens * 2,
            amount=row.amount * 2,
        )
    bill.fetch(until=noon(day(28)) + timedelta(days=1))
    reconcile(actor=bill.actor, provider=bill.provider)

    outcomes = dict(ReconciliationLine.objects.filter(day=day(28)).values_list("model_name", "outcome"))
    assert outcomes == {"acme-small": Outcome.MATCHED, "acme-big": Outcome.OPEN}
