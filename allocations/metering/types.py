"""What goes into the metering hook and what comes out."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Hold:
    """Money reserved for one call on every quota of its chain. Its request id makes the settle unrepeatable."""

    request_id: UUID
    worker: UUID
    quota_ids: tuple[int, ...]
    bound: Decimal
    sent_at: datetime
    remaining: Decimal
    """What was left of the first quota (the line) after this hold, in its currency."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token counts of one call, in exclusive classes; reasoning is inside output."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class CallFacts:
    """Everything a usage record keeps about a finished call."""

    tokens: Tokens
    cost: Decimal
    account_id: int
    team_id: int
    key_id: int
    provider_id: int
    model_id: int
    rate_id: int
    model_asked: str
    model_returned: str
    surface: str
    streamed: bool
    settle_kind: str
    service_tier: str = ""
    upstream_id: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    served_because: str = ""


@dataclass(frozen=True, slots=True)
class Charge:
    """What a settle did, durable when it is returned."""

    cost: Decimal
    charged: Decimal
    overage: Decimal
    remaining: Decimal
    """What is left of the first quota (the line)."""


class QuotaExhausted(Exception):
    """A call does not fit: says which quota stopped it and how that quota stands."""

    def __init__(self, *, quota_id: int, limit: Decimal, spent: Decimal, held: Decimal, is_open: bool) -> None:
        super().__init__(f"quota {quota_id} has {limit - spent - held} left")
        self.quota_id, self.limit, self.spent, self.held, self.is_open = quota_id, limit, spent, held, is_open

    @property
    def available(self) -> Decimal:
        """Return limit minus spent minus held."""
        return self.limit - self.spent - self.held


class MeterUnavailable(Exception):
    """The database cannot be reached: nothing is admitted."""


class Meter(Protocol):
    """The hook that a gateway talks to."""

    async def admit(self, *, quota_ids: tuple[int, ...], bound: Decimal, least: Decimal | None = None) -> Hold:
        """Reserve `bound`, or what is left when only `least` or more of it fits, on every quota named.

        The first quota id is the allocation line's. Raises QuotaExhausted or MeterUnavailable.
        """
        ...

    async def settle(self, hold: Hold, facts: CallFacts) -> Charge:
        """Charge the cost, release the hold and record the usage; returns after the commit (or the spool's fsync)."""
        ...

    async def void(self, hold: Hold) -> None:
        """Release the hold of a call that cost nothing because no upstream accepted it."""
        ...
