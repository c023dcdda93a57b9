"""The offers that the system makes for every pitch, and what each is worth: pure arithmetic over the kept quote.

Nobody volunteers a cheaper offer, so none is asked for: every pitch on the ballot gets the same ones, made from the
quote that was kept with its revision. Costs are what the quote expected over the round's months, each tier rounded
up to the cent.

- `full`: the target, as asked. `partial`: the minimum. `stretch`: the stretch, where it differs.
- `cheaper`: the whole work on a cheaper tier, one offer for each that has a model.
- `cascade`: easy calls go to the next cheaper tier, the rest as asked.
- `batch`: the whole work on the batch tier, where nobody waits for the answers.

An offer that the system makes is kept only where it costs less than what was asked. The value of a smaller or larger
ask is scaled by its share of the calls at target: linear, because a team's own figures say what the target is worth
and nothing about the curve, and a straight line is what everybody can check. A committee that believes in
diminishing returns says so in its scores.

Quality is the team's own measurement where there is one. Where there is none these policy values stand:

- one tier down 0.9, two tiers down 0.75: what a change of tier costs on mixed office work before anybody tunes it;
- batch 1: the same models answer, later;
- cascade: sixty in a hundred calls count as easy, which is what a router can send down without being told; they are
  charged the full loss of the cheaper tier although they are the easy ones, so the figure errs on the safe side.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

from django.db import models

from ledger.models import Tier
from pitches.questions import Basis, Case, Latency
from pitches.quotes import CENT, in_cents

LADDER = (Tier.FRONTIER, Tier.STANDARD, Tier.ECONOMY)
"""The tiers that answer at once, dearest first; batch stands beside them."""
POLICY_QUALITY = {0: Decimal(1), 1: Decimal("0.9"), 2: Decimal("0.75")}
"""Quality by tiers down from what was asked, where nothing is measured."""
EASY_SHARE = Decimal("0.6")
CAN_WAIT = frozenset({Latency.MINUTES, Latency.OVERNIGHT})
PLACES = Decimal("0.0001")


class OptionCode(models.TextChoices):
    """Which offer it is."""

    FULL = "full", "As asked"
    PARTIAL = "partial", "The minimum"
    STRETCH = "stretch", "The stretch"
    CHEAPER = "cheaper", "All on a cheaper tier"
    CASCADE = "cascade", "Easy calls on a cheaper tier"
    BATCH = "batch", "All of it in batch"


ASKED = frozenset({OptionCode.FULL, OptionCode.PARTIAL, OptionCode.STRETCH})
"""What the team itself asked for; the other offers are the system's."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What options are made from: the kept quote (USD over the period), calls per month by case, and the value."""

    value: Decimal
    latency: Latency
    calls: Mapping[Case, int]
    quote: Mapping[tuple[Basis, Case, Tier], Decimal]
    measured: Mapping[Tier, Decimal]
    batches_an_item: bool = False

    def asked(self, case: Case) -> dict[Tier, Decimal]:
        """Return what the ask costs by tier, without tiers that cost nothing."""
        costs = {tier: self.quote.get((Basis.ASKED, case, tier), Decimal(0)) for tier in Tier}
        return {tier: cost for tier, cost in costs.items() if cost > 0}

    def whole(self, tier: Tier) -> dict[Tier, Decimal] | None:
        """Return what the whole work at target costs on a tier, its batch share apart; None without a model."""
        cost = self.quote.get((Basis.WHOLE, Case.TARGET, tier))
        if cost is None:
            return None
        # What can wait is priced on batch in every column of the quote, so it is the ask's own batch part; an item
        # that was asked on batch as a whole is not in it, and then nothing can be told apart.
        waiting = self.asked(Case.TARGET).get(Tier.BATCH, Decimal(0))
        if tier == Tier.BATCH or not waiting or self.batches_an_item or waiting >= cost:
            return {tier: cost}
        return {tier: cost - waiting, Tier.BATCH: waiting}


@dataclass(frozen=True, slots=True)
class Made:
    """One offer: what it costs on each tier in USD, which value it stands for, and at what quality."""

    code: OptionCode
    tier: Tier
    lines: Mapping[Tier, Decimal]
    value: Decimal
    quality: Decimal
    is_measured: bool

    @property
    def cost(self) -> Decimal:
        """Return the cost in USD."""
        return sum(self.lines.values(), Decimal(0))

    @property
    def offer(self) -> str:
        """Return the name that tells the offers of a pitch apart, such as "cheaper:standard"."""
        return offer_name(self.code, self.tier)


def offer_name(code: str, tier: str) -> str:
    """Return the name that tells the offers of a pitch apart, such as "cheaper:standard"."""
    return f"{code}:{tier}" if code == OptionCode.CHEAPER else str(code)


def worth(value: Decimal, factor: Decimal, quality: Decimal, k: Decimal) -> int:
    """Return `floor(B * V * q * k)` in cents, V in USD."""
    return int(Fraction(value) * 100 * Fraction(factor) * Fraction(quality) * Fraction(k))


def options(ask: Ask) -> list[Made]:
    """Return every offer for an ask, what was asked first; none where the ask costs nothing."""
    full = _sized(ask, OptionCode.FULL, Case.TARGET)
    if full is None:
        return []
    sizes = (_sized(ask, OptionCode.PARTIAL, Case.MIN), _sized(ask, OptionCode.STRETCH, Case.STRETCH))
    made = [full, *(size for size in sizes if size is not None and size.cost != full.cost)]
    return made + [offer for offer in _cheaper(ask, full) if 0 < offer.cost < full.cost]


def _sized(ask: Ask, code: OptionCode, case: Case) -> Made | None:
    lines = _lines(ask.asked(case))
    if not lines or not ask.calls[Case.TARGET]:
        return None
    share = Fraction(ask.calls[case], ask.calls[Case.TARGET])
    return Made(code, _dominant(lines), lines, _scaled(ask.value, share), _places(Decimal(1)), is_measured=False)


def _cheaper(ask: Ask, full: Made) -> Iterable[Made]:
    top = next((tier for tier in LADDER if tier in full.lines), None)
    below = LADDER[LADDER.index(top) + 1 :] if top else ()
    offers = [(tier, ask.whole(tier)) for tier in below]
    with_model = [(tier, lines) for tier, lines in offers if lines is not None]
    for tier, lines in with_model:
        quality, is_measured = _quality(ask, full, tier)
        yield Made(OptionCode.CHEAPER, tier, _lines(lines), ask.value, quality, is_measured)
    for tier, lines in with_model[:1]:
        yield _cascade(ask, full, tier, lines)
    batch = ask.whole(Tier.BATCH)
    if batch is not None and ask.latency in CAN_WAIT:
        quality, is_measured = _quality(ask, full, Tier.BATCH)
        yield Made(OptionCode.BATCH, Tier.BATCH, _lines(batch), ask.value, quality, is_measured)


def _cascade(ask: Ask, full: Made, tier: Tier, lines: Mapping[Tier, Decimal]) -> Made:
    asked = ask.asked(Case.TARGET)
    mixed = {
        place: (1 - EASY_SHARE) * asked.get(place, Decimal(0)) + EASY_SHARE * lines.get(place, Decimal(0))
        for place in Tier
    }
    quality, is_measured = _quality(ask, full, tier)
    blended = _places(1 - EASY_SHARE + EASY_SHARE * quality)
    return Made(OptionCode.CASCADE, tier, _lines(mixed), ask.value, blended, is_measured)


def _quality(ask: Ask, full: Made, tier: Tier) -> tuple[Decimal, bool]:
    if tier in ask.measured:
        return _places(ask.measured[tier]), True
    if tier == Tier.BATCH:
        return _places(Decimal(1)), False
    top = next(place for place in LADDER if place in full.lines)
    return _places(POLICY_QUALITY[LADDER.index(tier) - LADDER.index(top)]), False


def _lines(costs: Mapping[Tier, Decimal]) -> dict[Tier, Decimal]:
    return {tier: in_cents(costs[tier]) for tier in Tier if costs.get(tier, Decimal(0)) > 0}


def _dominant(lines: Mapping[Tier, Decimal]) -> Tier:
    return max(lines, key=lambda tier: (lines[tier], -list(Tier).index(tier)))


def _scaled(value: Decimal, share: Fraction) -> Decimal:
    whole = Fraction(value) * 100 * share
    return Decimal(whole.numerator // whole.denominator) * CENT


def _places(quality: Decimal) -> Decimal:
    return quality.quantize(PLACES, ROUND_HALF_EVEN)
