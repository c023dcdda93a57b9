"""What a caller is told when a quota stops a call: which budget, what it has, and what to do."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from allocations.gateway.entries import KeyEntry
from allocations.gateway.refusal import Denied, Kind, Refusal
from allocations.metering.types import QuotaExhausted, Standing, Stop, Wish
from allocations.models import DenialReason, Window
from ledger.money import CURRENCY, plain, show

# These end with more budget, or at a cheaper tier; the others end by themselves or by somebody's hand.
SPENT = frozenset({Stop.MONEY, Stop.TOKENS})
LONGEST_WAIT_SECONDS = 60
RATES = {
    Stop.CALLS_AT_ONCE: "calls at once",
    Stop.REQUESTS_PER_MINUTE: "requests a minute",
    Stop.TOKENS_PER_MINUTE: "tokens a minute",
}
WINDOWS = {Window.DAY.value: "daily", Window.MONTH.value: "monthly"}


@dataclass(frozen=True, slots=True)
class Chain:
    """The quotas that a call has to fit, so that the one that stopped it has a name."""

    tier: str
    line_quota_id: int
    key: KeyEntry
    windows: dict[int, str]

    def is_line(self, quota_id: int) -> bool:
        """Say whether a quota is the allocation line's."""
        return quota_id == self.line_quota_id

    def name(self, quota_id: int) -> str:
        """Return a quota's name for people."""
        if self.is_line(quota_id):
            return f"the {self.tier} line of allocation {self.key.allocation.number}"
        window = WINDOWS.get(self.windows.get(quota_id, ""), "")
        return f"the {window + ' ' if window else ''}cap of key {self.key.name}"

    def label(self, quota_id: int) -> str:
        """Return a quota's name for programs: line:TIER, key:NAME, key:NAME:day."""
        if self.is_line(quota_id):
            return f"line:{self.tier}"
        window = self.windows.get(quota_id, "")
        return f"key:{self.key.name}:{window}" if window else f"key:{self.key.name}"


def stopped_by(stopped: QuotaExhausted, chain: Chain, wish: Wish, pages: str) -> Refusal:
    """Return the refusal of a call that a quota stopped."""
    if stopped.stop is Stop.CLOSED:
        return _closed(stopped, chain)
    return _exhausted(stopped, chain, wish, pages) if stopped.stop in SPENT else _too_fast(stopped, chain, wish)


def _closed(stopped: QuotaExhausted, chain: Chain) -> Refusal:
    key = chain.key
    if not chain.is_line(stopped.quota_id):
        words, denied = "This key has just been revoked or suspended.", DenialReason.KEY_REVOKED
        return Refusal(Kind.BAD_KEY, words, denied=Denied(denied.value, key.id))
    words, denied = f"Allocation {key.allocation.number} is not open for calls.", DenialReason.ALLOCATION_SHUT
    return Refusal(Kind.FORBIDDEN, words, denied=Denied(denied.value, key.id))


def _too_fast(stopped: QuotaExhausted, chain: Chain, wish: Wish) -> Refusal:
    seconds = min(max(math.ceil(stopped.seconds or 0), 1), LONGEST_WAIT_SECONDS)
    message = f"Key {chain.key.name} has reached its limit of {RATES[stopped.stop]}. Try again in {seconds} s."
    denied = Denied(DenialReason.RATE_LIMIT.value, chain.key.id, wish.bound)
    wait = (b"retry-after", str(seconds).encode())
    return Refusal(Kind.TOO_FAST, message, parameter=stopped.stop.value, headers=(wait,), denied=denied)


def _exhausted(stopped: QuotaExhausted, chain: Chain, wish: Wish, pages: str) -> Refusal:
    standing, name = stopped.standing, chain.name(stopped.quota_id)
    page = f"{pages}/allocations/{chain.key.allocation.id}/"
    words = _of_money if stopped.stop is Stop.MONEY else _of_tokens
    message = f"Budget exhausted: this call may {words(standing, wish, name)}. Ask for more at {page}"
    details: dict[str, Any] = {
        "budget": chain.label(stopped.quota_id),
        "allocation": chain.key.allocation.number,
        **(_money(standing, wish) if stopped.stop is Stop.MONEY else _tokens(standing, wish)),
        "ask_at": page,
    }
    denied = Denied(_reason(stopped, chain).value, chain.key.id, wish.bound)
    return Refusal(Kind.BUDGET, message, details=details, headers=_remaining(stopped), denied=denied)


def _reason(stopped: QuotaExhausted, chain: Chain) -> DenialReason:
    if stopped.stop is Stop.TOKENS:
        return DenialReason.TOKEN_LIMIT
    return DenialReason.LINE_EMPTY if chain.is_line(stopped.quota_id) else DenialReason.KEY_CAP


def _remaining(stopped: QuotaExhausted) -> tuple[tuple[bytes, bytes], ...]:
    standing = stopped.standing
    return () if standing.limit is None else ((b"x-tank-remaining", plain(standing.available).encode()),)


def _of_money(standing: Standing, wish: Wish, name: str) -> str:
    limit = standing.limit if standing.limit is not None else standing.spent + standing.held
    return (
        f"cost up to {show(_least(wish))}, and {name} has {show(standing.available)} of {show(limit)} left "
        f"({show(standing.spent)} spent, {show(standing.held)} held by calls in flight)"
    )


def _of_tokens(standing: Standing, wish: Wish, name: str) -> str:
    return (
        f"use up to {_least_tokens(wish):,} tokens, and {name} has {standing.tokens_available:,} of "
        f"{standing.token_limit:,} tokens left ({standing.tokens_spent:,} spent, {standing.tokens_held:,} held by "
        "calls in flight)"
    )


def _money(standing: Standing, wish: Wish) -> dict[str, Any]:
    return {
        "currency": CURRENCY,
        "limit": plain(standing.limit if standing.limit is not None else standing.spent + standing.held),
        "spent": plain(standing.spent),
        "held": plain(standing.held),
        "remaining": plain(standing.available),
        "needed": plain(_least(wish)),
    }


def _tokens(standing: Standing, wish: Wish) -> dict[str, Any]:
    return {
        "unit": "tokens",
        "limit": standing.token_limit,
        "spent": standing.tokens_spent,
        "held": standing.tokens_held,
        "remaining": standing.tokens_available,
        "needed": _least_tokens(wish),
    }


def _least(wish: Wish) -> Decimal:
    return wish.bound if wish.least is None else wish.least


def _least_tokens(wish: Wish) -> int:
    return wish.tokens if wish.least_tokens is None else wish.least_tokens
