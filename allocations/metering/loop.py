"""The sync loop: one connection, one transaction at a time, everything that waits rides in the next one.

That is group commit. At rest a call pays one round trip; under load one commit carries hundreds of calls, and
nothing is leased that nobody uses. `allocations_meter` in `allocations/sql/meter.sql` is the transaction.

What the loop guarantees to its callers:

- `admit` returns after the hold is committed; `settle` after the usage record is committed, or, when the
  database stays away, fsynced to the spool from which it is replayed.
- A lost acknowledgement charges nothing twice: settles are unique by request id, and after a reconnection the
  loop tells the database what it truly holds (`allocations_resync`).
- A caller that goes away while it waits for its hold gets the hold released.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import Any, LiteralString
from uuid import UUID, uuid4

import orjson
import psycopg

from allocations.metering import LAPSE_AFTER_SECONDS
from allocations.metering.spool import Spool
from allocations.metering.statement import Statement
from allocations.metering.stats import LOST, REFUSED, MeterStats
from allocations.metering.types import (
    CallFacts,
    Charge,
    Hold,
    MeterUnavailable,
    QuotaExhausted,
    Standing,
    Stop,
    Wish,
)
from allocations.metering.wire import METER_TYPES, Batch, costs_beyond, meter_parameters, settle_row, standings
from ledger.ids import uuid7

logger = logging.getLogger(__name__)

MOST_ADMITS = 500
MOST_SETTLES = 500
HEARTBEAT_SECONDS = 1.0
SETTLE_PATIENCE_SECONDS = 5.0
RECONNECT_SECONDS = 0.25
GATHER_SECONDS = 0.002

METER = f"SELECT allocations_meter({', '.join(f'${n}::{kind}' for n, kind in enumerate(METER_TYPES, 1))})::text"
NOTHING = Decimal(0)
# Losing the connection, and a server that shuts down or starts up, are "the database is away".
NOT_ALIVE = "TK010"
AWAY = (psycopg.OperationalError, psycopg.InterfaceError, OSError)


@dataclass(slots=True)
class _Admit:
    wish: Wish
    since: float
    done: "asyncio.Future[Hold]"


@dataclass(slots=True)
class _Settle:
    hold: Hold
    facts: CallFacts | None
    """None is a void."""
    since: float
    done: "asyncio.Future[Charge]"
    refusals: int = 0


class SyncLoop:
    """The `Meter` of one gateway process."""

    def __init__(self, dsn: str, spool_dir: Path) -> None:
        self.worker = uuid4()
        self.stats = MeterStats()
        self._dsn = dsn
        self._spool = Spool(spool_dir, self.worker)
        self._epoch = 0
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._statement: Statement | None = None
        self._admits: list[_Admit] = []
        self._settles: list[_Settle] = []
        self._held: dict[UUID, Hold] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._chores_due = 0.0

    @property
    def is_available(self) -> bool:
        """Say whether the database is there, so that calls can be admitted."""
        return self._connection is not None and not self._stopping

    @property
    def calls_in_flight(self) -> int:
        """Return how many holds this process has open."""
        return len(self._held)

    @property
    def calls_waiting(self) -> tuple[int, int]:
        """Return how many admits and how many settles wait for the next transaction."""
        return len(self._admits), len(self._settles)

    @property
    def spool(self) -> Spool:
        """Return where settles go while the database is away."""
        return self._spool

    async def start(self) -> None:
        """Register the worker and start the loop; raises psycopg.OperationalError without a database."""
        await self._connect()
        self._task = asyncio.create_task(self._run(), name="metering-sync-loop")

    async def stop(self) -> None:
        """Settle what waits, hand the rest to the spool, and sign off."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        self._spool_settles(self._settles)
        self._settles = []
        await self._sign_off()
        self._spool.close()

    async def admit(self, wish: Wish) -> Hold:
        """Reserve the bound, or what is left when only the least or more of it fits, on every quota named.

        Raises QuotaExhausted or MeterUnavailable.
        """
        if not self.is_available:
            raise MeterUnavailable
        admit = _Admit(wish, monotonic(), asyncio.get_running_loop().create_future())
        self._admits.append(admit)
        self._wake.set()
        # A caller that is cancelled cancels `done`: what is granted all the same is given back when it is delivered.
        return await admit.done

    async def settle(self, hold: Hold, facts: CallFacts) -> Charge:
        """Charge the cost, release the hold, record the usage; returns after the commit or the spool's fsync."""
        return await self._enqueue(hold, facts)

    async def void(self, hold: Hold) -> None:
        """Release the hold of a call that cost nothing."""
        await self._enqueue(hold, None)

    def _enqueue(self, hold: Hold, facts: CallFacts | None) -> "asyncio.Future[Charge]":
        settle = _Settle(hold, facts, monotonic(), asyncio.get_running_loop().create_future())
        self._settles.append(settle)
        self._wake.set()
        return settle.done

    # --- The loop ------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not (self._stopping and not self._settles and not self._admits):
            if not self._admits and not self._settles:
                await self._rest()
            if self._connection is None and not await self._reconnect():
                if self._stopping:
                    return
                continue
            await self._step()

    async def _rest(self) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _gather(self) -> None:
        # While each turn of the event loop brings more, the next turn may, too, and a fuller commit costs each call
        # less. But a commit that has everybody in it leaves the process nothing to do until it is back.
        until, before, waiting = monotonic() + GATHER_SECONDS, 0, sum(self.calls_waiting)
        while before < waiting < self._enough and monotonic() < until:
            await asyncio.sleep(0)
            before, waiting = waiting, sum(self.calls_waiting)

    @property
    def _enough(self) -> float:
        """Return how many calls a commit waits for at most: a third of those in flight, which measured best."""
        return (len(self._held) + len(self._admits)) / 3

    async def _step(self) -> None:
        await self._gather()
        admits, settles = self._next_batch()
        began = monotonic()
        try:
            answer = await self._commit(admits, settles)
            self.stats.committed(admits, settles, began)
            self._deliver(admits, settles, answer)
            await self._chores()
        except AWAY as error:
            self.stats.failures[LOST] += 1
            await self._lost(error, admits, settles)
        except psycopg.Error as error:
            self.stats.failures[REFUSED] += 1
            await self._refused(error, admits, settles)

    def _next_batch(self) -> tuple[list[_Admit], list[_Settle]]:
        if self._settles and self._settles[0].refusals:
            return [], [self._settles.pop(0)]  # alone, so that one bad settle cannot hold up the others
        admits, self._admits = self._admits[:MOST_ADMITS], self._admits[MOST_ADMITS:]
        settles, self._settles = self._settles[:MOST_SETTLES], self._settles[MOST_SETTLES:]
        return admits, settles

    async def _commit(self, admits: list[_Admit], settles: list[_Settle]) -> dict[str, Any]:
        if self._statement is None:  # closed by `stop` at its deadline
            raise OSError("no connection")
        parameters = meter_parameters(self.worker, self._epoch, _batch(admits, settles))
        answer: dict[str, Any] = orjson.loads(await self._statement.run(parameters))
        return answer

    def _deliver(self, admits: list[_Admit], settles: list[_Settle], answer: dict[str, Any]) -> None:
        quotas, overages = standings(answer["quotas"]), answer["overages"]
        left = {quota: standing.available for quota, standing in quotas.items()}
        for settle in settles:
            hold = settle.hold
            self._held.pop(hold.request_id, None)
            overage = Decimal(overages.get(str(hold.request_id), 0)) if overages else NOTHING
            _resolve(settle.done, _charge(settle, overage, left[hold.quota_ids[0]]))
        granted, blockers = answer["granted"], answer["blockers"]
        for place, admit in enumerate(admits):
            wish = admit.wish
            if granted is None:
                self._grant(admit, wish.bound, wish.tokens, left[wish.quota_ids[0]])
            elif granted[place] is None:
                self.stats.stops[blockers[place][1]] += 1
                _reject(admit.done, _exhausted(quotas, *blockers[place]))
            else:
                amount, tokens = granted[place]
                self._grant(admit, Decimal(amount), tokens, left[wish.quota_ids[0]])

    def _grant(self, admit: _Admit, bound: Decimal, tokens: int, remaining: Decimal) -> None:
        wish = admit.wish
        hold = Hold(uuid7(), self.worker, wish.quota_ids, bound, tokens, wish.at, remaining)
        self._held[hold.request_id] = hold
        if admit.done.cancelled():
            self._enqueue(hold, None)
        else:
            _resolve(admit.done, hold)

    async def _chores(self) -> None:
        # Every few seconds each process looks for others that went away, and for spools that nobody replays.
        now = asyncio.get_running_loop().time()
        if now < self._chores_due or self._connection is None:
            return
        self._chores_due = now + LAPSE_AFTER_SECONDS / 4
        await self._connection.execute("SELECT allocations_lapse(make_interval(secs => %s))", (LAPSE_AFTER_SECONDS,))
        await self._spool.replay(self._connection, self._forget)

    # --- When the database is away ---------------------------------------------------------------------------

    async def _lost(self, error: Exception, admits: list[_Admit], settles: list[_Settle]) -> None:
        logger.warning("metering lost its database: %s", error)
        connection, self._connection, self._statement = self._connection, None, None
        for admit in admits + self._admits:
            _reject(admit.done, MeterUnavailable())
        self._admits = []
        # A void whose commit is in doubt is dropped: the resync frees what this process no longer claims.
        for settle in settles:
            if settle.facts is None:
                self._held.pop(settle.hold.request_id, None)
                _resolve(settle.done, _charge(settle, Decimal(0), settle.hold.remaining))
        self._settles = [settle for settle in settles if settle.facts is not None] + self._settles
        if connection is not None:
            await connection.close()

    async def _refused(self, error: psycopg.Error, admits: list[_Admit], settles: list[_Settle]) -> None:
        # The server answered and rolled back: this worker was declared lapsed, or a row broke a rule.
        logger.error("metering transaction refused: %s", error)
        if error.sqlstate != NOT_ALIVE:
            if len(settles) == 1 and settles[0].refusals:
                _reject(settles.pop().done, error)  # its hold stays, and shows as unsettled when this process ends
            for settle in settles:
                settle.refusals += 1
        await self._lost(error, admits, settles)

    async def _reconnect(self) -> bool:
        try:
            await self._connect()
        except (*AWAY, psycopg.Error) as error:
            logger.warning("metering cannot reach its database: %s", error)
            self._connection = None
            self._spool_impatient()
            await asyncio.sleep(RECONNECT_SECONDS)
            return False
        return True

    async def _connect(self) -> None:
        connection = await psycopg.AsyncConnection.connect(self._dsn, autocommit=True, connect_timeout=5)
        statement = Statement(connection)
        await statement.prepare(METER)
        if self._epoch == 0:
            await self._register(connection)
        else:
            await self._resync(connection)
        self._connection, self._statement = connection, statement
        self.stats.connected()

    async def _register(self, connection: psycopg.AsyncConnection[Any]) -> None:
        await connection.execute(
            "INSERT INTO allocations_meterworker (id, host, pid, state) VALUES (%s, %s, %s, 'alive')",
            (self.worker, socket.gethostname()[:120], os.getpid()),
        )
        self._epoch = 1

    async def _resync(self, connection: psycopg.AsyncConnection[Any]) -> None:
        async with connection.transaction():
            epoch = await _one(connection, "SELECT allocations_fence(%s)", (self.worker,))
            cursor = await connection.execute(
                "SELECT request_id, overage FROM ledger_usagerecord WHERE request_id = ANY(%s)", (list(self._held),)
            )
            recorded: dict[UUID, Decimal] = dict(await cursor.fetchall())
            truth = self._truth(except_for=recorded)
            await connection.execute("SELECT allocations_resync(%s, %s)", (self.worker, _json(truth) or "[]"))
        self._epoch = epoch
        self._acknowledge(recorded)

    def _truth(self, except_for: Iterable[UUID]) -> list[dict[str, Any]]:
        totals: dict[int, list[Any]] = {}
        gone = set(except_for)
        for hold in self._held.values():
            if hold.request_id in gone:
                continue
            for quota in hold.quota_ids:
                total = totals.setdefault(quota, [Decimal(0), 0, 0])
                total[0] += hold.bound
                total[1] += hold.tokens
                total[2] += 1
        return [
            {"quota": quota, "amount": str(amount), "tokens": tokens, "calls": calls}
            for quota, (amount, tokens, calls) in totals.items()
        ]

    def _acknowledge(self, recorded: dict[UUID, Decimal]) -> None:
        # Settles whose commit had gone through although its acknowledgement was lost.
        self._forget(list(recorded))
        known = [settle for settle in self._settles if settle.hold.request_id in recorded]
        self.stats.settled(known, monotonic())
        for settle in known:
            overage = recorded[settle.hold.request_id]
            _resolve(settle.done, _charge(settle, overage, settle.hold.remaining))
        self._settles = [settle for settle in self._settles if settle.hold.request_id not in recorded]

    def _spool_impatient(self) -> None:
        now = monotonic()
        late = [settle for settle in self._settles if now - settle.since > SETTLE_PATIENCE_SECONDS]
        self._settles = [settle for settle in self._settles if now - settle.since <= SETTLE_PATIENCE_SECONDS]
        self._spool_settles(late)

    def _spool_settles(self, settles: list[_Settle]) -> None:
        charged = [settle for settle in settles if settle.facts is not None]
        self._spool.append([settle_row(settle.hold, settle.facts) for settle in charged])
        self.stats.spooled += len(charged)
        for settle in settles:
            _resolve(settle.done, _charge(settle, Decimal(0), settle.hold.remaining))

    def _forget(self, request_ids: list[UUID]) -> None:
        for request_id in request_ids:
            self._held.pop(request_id, None)

    async def _sign_off(self) -> None:
        connection, self._connection, self._statement = self._connection, None, None
        if connection is None:
            return
        try:
            await self._spool.replay(connection, self._forget)
            await connection.execute("SELECT allocations_worker_stop(%s)", (self.worker,))
        except AWAY as error:
            logger.warning("metering could not sign off: %s", error)
        await connection.close()


async def _one(connection: psycopg.AsyncConnection[Any], query: LiteralString, parameters: tuple[Any, ...]) -> Any:
    row = await (await connection.execute(query, parameters)).fetchone()
    return row[0] if row else None


def _batch(admits: list[_Admit], settles: list[_Settle]) -> Batch:
    within: list[tuple[Hold, CallFacts]] = []
    beyond: list[tuple[Hold, CallFacts]] = []
    voids: list[Hold] = []
    for settle in settles:
        hold, facts = settle.hold, settle.facts
        if facts is None:
            voids.append(hold)
        else:
            (beyond if costs_beyond(hold, facts) else within).append((hold, facts))
    return Batch([admit.wish for admit in admits], within, voids, beyond)


def _charge(settle: _Settle, overage: Decimal, remaining: Decimal) -> Charge:
    cost = NOTHING if settle.facts is None else settle.facts.cost
    return Charge(cost, cost - overage if overage else cost, overage, remaining)


def _exhausted(quotas: dict[int, Standing], blocker: int, stop: str, seconds: float | None) -> QuotaExhausted:
    standing = quotas.get(blocker, Standing(Decimal(0), Decimal(0), Decimal(0), is_open=False))
    return QuotaExhausted(blocker, Stop(stop), standing, seconds)


def _json(rows: list[dict[str, Any]]) -> str | None:
    return orjson.dumps(rows).decode() if rows else None


def _resolve(future: "asyncio.Future[Any]", value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _reject(future: "asyncio.Future[Any]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # a caller that went away does not leave a warning behind
