"""Where usage lies: a month to a table, one record per request over all of them, sums that outlive the records."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
from django.db.models import Sum

from ledger.checks import breaches
from ledger.closing import Finding, item_of
from ledger.ids import uuid7
from ledger.models import Period, UsageArchive, UsageDay, UsageHour, UsageRecord
from ledger.selectors import today
from ledger.services import usage_post, usage_roll
from teams.selectors import system_user
from tests.allocations.desk import Desk, open_desk
from tests.conftest import FreshDatabase
from tests.ledger.history import Used, call_at, last_month, noon, open_year_from_last_month, period_to

Owner = psycopg.Connection
TABLE = "SELECT tableoid::regclass::text FROM ledger_usagerecord ORDER BY settled_at"


@pytest.fixture
def desk(fresh_database: FreshDatabase, owner_connection: Owner) -> Desk:
    """A call in the last month and two in this one."""
    open_year_from_last_month(system_user())
    desk = open_desk()
    for day, hour in ((last_month(), 3), (today(), 0), (today(), 0)):
        call_at(owner_connection, desk, noon(day, hour), Used(input=1_000_000))
    return desk


def test_the_time_in_a_request_id_is_the_moment_it_was_made() -> None:
    moment = datetime(2026, 3, 1, 12, 30, 15, 123000, tzinfo=UTC)
    made = uuid7(moment)
    assert (made.version, made.variant, made.int >> 80) == (7, "specified in RFC 4122", 1_772_368_215_123)


def test_a_record_lies_with_its_month(desk: Desk, owner_connection: Owner) -> None:
    tables = [row[0] for row in owner_connection.execute(TABLE)]
    assert tables == [f"ledger_usagerecord_{day:%Y_%m}" for day in (last_month(), today(), today())]


def test_a_request_is_recorded_once_whatever_month_it_says(desk: Desk, owner_connection: Owner) -> None:
    record = UsageRecord.objects.earliest("settled_at")
    columns = [field.column or "" for field in UsageRecord._meta.concrete_fields]
    names = ", ".join(column for column in columns if column not in {"id", "settled_at"})
    with pytest.raises(psycopg.errors.UniqueViolation):
        owner_connection.execute(
            f"INSERT INTO ledger_usagerecord ({names}, settled_at)"  # noqa: S608 - our own column names
            f" SELECT {names}, now() FROM ledger_usagerecord WHERE request_id = '{record.request_id}'".encode()
        )


def test_a_call_of_a_month_without_a_table_still_gets_in(desk: Desk, owner_connection: Owner) -> None:
    call_at(owner_connection, desk, datetime(2031, 5, 1, tzinfo=UTC), Used(input=1))
    tables = [row[0] for row in owner_connection.execute(TABLE)]
    assert tables[-1] == "ledger_usagerecord_other"


def test_it_moves_to_its_month_when_that_gets_a_table(
    desk: Desk, owner_connection: Owner, app_connection: Owner
) -> None:
    for month in (5, 6):
        call_at(owner_connection, desk, datetime(2031, month, 1, tzinfo=UTC), Used(input=1))
    before = list(UsageRecord.objects.order_by("id").values())

    app_connection.execute("SELECT ledger_usage_partitions('2031-05-01', '2031-05-31')")
    app_connection.commit()

    tables = [row[0] for row in owner_connection.execute(TABLE)]
    assert tables[-2:] == ["ledger_usagerecord_2031_05", "ledger_usagerecord_other"]
    assert list(UsageRecord.objects.order_by("id").values()) == before
    assert breaches() == []
    for table in tables[-2:]:
        with pytest.raises(psycopg.Error, match="append-only"):
            owner_connection.execute(f"DELETE FROM {table}".encode())  # noqa: S608 - our own tables
        owner_connection.rollback()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app_connection.execute(f"DELETE FROM {table}".encode())  # noqa: S608 - our own tables
        app_connection.rollback()


def test_a_table_of_the_run_time_role_brings_no_records_in(
    desk: Desk, owner_connection: Owner, app_connection: Owner
) -> None:
    call_at(owner_connection, desk, datetime(2031, 5, 1, tzinfo=UTC), Used(input=1))
    app_connection.execute("CREATE TEMP TABLE ledger_usagerecord_aside AS TABLE ledger_usagerecord")
    app_connection.execute("UPDATE ledger_usagerecord_aside SET request_id = gen_random_uuid()")

    app_connection.execute("SELECT ledger_usage_partitions('2031-05-01', '2031-05-31')")
    app_connection.commit()

    assert UsageRecord.objects.count() == 4


def test_tables_are_made_ahead_once(desk: Desk, owner_connection: Owner) -> None:
    ahead = today() + timedelta(days=400)
    make = "SELECT ledger_usage_partitions(%s, %s)"
    made = owner_connection.execute(make, (today(), ahead)).fetchone()
    assert made is not None
    assert made[0] > 6
    assert owner_connection.execute(make, (today(), ahead)).fetchone() == (0,)


def test_a_roll_up_adds_once_and_keeps_every_token_class(desk: Desk) -> None:
    usage_roll(since=noon(last_month(), 0))
    assert usage_roll(since=noon(last_month(), 0)) == 0  # nothing new, nothing changed

    hours = UsageHour.objects.order_by("hour").values_list("hour", "records", "input_tokens", "charged")
    assert list(hours) == [
        (noon(last_month(), 3), 1, 1_000_000, Decimal(1)),
        (noon(today(), 0), 2, 2_000_000, Decimal(2)),
    ]
    assert UsageDay.objects.aggregate(total=Sum("charged"))["total"] == 3


def test_a_roll_up_goes_over_years_and_gaps(desk: Desk, owner_connection: Owner) -> None:
    usage_roll(since=noon(last_month(), 0))
    moments = [datetime(2031, month, 1, 23, 59, 59, tzinfo=UTC) for month in (1, 1, 3)]
    for moment in (*moments, noon(last_month(), 3)):
        call_at(owner_connection, desk, moment, Used(input=1_000_000, tags={"step": "read"}))

    assert usage_roll(since=datetime.min.replace(tzinfo=UTC)) == 3  # one of them beside what the hour had before

    days = UsageDay.objects.order_by("day", "records").values_list("day", "tags", "records", "charged")
    assert list(days) == [
        (last_month(), {}, 1, Decimal(1)),
        (last_month(), {"step": "read"}, 1, Decimal(1)),
        (today(), {}, 2, Decimal(2)),
        (moments[0].date(), {"step": "read"}, 2, Decimal(2)),
        (moments[2].date(), {"step": "read"}, 1, Decimal(1)),
    ]
    assert breaches() == []


def test_what_an_hour_refers_to_is_held_by_its_day(desk: Desk, owner_connection: Owner) -> None:
    constraints = "SELECT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f' AND confrelid = %s::regclass"
    for parent in ("ledger_account", "ledger_aimodel", "ledger_rate", "ledger_provider", "teams_team"):
        assert "ledger_usageday" in {row[0] for row in owner_connection.execute(constraints, [parent])}


def test_a_month_is_detached_only_when_it_is_closed_and_posted(desk: Desk, owner_connection: Owner) -> None:
    detach = "SELECT ledger_usage_detach(%s)"
    with pytest.raises(psycopg.Error, match="is not closed"):
        owner_connection.execute(detach, [last_month()])
    owner_connection.rollback()
    period_to(owner_connection, last_month(), "closing", "closed")
    with pytest.raises(psycopg.Error, match="is not posted"):
        owner_connection.execute(detach, [last_month()])
    owner_connection.rollback()

    usage_post(actor=system_user())
    owner_connection.execute(detach, [last_month()])
    owner_connection.commit()

    assert UsageRecord.objects.count() == 2
    assert UsageDay.objects.aggregate(total=Sum("charged"))["total"] == 3
    archive = UsageArchive.objects.get()
    assert (archive.records, archive.charged, archive.starts_on) == (1, Decimal(1), last_month())
    assert usage_roll(since=noon(last_month(), 0)) == 0  # sums of records that are gone stay as they are
    assert UsageDay.objects.aggregate(total=Sum("charged"))["total"] == 3


def test_a_call_that_cost_nothing_keeps_no_month_open(desk: Desk, owner_connection: Owner) -> None:
    usage_post(actor=system_user())
    for hour in (3, 4):
        call_at(owner_connection, desk, noon(last_month(), hour), Used())
    usage_roll(since=noon(last_month(), 0))

    assert usage_posted(last_month()) == Finding(True, "All 3 usage records are posted.")
    period_to(owner_connection, last_month(), "closing", "closed")
    owner_connection.execute("SELECT ledger_usage_detach(%s)", [last_month()])
    owner_connection.commit()
    assert usage_posted(last_month()) == Finding(True, "All 3 usage records are posted.")


def test_usage_is_posted_when_hours_and_what_is_newer_are(desk: Desk, owner_connection: Owner) -> None:
    assert usage_posted(last_month()) == Finding(False, "1 of 1 usage records are not posted yet.")
    usage_post(actor=system_user())
    assert usage_posted(last_month()) == Finding(True, "All 1 usage records are posted.")

    call_at(owner_connection, desk, noon(today(), 0), Used(input=1))

    assert usage_posted(today().replace(day=1)) == Finding(False, "1 of 3 usage records are not posted yet.")


def usage_posted(first: date) -> Finding:
    item = item_of("usage_posted")
    assert item is not None
    return item.look(Period.objects.get(starts_on=first))
