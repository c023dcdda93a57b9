"""What goes into the metering hook and what comes out."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, Protocol
from uuid import UUID

UNLIMITED = Decimal("Infinity")
NO_TAGS: Mapping[str, str] = MappingProxyType({})


class Hold(NamedTuple):
    """Money reserved for one call on every quota of its chain. Its request id makes the settle unrepeatable."""

    request_id: UUID
    worker: UUID
    quota_ids: tuple[int, ...]
    bound: Decimal
    tokens: int
    """Tokens held on every quota of the chain, input and output together."""
    sent_at: datetime
    remaining: Decimal
    """What was left of the first quota (the line) after this hold, in its currency."""


class Tokens(NamedTuple):
    """Token counts of one call, in exclusive classes; reasoning is inside output."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0

    @property
    def total(self) -> int:
        """Return input of all classes and output together: what token limits count."""
        return self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h + self.output


class CallFacts(NamedTuple):
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
    served_because: str = ""
    upstream_id: str = ""
    tags: Mapping[str, str] = NO_TAGS


class Charge(NamedTuple):
    """What a settle did, durable when it is returned."""

    cost: Decimal
    charged: Decimal
    overage: Decimal
    remaining: Decimal
    """What is left of the first quota (the line)."""


class Wish(NamedTuple):
    """What a call asks to have held: its bound in money and tokens, or less, down to the least that it can do with."""

    quota_ids: tuple[int, ...]
    """The allocation line's first, then those of the key."""
    bound: Decimal
    tokens: int
    at: datetime
    """When the call was asked for; it decides the windows, and is kept as the time it was sent."""
    least: Decimal | None = None
    least_tokens: int | None = None


class Stop(StrEnum):
    """What stopped a call at a quota."""

    CLOSED = "closed"
    MONEY = "money"
    TOKENS = "tokens"
    CALLS_AT_ONCE = "calls_at_once"
    REQUESTS_PER_MINUTE = "requests_per_minute"
    TOKENS_PER_MINUTE = "tokens_per_minute"


class Standing(NamedTuple):
    """How a quota stands after a commit; None is no limit. Money in the quota's currency."""

    limit: Decimal | None
    spent: Decimal
    held: Decimal
    is_open: bool
    token_limit: int | None = None
    tokens_spent: int = 0
    tokens_held: int = 0

    @property
    def available(self) -> Decimal:
        """Return limit minus spent minus held; infinite without a limit."""
        return UNLIMITED if self.limit is None else self.limit - self.spent - self.held

    @property
    def tokens_available(self) -> int | None:
        """Return the tokens that are left; None without a limit."""
        return None if self.token_limit is None else self.token_limit - self.tokens_spent - self.tokens_held


class QuotaExhausted(Exception):
    """A call is not admitted: says which quota stopped it, why, and how that quota stands."""

    def __init__(self, quota_id: int, stop: Stop, standing: Standing, seconds: float | None = None) -> None:
        super().__init__(f"quota {quota_id}: {stop}")
        self.quota_id, self.stop, self.standing = quota_id, stop, standing
        self.seconds = seconds
        """For a rate: after how many seconds it would let the call pass."""


class MeterUnavailable(Exception):
    """The database cannot be reached: nothing is admitted."""


class Meter(Protocol):
    """The hook that a gateway talks to."""

    async def admit(self, wish: Wish) -> Hold:
        """Reserve the bound, or what is left when only the least or more of it fits, on every quota named.

        Raises QuotaExhausted or MeterUnavailable.
        """
        ...

    async def settle(self, hold: Hold, facts: CallFacts) -> Charge:
        """Charge the cost, release the hold and record the usage; returns after the commit (or the spool's fsync)."""
        ...

    async def void(self, hold: Hold) -> None:
        """Release the hold of a call that cost nothing because no upstream accepted it."""
        ...
