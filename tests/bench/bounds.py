"""How much the worst case of a call exceeds what it costs, over a realistic mix."""

from decimal import Decimal
from statistics import mean, median
from typing import NamedTuple

import orjson

from allocations.gateway.app import SURFACES
from allocations.gateway.dialect import Surface
from allocations.metering.bounds import worst_tokens
from allocations.metering.openai_models import at_model
from allocations.metering.recall import Recall, trail_of
from allocations.metering.types import Tokens
from ledger.rating import cost
from tests.bench import mix

MODEL = 1


class Row(NamedTuple):
    """A call's bound and cost, in USD, and how much of either is output."""

    name: str
    bound: Decimal
    cost: Decimal
    output_bound: Decimal
    output_cost: Decimal

    @property
    def ratio(self) -> Decimal:
        """Return how many times its cost is held for a call."""
        return self.bound / self.cost


def rows() -> list[Row]:
    """Measure every call of the mix, with what calls before it said: those of its conversation, and one of its use."""
    recall = Recall()
    for call in mix.openings():
        _row(recall, call)
    return [_row(recall, call) for call in mix.calls()]


def _row(recall: Recall, call: mix.MixedCall) -> Row:
    surface, payload = SURFACES[f"/v1/{call.surface}"], orjson.loads(call.body)
    assert isinstance(surface, Surface)
    ask = surface.ask(payload, call.body)
    trail = trail_of(recall, payload, call.body, ask.demand, conversation=surface.conversation, scope=1)
    demand = at_model(ask.demand, call.model, mix.ADDRESS)
    demand = demand if trail is None else trail.tightened(demand, MODEL)
    cap = mix.DEFAULT_OUTPUT_CAP if demand.output_cap is None else demand.output_cap
    worst = worst_tokens(demand, call.price, context_window=mix.CONTEXT_WINDOW, output_cap=cap)
    if trail is not None:
        trail.learn(MODEL, call.used)
    outputs = (cost(call.price, Tokens(output=tokens.output)) for tokens in (worst, call.used))
    return Row(call.name, cost(call.price, worst), cost(call.price, call.used), *outputs)


def report(found: list[Row]) -> str:
    """Return the table and the means."""
    lines = [_line(row.name, row.bound, row.cost) for row in found]
    bound, spent, output, wrote = (sum(figures, Decimal()) for figures in list(zip(*found, strict=True))[1:])
    ratios = [row.ratio for row in found]
    return "\n".join(
        [
            f"{'call':<40} {'bound, $':>10} {'cost, $':>10} {'ratio':>7}",
            *lines,
            _line("all", bound, spent),
            _line("of it input", bound - output, spent - wrote),
            _line("of it output", output, wrote),
            f"{'mean, and median, of the ratios':<53} {mean(ratios):>8.2f} {median(ratios):>7.2f}",
        ]
    )


def _line(name: str, bound: Decimal, spent: Decimal) -> str:
    return f"{name:<40} {bound:>10.6f} {spent:>10.6f} {bound / spent:>7.2f}"


def main() -> None:
    """Print how tight the bounds are."""
    print(report(rows()))  # noqa: T201
