"""What reconciliation asks of the floor above, which keeps the hot path of every allocation line.

That floor registers itself in its `AppConfig.ready`, so that no floor imports one above it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Protocol

from ledger.models import Account, AiModel
from teams.models import User


@dataclass(frozen=True, slots=True)
class HeldCalls:
    """Calls that were lost in a crash and are still held: on which line, of which day (UTC), at most how much."""

    ref: str
    account_id: int
    tier: str
    day: date
    amount: Decimal
    words: str


class HotPath(Protocol):
    """What the floor above answers and does."""

    def room(self, account: Account) -> Decimal:
        """Return what a line can still pay, in its currency, and keep it so until the transaction ends."""
        ...

    def held(self, days: Iterable[date]) -> Sequence[HeldCalls]:
        """Return the calls of these days that were lost in a crash and are still held."""
        ...

    def settle(
        self, *, actor: User, held: HeldCalls, model: AiModel, cost: Decimal, tokens: Mapping[str, int], reason: str
    ) -> bool:
        """Settle lost calls from the provider's figures; says whether it could be done now."""
        ...

    def release(self, *, actor: User, held: HeldCalls, reason: str) -> bool:
        """Give back what is held for lost calls that were never made; says whether it could be done now."""
        ...

    def overage(self, *, actor: User, account: Account, amount: Decimal, reason: str) -> None:
        """Suspend the keys of a line that could not pay a correction, and tell people."""
        ...


_REGISTERED: list[HotPath] = []


def register(hot_path: HotPath) -> None:
    """Say who keeps the hot path; the last one says it."""
    _REGISTERED[:] = [hot_path]


def hot_path() -> HotPath:
    """Return who keeps the hot path."""
    return _REGISTERED[0]
