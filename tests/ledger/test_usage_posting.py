"""The hourly posting: the ledger gets the difference, once, whenever it runs."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from allocations.metering.loop import SyncLoop
from ledger.models import Account, EntryKind, JournalEntry, UsagePosting
from ledger.selectors import balance
from ledger.services import usage_post
from tests.allocations.desk import Desk, open_desk, wish
from tests.allocations.test_loop import metering
from tests.conftest import FreshDatabase
from tests.processes import manage


@pytest.fixture
def desk(fresh_database: FreshDatabase) -> Desk:
    return open_desk()


def call(database: FreshDatabase, desk: Desk, *costs: int) -> None:
    """Meter calls that cost so many dollars each."""
    chain = desk.chain

    async def run() -> None:
        async with metering(database) as loop:
            for dollars in costs:
                await _call(loop, dollars)

    async def _call(loop: SyncLoop, dollars: int) -> None:
        hold = await loop.admit(wish(chain, Decimal(1)))
        await loop.settle(hold, desk.facts(input_tokens=dollars * 1_000_000))

    asyncio.run(run())


def books(desk: Desk) -> dict[str, Decimal]:
    metered, variance = (Account.objects.get(code=f"{name}:sandbox") for name in ("metered", "variance"))
    accounts = {"line": desk.line.account, "metered": metered, "variance": variance}
    return {name: balance(account).amount for name, account in accounts.items()}


def test_usage_moves_from_the_line_to_metered_and_a_second_run_moves_nothing(
    fresh_database: FreshDatabase, desk: Desk
) -> None:
    call(fresh_database, desk, 1, 1, 1)

    usage_post(actor=desk.actor)
    assert books(desk) == {"line": 47, "metered": 3, "variance": 0}

    assert usage_post(actor=desk.actor) == []
    assert books(desk) == {"line": 47, "metered": 3, "variance": 0}


def test_what_comes_later_in_the_same_hour_is_posted_as_a_difference(fresh_database: FreshDatabase, desk: Desk) -> None:
    call(fresh_database, desk, 1)
    usage_post(actor=desk.actor)
    call(fresh_database, desk, 1, 1)
    usage_post(actor=desk.actor)

    assert books(desk) == {"line": 47, "metered": 3, "variance": 0}
    assert sum(JournalEntry.objects.get(pk=entry).postings.get(amount__gt=0).amount for entry in _usage()) == 3
    last = UsagePosting.objects.order_by("-records").first()
    assert last is not None
    assert last.records == sum(_records())


def _usage() -> list[int]:
    return list(JournalEntry.objects.filter(kind=EntryKind.USAGE).values_list("pk", flat=True))


def _records() -> list[int]:
    last: dict[object, int] = {}
    for row in UsagePosting.objects.order_by("records"):
        last[row.hour] = row.records
    return list(last.values())


def test_overage_is_owed_to_the_provider_but_not_taken_from_the_line(fresh_database: FreshDatabase, desk: Desk) -> None:
    call(fresh_database, desk, 60)
    usage_post(actor=desk.actor)
    assert books(desk) == {"line": 0, "metered": 60, "variance": -10}


def test_two_runs_at_once_post_each_difference_once(fresh_database: FreshDatabase, desk: Desk) -> None:
    call(fresh_database, desk, 1, 1, 1, 1)

    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: manage("post_usage", env=fresh_database.env), range(4)))

    assert [run.returncode for run in runs] == [0, 0, 0, 0]
    assert books(desk) == {"line": 46, "metered": 4, "variance": 0}
