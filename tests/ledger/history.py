"""Calls of the past, written as the owner of the database: stories about months that are over need them."""

import calendar
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from ledger.ids import uuid7
from ledger.money import CURRENCY
from ledger.rating import cost
from ledger.selectors import today
from ledger.services import fiscal_year_open
from teams.models import User
from tests.allocations.desk import Desk

NAMES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")


@dataclass(frozen=True)
class Used:
    """What a call of the past used; a cost of its own when the provider reported no usage."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    cost: Decimal | None = None
    overage: Decimal = Decimal(0)
    kind: str = ""
    tags: dict[str, str] = field(default_factory=dict)


def last_month() -> date:
    """Return the first day of the month before today's."""
    return (today().replace(day=1) - timedelta(days=1)).replace(day=1)


def month_end(first: date) -> date:
    """Return the last day of a month."""
    return first.replace(day=calendar.monthrange(first.year, first.month)[1])


def open_year_from_last_month(actor: User) -> None:
    """Open a fiscal year that began with the last month, so that both months have a period."""
    fiscal_year_open(actor=actor, first_day=last_month())


def noon(day: date, hour: int = 12) -> datetime:
    """Return an hour of a day, UTC."""
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def call_at(
    owner: psycopg.Connection, desk: Desk, moment: datetime, used: Used, *, sent_at: datetime | None = None
) -> None:
    """Write the record of a call that was settled at a moment, and charge its line and key; commits."""
    total = cost(desk.rate, used) if used.cost is None else used.cost
    charged = total - used.overage
    row: dict[str, Any] = {
        "request_id": uuid7(moment),
        "sent_at": sent_at or moment,
        "settled_at": moment,
        "account_id": desk.line.account_id,
        "team_id": desk.allocation.team_id,
        "key_id": desk.key.pk,
        "provider_id": desk.model.provider_id,
        "model_id": desk.model.pk,
        "rate_id": desk.rate.pk,
        "model_asked": desk.model.name,
        "model_returned": desk.model.name,
        "surface": "chat/completions",
        "streamed": False,
        **{f"{name}_tokens": getattr(used, name) for name in NAMES},
        "currency": CURRENCY,
        "cost": total,
        "charged": charged,
        "overage": used.overage,
        "settle_kind": used.kind or ("exact" if used.cost is None else "bound"),
        "service_tier": "",
        "upstream_id": "",
        "tags": Jsonb(used.tags),
    }
    columns, marks = ", ".join(row), ", ".join(["%s"] * len(row))
    owner.execute(f"INSERT INTO ledger_usagerecord ({columns}) VALUES ({marks})".encode(), list(row.values()))  # noqa: S608
    owner.execute("UPDATE allocations_quota SET spent = spent + %s WHERE id = ANY(%s)", [charged, list(desk.chain)])
    owner.commit()


def period_to(owner: psycopg.Connection, first: date, *states: str) -> None:
    """Bring a period through states, as closing it does; commits."""
    for state in states:
        owner.execute("UPDATE ledger_period SET state = %s WHERE starts_on = %s", [state, first])
    owner.commit()
