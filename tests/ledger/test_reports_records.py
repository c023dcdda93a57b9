"""The usage records behind a figure: all of them, once each, wherever the roll-ups end."""

from datetime import date
from decimal import Decimal

import psycopg
import pytest

from ledger.models import JournalEntry, UsageRecord
from ledger.reports.base import Choice, report_of
from ledger.selectors import today
from ledger.selectors.entry_usage import entry_records, entry_usage
from ledger.services import usage_post, usage_roll
from teams.selectors import system_user
from tests.allocations.desk import Desk, open_desk
from tests.conftest import FreshDatabase
from tests.ledger.history import Used, call_at, last_month, noon, open_year_from_last_month

Owner = psycopg.Connection


@pytest.fixture
def desk(fresh_database: FreshDatabase) -> Desk:
    open_year_from_last_month(system_user())
    return open_desk()


def requests(first: date, last: date, tag: str = "") -> list[str]:
    """Read the report and return the requests that it names."""
    report = report_of("usage-records")
    assert report is not None
    latest = UsageRecord.objects.latest("settled_at").settled_at
    choice = Choice(first, last, latest, tag=tag)
    return [str(row.cells[1]) for row in report.rows(choice, system_user())]


def many(owner: Owner, count: int) -> None:
    """Repeat every record, settled in the same moment."""
    columns = [field.column or "" for field in UsageRecord._meta.concrete_fields]
    names = ", ".join(column for column in columns if column not in {"id", "request_id"})
    copies = f"SELECT gen_random_uuid(), {names} FROM ledger_usagerecord, generate_series(1, %s)"  # noqa: S608 - ours
    owner.execute(f"INSERT INTO ledger_usagerecord (request_id, {names}) {copies}".encode(), [count])
    owner.commit()


def in_order(**narrower: object) -> list[str]:
    rows = UsageRecord.objects.filter(**narrower).order_by("settled_at", "request_id")
    return [str(request) for request in rows.values_list("request_id", flat=True)]


def test_every_record_is_read_once_though_many_were_settled_in_one_moment(desk: Desk, owner_connection: Owner) -> None:
    for day in (last_month(), today()):
        call_at(owner_connection, desk, noon(day, 0), Used(input=1))
    many(owner_connection, 3000)

    assert len(in_order()) == 6002
    assert requests(last_month(), today()) == in_order()
    assert requests(today(), today()) == in_order(settled_at__gte=noon(today(), 0))


def test_records_are_found_before_and_after_the_end_of_the_roll_ups(desk: Desk, owner_connection: Owner) -> None:
    tagged = Used(input=1, tags={"step": "read"})
    for hour in (3, 9, 12):
        call_at(owner_connection, desk, noon(last_month(), hour), tagged)
    call_at(owner_connection, desk, noon(last_month(), 11), Used(input=1))
    assert requests(last_month(), today(), tag="step") == in_order(tags__has_key="step")  # nothing was rolled up
    usage_roll(since=noon(last_month(), 0))
    assert requests(last_month(), today(), tag="step") == in_order(tags__has_key="step")

    call_at(owner_connection, desk, noon(today(), 0), tagged)  # and this is newer than the roll-ups

    assert requests(last_month(), today(), tag="step") == in_order(tags__has_key="step")
    assert requests(last_month(), today()) == in_order()
    assert len(in_order(tags__has_key="step")) == 4


def test_the_pages_of_an_entry_go_through_all_calls_of_one_moment(desk: Desk, owner_connection: Owner) -> None:
    call_at(owner_connection, desk, noon(today(), 0), Used(input=1, cost=Decimal("0.000001")))
    many(owner_connection, 24)
    (entry,) = usage_post(actor=system_user())
    usage = entry_usage(JournalEntry.objects.get(pk=entry.pk))
    assert usage is not None

    found: list[int] = []
    while page := entry_records(usage, before=found[-1] if found else None, limit=10):
        found += [record.pk for record in page]

    assert found == sorted(UsageRecord.objects.values_list("pk", flat=True), reverse=True)
    assert len(found) == 25
