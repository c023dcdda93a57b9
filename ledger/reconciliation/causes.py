"""Why the two sides of a line differ, by rule, and which accounts take the difference. Pure: figures in, verdict out.

The difference is taken apart as cost accounting does (volume and price variance, e.g. Horngren, Cost Accounting,
ch. 7): what more or fewer tokens cost at our rate, and what the provider charges otherwise for those that it counts:

    reported - metered = sum over classes of (q_reported - q_metered) * our price
                       + reported - metered - that

Rules then take from each part what they can show. What no rule shows stays unexplained.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_FLOOR, Decimal

from ledger.models.feeds import TOKEN_CLASSES, Charge, KeyStanding
from ledger.models.reconciliation import AttributionRule, Cause, Outcome
from ledger.money import plain, show

ZERO = Decimal(0)
QUANTUM = Decimal("1e-12")
MILLION = Decimal(1_000_000)
NAMES = {
    "input": "uncached input",
    "cache_read": "cached input",
    "cache_write_5m": "cache writes (5 min)",
    "cache_write_1h": "cache writes (1 h)",
    "output": "output",
}
Tokens = Mapping[str, int]
Prices = Mapping[str, Decimal]  # per million tokens
DEFAULT_TIERS = frozenset({"", "default", "standard", "auto"})
LIST_SHARE = Decimal("0.5")  # what both providers ask for batches, of the price
NO_FURTHER = Decimal(4)  # a price more than so many times another is no change of price but another thing


@dataclass(frozen=True, slots=True)
class Policy:
    """What finance lets pass."""

    tolerance: Decimal
    share: Decimal
    days_to_wait: int

    def passes(self, rest: Decimal, reported: Decimal) -> bool:
        """Say whether an amount is within the tolerance."""
        return abs(rest) <= max(self.tolerance, self.share * abs(reported))


@dataclass(frozen=True, slots=True)
class RateRow:
    """A row of the rate card that may have been charged."""

    pk: int
    prices: Prices
    valid_from: date


@dataclass(frozen=True, slots=True)
class Part:
    """A part of what the provider reports of a line, at one service tier; `token_class` says which an amount is of."""

    tokens: Tokens
    amount: Decimal
    token_class: str = ""
    service_tier: str = ""
    is_batch: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """Calls of an account that were lost in a crash and are still held: at most `amount`."""

    account: int
    amount: Decimal
    words: str


@dataclass(frozen=True, slots=True)
class Side:
    """What one side counts."""

    calls: int
    tokens: Tokens
    amount: Decimal


@dataclass(frozen=True)
class Facts:
    """A line and all that may explain it."""

    day: date
    today: date
    policy: Policy
    metered: Side
    reported: Side
    charge: str = Charge.TOKENS
    has_tokens: bool = True
    has_money: bool = True
    is_complete: bool = True
    is_known_model: bool = True
    key: str = ""  # of other traffic than the gateway's: its name, and how it stands
    key_standing: str = KeyStanding.GATEWAY
    key_account: int | None = None
    gateway_keys: tuple[str, ...] = ()
    rate: RateRow | None = None
    other_rates: tuple[RateRow, ...] = ()
    parts: tuple[Part, ...] = ()
    estimated_calls: int = 0
    estimated: Tokens = field(default_factory=dict)
    estimated_by: Mapping[int, Decimal] = field(default_factory=dict)
    held: tuple[Held, ...] = ()
    before: Tokens = field(default_factory=dict)  # what the day before has too much or too little, by class
    after: Tokens = field(default_factory=dict)
    used_by: Mapping[int, Decimal] = field(default_factory=dict)
    used_by_both: Mapping[date, Mapping[int, Decimal]] = field(default_factory=dict)  # with the day before, or after
    decided: Decimal | None = None
    decided_words: str = ""
    decided_to: Mapping[int, Decimal] = field(default_factory=dict)
    settled_lost: int = 0  # calls lost in a crash that were settled from the provider's figures, or by hand
    settled_tokens: Tokens = field(default_factory=dict)
    settled_cost: Decimal = ZERO
    settled_by: Mapping[int, Decimal] = field(default_factory=dict)
    variance: int = 0

    @property
    def difference(self) -> Decimal:
        """Return what the provider reports more than was metered."""
        return self.reported.amount - self.metered.amount

    @property
    def gap(self) -> dict[str, int]:
        """Return how many tokens the provider counts more, by class, where it counts others at all."""
        if not self.has_tokens:
            return {}
        gaps = {name: self.reported.tokens.get(name, 0) - self.metered.tokens.get(name, 0) for name in TOKEN_CLASSES}
        return {name: gap for name, gap in gaps.items() if gap}


@dataclass(frozen=True, slots=True)
class Explanation:
    """One cause: how much of the difference it is, what shows it, which accounts take it (none: finance decides)."""

    cause: Cause
    amount: Decimal
    evidence: str
    takers: Mapping[int, Decimal] = field(default_factory=dict)
    rule: AttributionRule = AttributionRule.SHARE


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a line ends."""

    outcome: Outcome
    explanations: tuple[Explanation, ...] = ()
    unexplained: Decimal = ZERO
    is_agreed: bool = False
    attributions: tuple[tuple[int, Decimal, AttributionRule], ...] = ()


def judge(facts: Facts) -> Verdict:
    """Return how a line ends, and why."""
    found = tuple(_explain(facts))
    rest = facts.difference - sum((one.amount for one in found), ZERO)
    if facts.decided is None and _is_early(facts, rest):
        return Verdict(Outcome.WAITING, (_late(facts),), unexplained=rest)
    if not facts.policy.passes(rest, facts.reported.amount):
        return Verdict(Outcome.OPEN, found, rest)
    if not found and _is_equal(facts):
        return _equal(facts)
    outcome = Outcome.EXPLAINED if found else Outcome.WITHIN
    if any(not one.takers for one in found):
        return Verdict(outcome, found, rest)
    return Verdict(outcome, found, rest, is_agreed=True, attributions=_attributions(facts, found, rest))


def _is_equal(facts: Facts) -> bool:
    return not facts.difference and not facts.gap


def _equal(facts: Facts) -> Verdict:
    """Return that both sides agree, and whether they do because the provider's figures settled lost calls."""
    if not facts.settled_lost:
        return Verdict(Outcome.MATCHED, is_agreed=True)
    words = f"{facts.settled_lost} lost calls or groups of them were settled from the provider's figures."
    return Verdict(Outcome.EXPLAINED, (Explanation(Cause.UNSETTLED, ZERO, words),), is_agreed=True)


def _is_early(facts: Facts, rest: Decimal) -> bool:
    """Say whether the provider lacks figures that may still come: it has less, and the day is young or not complete."""
    is_young = facts.today <= facts.day + timedelta(days=facts.policy.days_to_wait)
    lacks = rest < 0 or any(gap < 0 for gap in facts.gap.values())
    return lacks and (not facts.is_complete or is_young) and not facts.policy.passes(rest, facts.reported.amount)


def _late(facts: Facts) -> Explanation:
    until = facts.day + timedelta(days=facts.policy.days_to_wait)
    why = "says that more is to come" if not facts.is_complete else f"may still report it: finance waits until {until}"
    return Explanation(Cause.LATE, ZERO, f"The provider {why}.")


def _explain(facts: Facts) -> Iterable[Explanation]:
    """Go through the causes that can be shown, each with its part of the difference."""
    if facts.decided is not None:
        return [
            Explanation(Cause.DECIDED, facts.decided, facts.decided_words, facts.decided_to, AttributionRule.DECIDED)
        ]
    if facts.charge != Charge.TOKENS:
        return _other_charge(facts)
    if facts.key_standing != KeyStanding.GATEWAY:
        return _foreign(facts)
    if not facts.reported.amount and facts.has_money and not facts.metered.amount:
        return []
    volume = _volume(facts)
    return [*volume, *_price(facts, volume)]


CHARGES = {Charge.CREDIT: Cause.CREDIT, Charge.MINIMUM: Cause.MINIMUM, Charge.TOOL: Cause.TOOL}


def _other_charge(facts: Facts) -> list[Explanation]:
    cause = CHARGES.get(Charge(facts.charge))
    if cause is None or not facts.difference:
        return []
    words = f"The provider charges {show(facts.difference)} that is not for tokens: {cause.label.lower()}."
    return [Explanation(cause, facts.difference, words)]


def _foreign(facts: Facts) -> list[Explanation]:
    """Return the traffic of a key that is not the gateway's: the provider has it, and it was not metered."""
    if not facts.difference and not facts.gap:
        return []
    if not facts.is_known_model and not facts.has_money:
        return []  # what it costs cannot be said: no rate, and no figure of the provider
    whose = "nobody has said whose it is" if facts.key_standing == KeyStanding.UNKNOWN else "it is used past Tank"
    words = f"Key {facts.key}, {whose}: {_counts(facts.reported)}."
    takers = {facts.key_account: facts.difference} if facts.key_account else {}
    return [Explanation(Cause.UNMETERED, facts.difference, words, takers, AttributionRule.KEY)]


# --- More or fewer tokens -----------------------------------------------------------------------


def _volume(facts: Facts) -> list[Explanation]:
    """Return what explains that the two sides count other tokens: one rule must show all of it."""
    gap = facts.gap
    if not gap or facts.rate is None:
        return []
    for rule in (_midnight, _cache, _unsettled, _settled, _estimated, _unmetered):
        found = rule(facts, gap, at_prices(gap, facts.rate.prices))
        if found:
            return [found]
    return []


def _midnight(facts: Facts, gap: Tokens, amount: Decimal) -> Explanation | None:
    """Return calls that the provider has on the next day or the one before: the other day's gap is its opposite."""
    for day, other in ((facts.day - timedelta(days=1), facts.before), (facts.day + timedelta(days=1), facts.after)):
        if other and all(gap.get(name, 0) == -other.get(name, 0) for name in TOKEN_CLASSES):
            words = f"The provider has these calls on {day if _first(gap) < 0 else facts.day}: {_tokens(gap)}."
            # Both days' users take both sides of it, so that it comes to nothing for each of them.
            return Explanation(Cause.MIDNIGHT, amount, words, facts.used_by_both[day])
    return None


def _cache(facts: Facts, gap: Tokens, amount: Decimal) -> Explanation | None:
    """Return input that was counted in another class: altogether it is as much, and so is the output."""
    if sum(gap.values()) or gap.get("output"):
        return None
    return Explanation(Cause.CACHE, amount, f"The same input in other classes: {_tokens(gap)}.", facts.used_by)


def _unsettled(facts: Facts, gap: Tokens, amount: Decimal) -> Explanation | None:
    """Return calls that were lost in a crash: the provider has more, and no more than what is still held for them."""
    room = sum((held.amount for held in facts.held), ZERO)
    if min(gap.values()) < 0 or not 0 < amount <= room:
        return None
    words = f"{'; '.join(held.words for held in facts.held)}. The provider has {_tokens(gap)} more."
    # No account takes it as a difference: the calls are settled, out of what is held for them, and then metered.
    return Explanation(Cause.UNSETTLED, amount, words, rule=AttributionRule.LOST)


def _settled(facts: Facts, gap: Tokens, amount: Decimal) -> Explanation | None:
    """Return lost calls that were settled from earlier figures, or by hand: now it is known what they used.

    They used no less than nothing, and at most twice what was charged for them: what is more may be other calls.
    """
    if not facts.settled_lost or facts.rate is None:
        return None
    now = {name: gap.get(name, 0) + facts.settled_tokens.get(name, 0) for name in TOKEN_CLASSES}
    change = at_prices(now, facts.rate.prices) - facts.settled_cost
    if min(now.values()) < 0 or abs(change) > facts.settled_cost:
        return None
    words = f"Lost calls that were settled before used {_tokens(gap)}."
    return Explanation(Cause.UNSETTLED, change, words, facts.settled_by, AttributionRule.LOST)


def _estimated(facts: Facts, gap: Tokens, amount: Decimal) -> Explanation | None:
    """Return calls whose usage was estimated: with what the provider counts, none of them used less than nothing."""
    if not facts.estimated_calls or _more_calls(facts):
        return None
    exact = {name: facts.metered.tokens.get(name, 0) - facts.estimated.get(name, 0) for name in TOKEN_CLASSES}
    if any(facts.reported.tokens.get(name, 0) < exact[name] for name in TOKEN_CLASSES):
        return None
    words = f"{facts.estimated_calls} of {facts.metered.calls} calls were estimated; they used {_tokens(gap)}."
    return Explanation(Cause.ESTIMATED, amount, words, facts.estimated_by, AttributionRule.ESTIMATE)


def _unmetered(facts: Facts, gap: Tokens, amount: Decimal) -> Explanation | None:
    """Return calls with the gateway's own key that were not metered: the provider has more of them."""
    if min(gap.values()) < 0 or not _more_calls(facts):
        return None
    keys = ", ".join(facts.gateway_keys) or "of the gateway, which the feed does not name"
    calls = facts.reported.calls - facts.metered.calls
    words = f"The provider has {calls} calls more, {_tokens(gap)}, with the key {keys}."
    return Explanation(Cause.UNMETERED, amount, words)


def _more_calls(facts: Facts) -> bool:
    return facts.reported.calls > facts.metered.calls


def at_prices(tokens: Tokens, prices: Prices) -> Decimal:
    """Return what tokens cost at prices per million, in the currency of the prices."""
    return sum((count * prices[name] for name, count in tokens.items()), ZERO) / MILLION


# --- Another price for the same tokens ----------------------------------------------------------


def _price(facts: Facts, volume: Sequence[Explanation]) -> list[Explanation]:
    """Return what explains that the provider charges otherwise for the tokens that it counts."""
    gap = facts.gap
    if not facts.has_money or facts.rate is None or (gap and not volume):
        return []
    amount = facts.difference - sum((one.amount for one in volume), ZERO)
    if facts.policy.passes(amount, facts.reported.amount):
        return []
    rules: tuple[Callable[[Facts, Decimal], Explanation | None], ...] = (_batch, _tier, _discount, _changed)
    for rule in rules:
        found = rule(facts, amount)
        if found:
            return [found]
    return []


def _batch(facts: Facts, amount: Decimal) -> Explanation | None:
    """Return the half price of batches, where it is what the difference is."""
    tokens = _sum_tokens(part.tokens for part in facts.parts if part.is_batch)
    return _share_of(facts, amount, tokens, LIST_SHARE, Cause.BATCH, "Batch calls at half the price")


def _share_of(
    facts: Facts, amount: Decimal, tokens: Tokens, share: Decimal, cause: Cause, words: str
) -> Explanation | None:
    if facts.rate is None or not any(tokens.values()):
        return None
    expected = -at_prices(tokens, facts.rate.prices) * share
    if not facts.policy.passes(amount - expected, facts.reported.amount):
        return None
    return Explanation(cause, amount, f"{words}: {_tokens(tokens)}.", facts.used_by)


def _tier(facts: Facts, amount: Decimal) -> Explanation | None:
    """Return another price of another service tier, where a part of the tokens was served at one."""
    others = {part.service_tier for part in facts.parts if part.service_tier not in DEFAULT_TIERS}
    tokens = _sum_tokens(part.tokens for part in facts.parts if part.service_tier in others)
    if facts.rate is None or not any(tokens.values()):
        return None
    at_rate = at_prices(tokens, facts.rate.prices)
    times = (at_rate + amount) / at_rate
    if not Decimal(1) / NO_FURTHER <= times <= NO_FURTHER:
        return None
    words = f"Service tier {', '.join(sorted(others))} at {_times(times)} times the price: {_tokens(tokens)}."
    return Explanation(Cause.TIER, amount, words, facts.used_by)


def _discount(facts: Facts, amount: Decimal) -> Explanation | None:
    """Return one share off the price of every class."""
    charged = _charged(facts)
    if len(charged) < 2 or facts.rate is None:
        return None
    shares = {name: paid / at_prices({name: count}, facts.rate.prices) for name, (count, paid) in charged.items()}
    least, most = min(shares.values()), max(shares.values())
    if most >= 1 or most - least > Decimal("0.0001"):
        return None
    words = f"{plain(((1 - least) * 100).quantize(Decimal('0.01')))} % off every class of tokens."
    return Explanation(Cause.DISCOUNT, amount, words, facts.used_by)


def _changed(facts: Facts, amount: Decimal) -> Explanation | None:
    """Return another price: a row of the rate card that fits exactly, else what the provider charges for each class."""
    tokens = facts.reported.tokens if facts.has_tokens else facts.metered.tokens
    if facts.rate is None or not any(tokens.values()) or facts.reported.amount <= 0:
        return None
    for other in facts.other_rates:
        if facts.policy.passes(at_prices(tokens, other.prices) - facts.reported.amount, facts.reported.amount):
            words = f"The provider charges rate #{other.pk} (from {other.valid_from}), we charge rate #{facts.rate.pk}."
            return Explanation(Cause.PRICE, amount, words, facts.used_by)
    times = facts.reported.amount / (facts.reported.amount - amount) if facts.reported.amount != amount else ZERO
    if not Decimal(1) / NO_FURTHER <= times <= NO_FURTHER:
        return None
    return Explanation(Cause.PRICE, amount, _price_words(facts, facts.rate, times), facts.used_by)


def _price_words(facts: Facts, rate: RateRow, times: Decimal) -> str:
    """Say which class is charged at which price, where the provider tells; else how many times ours it is."""
    told = []
    for name, (count, paid) in _charged(facts).items():
        price = paid / count * MILLION
        if abs(price - rate.prices[name]) > Decimal("0.0001"):
            told.append(f"{NAMES[name]} {show(price)} (rate #{rate.pk}: {show(rate.prices[name])})")
    if told:
        return f"Per million tokens the provider charges {', '.join(told)}."
    return f"The provider charges {_times(times)} times what rate #{rate.pk} says."


def _charged(facts: Facts) -> dict[str, tuple[int, Decimal]]:
    """Return by class how many tokens were charged and what was paid for them, where the provider tells both."""
    paid: dict[str, Decimal] = {}
    for part in facts.parts:
        if part.token_class and part.amount:
            paid[part.token_class] = paid.get(part.token_class, ZERO) + part.amount
    prices = facts.rate.prices if facts.rate else {}
    counts = {name: facts.reported.tokens.get(name, 0) for name in paid}
    return {name: (counts[name], paid[name]) for name in TOKEN_CLASSES if counts.get(name) and prices.get(name)}


# --- Who takes it -------------------------------------------------------------------------------


def _attributions(
    facts: Facts, found: Sequence[Explanation], rest: Decimal
) -> tuple[tuple[int, Decimal, AttributionRule], ...]:
    """Return what each account takes of the difference: the explained parts by their rule, the rest Variance."""
    parts: dict[tuple[int, AttributionRule], Decimal] = {}
    for one in found:
        for account, amount in allocate(one.amount, one.takers).items():
            parts[account, one.rule] = parts.get((account, one.rule), ZERO) + amount
    if rest:
        key = (facts.variance, AttributionRule.TOLERANCE)
        parts[key] = parts.get(key, ZERO) + rest
    return tuple((account, amount, rule) for (account, rule), amount in sorted(parts.items()) if amount)


def allocate(amount: Decimal, weights: Mapping[int, Decimal]) -> dict[int, Decimal]:
    """Split an amount by weights, to 12 places and without a remainder (largest remainder method, Hamilton's).

    An amount and its opposite are split alike. Weights below zero count as their size; all zero, they are alike.
    """
    sizes = {key: abs(weight) for key, weight in sorted(weights.items())}
    total = sum(sizes.values(), ZERO)
    if not total:
        sizes, total = dict.fromkeys(sizes, Decimal(1)), Decimal(len(sizes))
    size = abs(amount)
    exact = {key: size * weight / total for key, weight in sizes.items()}
    parts = {key: share.quantize(QUANTUM, ROUND_FLOOR) for key, share in exact.items()}
    missing = int((size - sum(parts.values(), ZERO)) / QUANTUM)
    for key in sorted(parts, key=lambda key: (parts[key] - exact[key], key))[:missing]:
        parts[key] += QUANTUM
    return {key: part.copy_sign(amount) for key, part in parts.items() if part}


# --- Words --------------------------------------------------------------------------------------


def _tokens(tokens: Tokens) -> str:
    told = [f"{count:+,} {NAMES[name]}".replace("-", "\N{MINUS SIGN}") for name, count in tokens.items() if count]
    return f"{', '.join(told)} tokens"


def _counts(side: Side) -> str:
    calls = f"{side.calls:,} calls, " if side.calls else ""
    return f"{calls}{sum(side.tokens.values()):,} tokens, {show(side.amount)}"


def _times(times: Decimal) -> str:
    return plain(times.quantize(Decimal("0.0001")))


def _first(tokens: Tokens) -> int:
    return next((count for count in tokens.values() if count), 0)


def _sum_tokens(parts: Iterable[Tokens]) -> dict[str, int]:
    total: dict[str, int] = {}
    for tokens in parts:
        for name, count in tokens.items():
            total[name] = total.get(name, 0) + count
    return total
