"""What the gateway keeps in memory about keys, allocations, models, providers and rates."""

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class RateEntry:
    """An approved rate: USD per million tokens from a moment on."""

    id: int
    valid_from: datetime
    input: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    output: Decimal


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """An enabled upstream."""

    id: int
    name: str
    dialect: str
    base_url: str
    credential: str | None = field(repr=False)
    """None when it cannot be decrypted."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """An enabled model of an enabled provider, with its approved rates, oldest first."""

    id: int
    name: str
    tier: str
    context_window: int
    default_output_cap: int
    least_output_cap: int
    provider: ProviderEntry
    rates: tuple[RateEntry, ...]

    def rate_at(self, moment: datetime) -> RateEntry | None:
        """Return the rate in force at a moment; None before the first."""
        if self.rates and self.rates[-1].valid_from <= moment:
            return self.rates[-1]
        place = bisect_right(self.rates, moment, key=lambda rate: rate.valid_from)
        return self.rates[place - 1] if place else None

    def speaks(self, dialect: str) -> bool:
        """Say whether it can be called in a dialect; the sandbox speaks all."""
        return self.provider.dialect in {dialect, "sandbox"}


@dataclass(frozen=True, slots=True)
class Book:
    """All models that can be called."""

    models: dict[str, ModelEntry]


@dataclass(frozen=True, slots=True)
class LineEntry:
    """An allocation line: what its calls are held against and charged to."""

    tier: str
    quota_id: int
    account_id: int


@dataclass(frozen=True, slots=True)
class AllocationEntry:
    """An allocation with its lines by tier."""

    id: int
    name: str
    state: str
    stop_behaviour: str
    starts_on: date
    ends_on: date
    team_id: int
    lines: dict[str, LineEntry]

    @property
    def number(self) -> str:
        """Return the number that people use, such as A-0042."""
        return f"A-{self.id:04d}"


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key by one of its secrets."""

    id: int
    name: str
    state: str
    expires_at: datetime | None
    secret_expires_at: datetime | None
    quota_id: int | None
    allocation: AllocationEntry
