"""The meter of one outside call: a metering process of its own in the database, that holds for it alone."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from django.db import connection, transaction

from allocations.metering.types import CallFacts, Charge, Hold, QuotaExhausted, Standing, Stop, Wish
from allocations.metering.wire import is_beyond, settle_row, standings
from allocations.models import Outcome, Quota
from ledger.models import UsageRecord
from teams.errors import WrongState

HOLD = "SELECT allocations_outside_hold(%s, %s, %s::bigint[], %s, %s, %s, %s)::text"
END = "SELECT allocations_outside_end(%s, %s, %s, %s, %s)"
NOTHING = Standing(Decimal(0), Decimal(0), Decimal(0), is_open=False)


class OutsideMeter:
    """Admits, settles or voids one call, in one transaction each; safe to try again.

    `expires_at` is when its hold becomes unsettled; `ending` is the digest of what was said of its end.
    """

    def __init__(self, request_id: UUID, expires_at: datetime, ending: bytes = b"") -> None:
        self._request_id, self._expires_at, self._ending = request_id, expires_at, ending

    async def admit(self, wish: Wish) -> Hold:
        """Reserve the bound, or what is left when only the least or more of it fits. Raises QuotaExhausted."""
        with transaction.atomic():  # a refusal gives its locks back, so that the next option may be tried
            return self._hold(wish)

    def _hold(self, wish: Wish) -> Hold:
        wanted = [wish.bound, wish.least, wish.tokens, wish.least_tokens]
        answer = orjson.loads(_one(HOLD, [self._request_id, self._expires_at, list(wish.quota_ids), *wanted]))
        quotas = standings(answer["quotas"])
        (granted,) = answer["granted"] or [(wish.bound, wish.tokens)]
        if granted is None:
            quota, stop, seconds = answer["blockers"][0]
            raise QuotaExhausted(quota, Stop(stop), quotas.get(quota, NOTHING), seconds)
        return Hold(
            request_id=self._request_id,
            worker=self._request_id,
            quota_ids=wish.quota_ids,
            bound=Decimal(granted[0]),
            tokens=granted[1],
            sent_at=wish.at,
            remaining=quotas[wish.quota_ids[0]].available,
        )

    async def settle(self, hold: Hold, facts: CallFacts) -> Charge:
        """Charge the cost, give the hold back and record the usage. Raises WrongState (already_ended)."""
        row = settle_row(hold, facts)
        within, beyond = (None, _json([row])) if is_beyond(row) else (_json([row]), None)
        self._end(Outcome.SETTLED, within, beyond)
        record = UsageRecord.objects.get(request_id=hold.request_id)
        left = Quota.objects.get(pk=hold.quota_ids[0]).available
        return Charge(record.cost, record.charged, record.overage, left or Decimal(0))

    async def void(self, hold: Hold) -> None:
        """Give the hold of a call back that cost nothing. Raises WrongState (already_ended)."""
        self._end(Outcome.VOID, _json([settle_row(hold, None)]), None)

    def _end(self, outcome: Outcome, within: str | None, beyond: str | None) -> None:
        if _one(END, [self._request_id, outcome, self._ending, within, beyond]) == "otherwise":
            raise already_ended()


def already_ended() -> WrongState:
    """Make the refusal to end a call otherwise than it has ended."""
    return WrongState("This call has ended already, and not as you say now.", code="already_ended", field="id")


def _one(query: str, parameters: list[Any]) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchone()[0]


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
