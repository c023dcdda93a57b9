"""What the gateway keeps in memory about keys, allocations, models, providers and rates."""

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

SANDBOX = "sandbox"


@dataclass(frozen=True, slots=True)
class StepEntry:
    """The prices of calls with more than some tokens of input: USD per million tokens."""

    id: int
    above_input_tokens: int
    input: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    output: Decimal


@dataclass(frozen=True, slots=True)
class RateEntry:
    """An approved rate from a moment on, with its steps, shortest calls first."""

    valid_from: datetime
    steps: tuple[StepEntry, ...]

    @property
    def base(self) -> StepEntry:
        """Return the prices of short calls."""
        return self.steps[0]


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
    upstream_name: str
    """What the provider calls it."""
    tier: str
    backup_of: int | None
    """The id of the model that it stands in for."""
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
        """Say whether it can be called in a dialect, or in any (empty); the sandbox speaks all."""
        return not dialect or self.provider.dialect in (dialect, SANDBOX)


@dataclass(frozen=True, slots=True)
class Book:
    """All models that can be called: by name, by alias, and the backups of a model's id in the order of their use."""

    models: dict[str, ModelEntry]
    aliases: dict[str, ModelEntry] = field(default_factory=dict)
    backups: dict[int, tuple[ModelEntry, ...]] = field(default_factory=dict)
    upstream: dict[tuple[int, str], ModelEntry] = field(default_factory=dict)
    """By provider id and the name that the provider uses."""

    def named(self, name: str) -> ModelEntry | None:
        """Return the model of a name or alias."""
        return self.models.get(name) or self.aliases.get(name)


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
    models: frozenset[int]
    """The ids of the models that it may call; empty: all of its allocation's tiers."""
    windows: tuple[str, ...]
    """The recurring caps that it has: "day", "month"."""
    allocation: AllocationEntry

    def may_call(self, model: ModelEntry) -> bool:
        """Say whether a model is among those that this key may call."""
        return not self.models or model.id in self.models
