"""The sync loop: one connection, one transaction at a time, everything that waits rides in the next one.

That is group commit. At rest a call pays one round trip; under load one commit carries hundreds of calls, and
nothing is leased that nobody uses. `allocations_meter` in `allocations/sql/metering.sql` is the transaction.

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
from typing import Any, LiteralString
from uuid import UUID, uuid4

import orjson
import psycopg

from allocations.metering import LAPSE_AFTER_SECONDS
from allocations.metering.spool import Spool
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
from allocations.metering.wire import settle_row, standings, wish_row
from ledger.ids import uuid7

logger = logging.getLogger(__name__)

MOST_ADMITS = 500
MOST_SETTLES = 500
HEARTBEAT_SECONDS = 1.0
SETTLE_PATIENCE_SECONDS = 5.0
RECONNECT_SECONDS = 0.25

METER = "SELECT allocations_meter(%s, %s, %s::bigint[], %s, %s, %s)::text"
# Losing the connection, and a server that shuts down or starts up, are "the database is away".
NOT_ALIVE = "TK010"
AWAY = (psycopg.OperationalError, psycopg.InterfaceError, OSError)


@dataclass(slots=True)
class _Admit:
    wish: Wish
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
        self._dsn = dsn
        self._spool = Spool(spool_dir, self.worker)
        self._epoch = 0
        self._connection: psycopg.AsyncConnection[Any] | None = None
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
        admit = _Admit(wish, asyncio.get_running_loop().create_future())
        self._admits.append(admit)
        self._wake.set()
        try:
            return await asyncio.shield(admit.done)
        except asyncio.CancelledError:
            admit.done.add_done_callback(self._void_unclaimed)
            raise

    async def settle(self, hold: Hold, facts: CallFacts) -> Charge:
        """Charge the cost, release the hold, record the usage; returns after the commit or the spool's fsync."""
        return await asyncio.shield(self._enqueue(hold, facts))

    async def void(self, hold: Hold) -> None:
        """Release the hold of a call that cost nothing."""
        await asyncio.shield(self._enqueue(hold, None))

    def _enqueue(self, hold: Hold, facts: CallFacts | None) -> "asyncio.Future[Charge]":
        running = asyncio.get_running_loop()
        settle = _Settle(hold, facts, running.time(), running.create_future())
        self._settles.append(settle)
        self._wake.set()
        return settle.done

    def _void_unclaimed(self, done: "asyncio.Future[Hold]") -> None:
        if not done.cancelled() and done.exception() is None:
            self._enqueue(done.result(), None)

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

    async def _step(self) -> None:
        admits, settles = self._next_batch()
        try:
            answer = await self._commit(admits, settles)
            self._deliver(admits, settles, answer)
            await self._chores()
        except AWAY as error:
            await self._lost(error, admits, settles)
        except psycopg.Error as error:
            await self._refused(error, admits, settles)

    def _next_batch(self) -> tuple[list[_Admit], list[_Settle]]:
        if self._settles and self._settles[0].refusals:
            return [], [self._settles.pop(0)]  # alone, so that one bad settle cannot hold up the others
        admits, self._admits = self._admits[:MOST_ADMITS], self._admits[MOST_ADMITS:]
        settles, self._settles = self._settles[:MOST_SETTLES], self._settles[MOST_SETTLES:]
        return admits, settles

    async def _commit(self, admits: list[_Admit], settles: list[_Settle]) -> dict[str, Any]:
        connection = self._connection
        if connection is None:  # closed by `stop` at its deadline
            raise OSError("no connection")
        within: list[dict[str, Any]] = []
        beyond: list[dict[str, Any]] = []
        for settle in settles:
            (beyond if _is_beyond(settle) else within).append(settle_row(settle.hold, settle.facts))
        wishes = [wish_row(admit.wish) for admit in admits]
        quotas = {q for a in admits for q in a.wish.quota_ids} | {q for s in settles for q in s.hold.quota_ids}
        parameters = (self.worker, self._epoch, sorted(quotas), _json(wishes), _json(within), _json(beyond))
        answer: dict[str, Any] = orjson.loads(await _one(connection, METER, parameters))
        return answer

    def _deliver(self, admits: list[_Admit], settles: list[_Settle], answer: dict[str, Any]) -> None:
        quotas = standings(answer["quotas"])
        for settle in settles:
            self._held.pop(settle.hold.request_id, None)
            overage = Decimal(answer["overages"].get(str(settle.hold.request_id), 0))
            _resolve(settle.done, _charge(settle, overage, quotas[settle.hold.quota_ids[0]].available))
        for admit, granted, blocked in zip(admits, answer["granted"], answer["blockers"], strict=True):
            if granted is None:
                _reject(admit.done, _exhausted(quotas, *blocked))
                continue
            hold = Hold(
                request_id=uuid7(),
                worker=self.worker,
                quota_ids=admit.wish.quota_ids,
                bound=Decimal(granted[0]),
                tokens=granted[1],
                sent_at=admit.wish.at,
                remaining=quotas[admit.wish.quota_ids[0]].available,
            )
            self._held[hold.request_id] = hold
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
        connection, self._connection = self._connection, None
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
        if self._epoch == 0:
            await self._register(connection)
        else:
            await self._resync(connection)
        self._connection = connection

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
        for settle in self._settles:
            if settle.hold.request_id in recorded:
                overage = recorded[settle.hold.request_id]
                _resolve(settle.done, _charge(settle, overage, settle.hold.remaining))
        self._settles = [settle for settle in self._settles if settle.hold.request_id not in recorded]

    def _spool_impatient(self) -> None:
        now = asyncio.get_running_loop().time()
        late = [settle for settle in self._settles if now - settle.since > SETTLE_PATIENCE_SECONDS]
        self._settles = [settle for settle in self._settles if now - settle.since <= SETTLE_PATIENCE_SECONDS]
        self._spool_settles(late)

    def _spool_settles(self, settles: list[_Settle]) -> None:
        charged = [settle for settle in settles if settle.facts is not None]
        self._spool.append([settle_row(settle.hold, settle.facts) for settle in charged])
        for settle in settles:
            _resolve(settle.done, _charge(settle, Decimal(0), settle.hold.remaining))

    def _forget(self, request_ids: list[UUID]) -> None:
        for request_id in request_ids:
            self._held.pop(request_id, None)

    async def _sign_off(self) -> None:
        connection, self._connection = self._connection, None
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


def _is_beyond(settle: _Settle) -> bool:
    facts, hold = settle.facts, settle.hold
    return facts is not None and (facts.cost > hold.bound or facts.tokens.total > hold.tokens)


def _charge(settle: _Settle, overage: Decimal, remaining: Decimal) -> Charge:
    cost = settle.facts.cost if settle.facts else Decimal(0)
    return Charge(cost=cost, charged=cost - overage, overage=overage, remaining=remaining)


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
