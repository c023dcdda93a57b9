"""The sync loop against a real database: holds, settles, and what happens when things go away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial

import psycopg
import pytest
from django.db import connections

from allocations.metering.loop import SyncLoop
from allocations.metering.types import Hold, MeterUnavailable, QuotaExhausted, Stop
from allocations.models import Hold as HoldRow
from allocations.models import HoldState, KeyState, MeterWorker
from allocations.services import key_revoke, sweep_run
from ledger.checks import breaches
from ledger.models import UsageRecord
from tests.allocations.desk import Desk, open_desk, wish
from tests.conftest import FreshDatabase

ONE = Decimal(1)


@pytest.fixture
def desk(fresh_database: FreshDatabase) -> Desk:
    return open_desk()


def dsn(database: FreshDatabase) -> str:
    """Return the address under which a gateway process connects: the run-time role."""
    return psycopg.conninfo.make_conninfo(database.url, options="-c role=tank_app")


@asynccontextmanager
async def metering(database: FreshDatabase) -> AsyncIterator[SyncLoop]:
    loop = SyncLoop(dsn(database), database.data / "spool")
    await loop.start()
    try:
        yield loop
    finally:
        await loop.stop()


def play(database: FreshDatabase, story: Callable[[SyncLoop], Awaitable[None]]) -> None:
    """Run a story with a loop of its own."""

    async def run() -> None:
        async with metering(database) as loop:
            await story(loop)

    asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def test_a_call_is_held_then_charged_and_recorded(fresh_database: FreshDatabase, desk: Desk) -> None:
    chain = desk.chain

    async def story(loop: SyncLoop) -> None:
        hold = await loop.admit(wish(chain, Decimal(4)))
        assert (hold.bound, hold.remaining) == (Decimal(4), Decimal(46))
        charge = await loop.settle(hold, desk.facts())
        assert (charge.charged, charge.overage, charge.remaining) == (ONE, Decimal(0), Decimal(49))

    play(fresh_database, story)

    assert (desk.quota.spent, desk.quota.held) == (ONE, Decimal(0))
    assert (desk.key_quota.spent, desk.key_quota.held) == (ONE, Decimal(0))
    record = UsageRecord.objects.get()
    assert (record.cost, record.charged, record.input_tokens, record.key_id) == (ONE, ONE, 1_000_000, desk.key.pk)


def test_a_thousand_calls_at_once_are_admitted_to_the_last_cent_and_not_beyond(
    fresh_database: FreshDatabase, desk: Desk
) -> None:
    chain = desk.chain
    holds: list[Hold] = []
    refusals: list[QuotaExhausted] = []

    async def story(loop: SyncLoop) -> None:
        async def call() -> None:
            try:
                holds.append(await loop.admit(wish(chain, ONE)))
            except QuotaExhausted as stopped:
                refusals.append(stopped)

        await asyncio.gather(*(call() for _ in range(1000)))
        assert (len(holds), len(refusals)) == (50, 950)
        assert {(stopped.quota_id, stopped.standing.available) for stopped in refusals} == {(chain[0], Decimal(0))}
        await asyncio.gather(*(loop.settle(hold, desk.facts()) for hold in holds))

    play(fresh_database, story)

    assert (desk.quota.spent, desk.quota.held) == (Decimal(50), Decimal(0))
    assert UsageRecord.objects.count() == 50


def test_a_void_gives_everything_back(fresh_database: FreshDatabase, desk: Desk) -> None:
    chain = desk.chain

    async def story(loop: SyncLoop) -> None:
        await loop.void(await loop.admit(wish(chain, Decimal(50))))
        await loop.void(await loop.admit(wish(chain, Decimal(50))))

    play(fresh_database, story)

    assert (desk.quota.spent, desk.quota.held) == (Decimal(0), Decimal(0))
    assert not UsageRecord.objects.exists()


def test_what_is_left_is_granted_when_the_least_of_it_fits(fresh_database: FreshDatabase, desk: Desk) -> None:
    chain = desk.chain

    async def story(loop: SyncLoop) -> None:
        await loop.admit(wish(chain, Decimal(45)))
        hold = await loop.admit(wish(chain, Decimal(20), least=Decimal(2)))
        assert hold.bound == Decimal(5)
        with pytest.raises(QuotaExhausted):
            await loop.admit(wish(chain, Decimal(20), least=Decimal("0.01")))

    play(fresh_database, story)


def test_a_keys_own_cap_stops_it_before_the_line(fresh_database: FreshDatabase) -> None:
    desk = open_desk(cap="2")
    chain = desk.chain

    async def story(loop: SyncLoop) -> None:
        await loop.admit(wish(chain, Decimal("1.5")))
        with pytest.raises(QuotaExhausted) as stopped:
            await loop.admit(wish(chain, ONE))
        assert (stopped.value.quota_id, stopped.value.standing.available) == (chain[1], Decimal("0.5"))

    play(fresh_database, story)


def test_a_revoked_key_is_refused_by_the_database_whatever_a_gateway_remembers(
    fresh_database: FreshDatabase, desk: Desk
) -> None:
    chain = desk.chain
    key_revoke(actor=desk.actor, key=desk.key, reason="Found in a repository")

    async def story(loop: SyncLoop) -> None:
        with pytest.raises(QuotaExhausted) as stopped:
            await loop.admit(wish(chain, ONE))
        assert (stopped.value.quota_id, stopped.value.stop) == (chain[1], Stop.CLOSED)

    play(fresh_database, story)


def test_a_provider_that_counts_more_than_the_cap_makes_overage_and_stops_the_key(
    fresh_database: FreshDatabase, desk: Desk
) -> None:
    chain = desk.chain

    async def story(loop: SyncLoop) -> None:
        hold = await loop.admit(wish(chain, ONE))
        charge = await loop.settle(hold, desk.facts(input_tokens=60_000_000))
        assert (charge.cost, charge.charged, charge.overage) == (Decimal(60), Decimal(50), Decimal(10))
        with pytest.raises(QuotaExhausted):
            await loop.admit(wish(chain, ONE))

    play(fresh_database, story)

    assert desk.quota.spent == Decimal(50)
    assert sweep_run(actor=desk.actor)["keys_suspended"] == 1
    desk.key.refresh_from_db()
    assert desk.key.state == KeyState.SUSPENDED
    assert desk.allocation.owner.notifications.get().title == f"Key first of {desk.allocation.number} is suspended"
    assert sweep_run(actor=desk.actor)["keys_suspended"] == 0


def test_a_caller_that_goes_away_while_it_waits_leaves_no_hold(fresh_database: FreshDatabase, desk: Desk) -> None:
    chain = desk.chain

    async def story(loop: SyncLoop) -> None:
        waiting = [asyncio.create_task(loop.admit(wish(chain, ONE))) for _ in range(20)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await until(lambda: loop.calls_in_flight == 0 and desk_held() == 0)

    def desk_held() -> Decimal:
        with psycopg.connect(fresh_database.url) as connection:
            row = connection.execute("SELECT sum(held) FROM allocations_quota").fetchone()
        assert row is not None
        return Decimal(row[0])

    play(fresh_database, story)
    assert desk.quota.held == 0


def test_what_was_in_flight_when_a_process_ends_stays_held_and_shows_as_unsettled(
    fresh_database: FreshDatabase, desk: Desk
) -> None:
    chain = desk.chain

    async def story(loop: SyncLoop) -> None:
        await loop.admit(wish(chain, Decimal(7)))

    play(fresh_database, story)

    assert desk.quota.held == Decimal(7)
    assert set(HoldRow.objects.values_list("state", "amount")) == {(HoldState.UNSETTLED, Decimal(7))}


def test_a_connection_cut_under_load_charges_every_call_exactly_once(fresh_database: FreshDatabase, desk: Desk) -> None:
    chain = desk.chain
    done: list[int] = []
    small = desk.facts(input_tokens=1000)

    async def story(loop: SyncLoop) -> None:
        async def call(number: int) -> None:
            try:
                hold = await loop.admit(wish(chain, Decimal("0.002")))
            except MeterUnavailable:
                return
            await loop.settle(hold, small._replace(upstream_id=str(number)))
            done.append(number)

        def is_past(goal: int) -> bool:
            return len(done) > goal

        async def cut() -> None:
            async with await psycopg.AsyncConnection.connect(fresh_database.url, autocommit=True) as other:
                for _ in range(5):
                    goal = min(len(done) + 20, 600)
                    await until(partial(is_past, goal))
                    await other.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%allocations_meter(%'"
                        " AND datname = current_database() AND pid <> pg_backend_pid()"
                    )

        async def client(first: int) -> None:
            for number in range(first, first + 60):
                await call(number)
                while not loop.is_available:
                    await asyncio.sleep(0.01)

        await asyncio.gather(cut(), *(client(place * 1000) for place in range(16)))

    play(fresh_database, story)

    recorded = [int(upstream_id) for upstream_id in UsageRecord.objects.values_list("upstream_id", flat=True)]
    assert sorted(recorded) == sorted(done)
    assert desk.quota.spent == Decimal("0.001") * len(done)
    assert desk.quota.held == 0


def test_a_settle_that_finds_no_database_is_on_disk_before_it_returns_and_replayed_by_the_next_process(
    fresh_database: FreshDatabase, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = desk.chain
    monkeypatch.setattr("allocations.metering.loop.SETTLE_PATIENCE_SECONDS", 0.2)

    async def story(loop: SyncLoop) -> None:
        hold = await loop.admit(wish(chain, Decimal(4)))
        await _away(fresh_database, is_away=True)
        charge = await loop.settle(hold, desk.facts())
        assert charge.cost == ONE
        assert len(list((fresh_database.data / "spool").glob("*.jsonl"))) == 1
        with pytest.raises(MeterUnavailable):
            await loop.admit(wish(chain, ONE))

    play(fresh_database, story)
    asyncio.run(_away(fresh_database, is_away=False))
    connections.close_all()
    assert not UsageRecord.objects.exists()

    async def next_process(loop: SyncLoop) -> None:
        await until(lambda: not list((fresh_database.data / "spool").glob("*.jsonl")))

    play(fresh_database, next_process)

    assert UsageRecord.objects.get().charged == ONE
    assert (desk.quota.spent, desk.quota.held) == (ONE, Decimal(0))


async def _away(database: FreshDatabase, *, is_away: bool) -> None:
    """Make the database refuse everybody and drop who is connected, or let them in again."""
    elsewhere = psycopg.conninfo.make_conninfo(database.url, dbname="postgres")
    async with await psycopg.AsyncConnection.connect(elsewhere, autocommit=True) as other:
        allowed = "false" if is_away else "true"
        await other.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS {allowed}".encode())
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND backend_type = 'client backend'",
            (database.name,),
        )


def test_a_process_that_was_only_slow_comes_back_with_its_holds(fresh_database: FreshDatabase, desk: Desk) -> None:
    chain = desk.chain

    async def story(loop: SyncLoop) -> None:
        hold = await loop.admit(wish(chain, Decimal(4)))
        async with await psycopg.AsyncConnection.connect(fresh_database.url, autocommit=True) as other:
            await other.execute("UPDATE allocations_meterworker SET heartbeat_at = now() - interval '1 hour'")
            await other.execute("SELECT allocations_lapse('10 seconds')")
            row = await (
                await other.execute("SELECT count(*) FROM allocations_hold WHERE state = 'unsettled'")
            ).fetchone()
            assert row == (2,)
        charge = await loop.settle(hold, desk.facts())
        assert charge.charged == ONE
        await loop.void(await loop.admit(wish(chain, ONE)))

    play(fresh_database, story)

    assert (desk.quota.spent, desk.quota.held) == (ONE, Decimal(0))
    assert MeterWorker.objects.get().epoch > 1


def test_a_process_that_comes_back_after_its_holds_were_settled_by_hand_loses_no_call(
    fresh_database: FreshDatabase, desk: Desk
) -> None:
    chain = desk.chain
    release = "SELECT allocations_settle_by_hand(id, %s, %s, 4, NULL) FROM allocations_meterworker"

    async def story(loop: SyncLoop) -> None:
        hold = await loop.admit(wish(chain, Decimal(4)))
        async with await psycopg.AsyncConnection.connect(fresh_database.url, autocommit=True) as other:
            with pytest.raises(psycopg.Error, match="may still settle this itself"):
                await other.execute(release, chain)
            await other.execute("UPDATE allocations_meterworker SET heartbeat_at = now() - interval '2 hours'")
            await other.execute("SELECT allocations_lapse('10 seconds')")
            await other.execute(release, chain)
        charge = await loop.settle(hold, desk.facts())
        assert charge.charged == ONE
        await loop.void(await loop.admit(wish(chain, ONE)))

    play(fresh_database, story)

    assert (desk.quota.spent, desk.quota.held) == (ONE, Decimal(0))
    assert (desk.key_quota.spent, desk.key_quota.held) == (ONE, Decimal(0))
    assert breaches() == []


def test_one_settle_that_breaks_a_rule_does_not_hold_up_the_others(fresh_database: FreshDatabase, desk: Desk) -> None:
    chain = desk.chain

    async def story(loop: SyncLoop) -> None:
        holds = [await loop.admit(wish(chain, Decimal(4))) for _ in range(3)]
        bad = desk.facts()._replace(rate_id=999_999_999)
        results = await asyncio.gather(
            loop.settle(holds[0], desk.facts()),
            loop.settle(holds[1], bad),
            loop.settle(holds[2], desk.facts()),
            return_exceptions=True,
        )
        assert isinstance(results[1], psycopg.errors.ForeignKeyViolation)

    play(fresh_database, story)

    assert desk.quota.spent == Decimal(2)
    assert desk.quota.held == Decimal(4)
