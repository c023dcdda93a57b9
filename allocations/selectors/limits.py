"""A key's limits as its page shows them: what is spent and held of each, today, this month and in all."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from django.db.models import Q

from allocations.models import Quota, QuotaKey, Window
from allocations.models.quota import starts_on

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class LimitRow:
    """One span of a key's limits; money in the key's currency, None is no limit."""

    span: str
    starts_on: date | None
    limit: Decimal | None
    spent: Decimal
    held: Decimal
    token_limit: int | None
    tokens_spent: int
    tokens_held: int


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits of a key: by span, and its rates by name."""

    rows: list[LimitRow]
    rates: list[tuple[str, int]]

    @property
    def is_empty(self) -> bool:
        """Say whether nothing limits the key but its allocation."""
        return not self.rates and all(row.limit is None and row.token_limit is None for row in self.rows)


def key_limits(key: QuotaKey) -> Limits:
    """Return a key's limits as they stand now; a day or month without a call yet stands at zero."""
    now = datetime.now(UTC)
    current = Q(window_of=key, window=Window.DAY, starts_on=starts_on(Window.DAY, now))
    current |= Q(window_of=key, window=Window.MONTH, starts_on=starts_on(Window.MONTH, now))
    found = {quota.window: quota for quota in Quota.objects.filter(current | Q(key=key))}
    rows = [_row("In all", None, found[""])]
    for window, words in ((Window.DAY, "Today, UTC"), (Window.MONTH, "This month, UTC")):
        cap, tokens = getattr(key, f"{window}_cap"), getattr(key, f"{window}_tokens")
        if cap is not None or tokens is not None:
            first = starts_on(window, now)
            rows.append(_row(words, first, found.get(window) or Quota(limit=cap, token_limit=tokens, **_UNUSED)))
    return Limits(rows, _rates(found[""]))


_UNUSED = {"spent": ZERO, "held": ZERO, "tokens_spent": 0, "tokens_held": 0}


def _row(span: str, first: date | None, quota: Quota) -> LimitRow:
    tokens = (quota.token_limit, quota.tokens_spent, quota.tokens_held)
    return LimitRow(span, first, quota.limit, quota.spent, quota.held, *tokens)


def _rates(quota: Quota) -> list[tuple[str, int]]:
    rates = (
        ("Requests a minute", quota.requests_per_minute),
        ("Tokens a minute", quota.tokens_per_minute),
        ("Calls at once", quota.calls_at_once),
    )
    return [(name, rate) for name, rate in rates if rate is not None]
