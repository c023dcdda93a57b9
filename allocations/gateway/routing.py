"""From the model that a request names to the models that may answer it, each with the line that pays."""

from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from allocations.gateway.entries import AllocationEntry, Book, LineEntry, ModelEntry, RateEntry
from allocations.gateway.refusal import Kind, Refusal
from allocations.models import StopBehaviour
from ledger.models import Tier

AUTO = "tank/auto"
# The batch tier is a lane of its own: no call falls into it by itself.
LADDER = (Tier.FRONTIER.value, Tier.STANDARD.value, Tier.ECONOMY.value)
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Option:
    """A model at its rate, and the line that pays."""

    model: ModelEntry
    rate: RateEntry
    line: LineEntry


def options(book: Book, allocation: AllocationEntry, name: str, dialect: str, now: datetime) -> list[Option]:
    """Return what may answer a call, best first. Raises Refusal when nothing may.

    `tank/auto` is the dearest model of every tier that the allocation has a line for, dearest tier first. A model
    by its name is that model; where the allocation falls, the dearest of each cheaper tier follows.
    """
    model = book.models.get(name)
    asked = model and _option(model, allocation, dialect, now)
    if asked and (allocation.stop_behaviour != StopBehaviour.FALL or asked.model.tier not in LADDER):
        return [asked]
    usable = usable_options(book, allocation, dialect, now)
    if asked:
        return [asked, *_best_of_tiers(usable, LADDER[LADDER.index(asked.model.tier) + 1 :])]
    best = _best_of_tiers(usable, LADDER) if name == AUTO else []
    return best or _refuse(book, allocation, name, dialect, usable)


def usable_options(book: Book, allocation: AllocationEntry, dialect: str, now: datetime) -> list[Option]:
    """Return every model of a dialect that an allocation has a line for and that has a rate in force, by name."""
    found = (_option(model, allocation, dialect, now) for model in book.models.values())
    return [option for option in found if option]


def _option(model: ModelEntry, allocation: AllocationEntry, dialect: str, now: datetime) -> Option | None:
    line, rate = allocation.lines.get(model.tier), model.rate_at(now)
    return Option(model, rate, line) if line and rate and model.speaks(dialect) else None


def _best_of_tiers(usable: list[Option], tiers: tuple[str, ...]) -> list[Option]:
    ranked = sorted(usable, key=lambda option: (-option.rate.output, -option.rate.input, option.model.name))
    firsts = (next((option for option in ranked if option.model.tier == tier), None) for tier in tiers)
    return [option for option in firsts if option]


def _refuse(book: Book, allocation: AllocationEntry, name: str, dialect: str, usable: list[Option]) -> NoReturn:
    names = [option.model.name for option in usable]
    more = f", and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    may_use = f" This key may use here: {', '.join(names[:MOST_NAMED]) + more}." if names else ""
    raise Refusal(Kind.NO_SUCH_MODEL, _reason(book, allocation, name, dialect) + may_use, parameter="model")


def _reason(book: Book, allocation: AllocationEntry, name: str, dialect: str) -> str:
    model = book.models.get(name)
    if name == AUTO:
        return f"Allocation {allocation.number} has no line for a model that can be called here."
    if model is None:
        return f"The model `{name[:120]}` does not exist in Tank, or is not enabled."
    if not model.speaks(dialect):
        return f"The model `{name}` is called at {PATHS[model.provider.dialect]}."
    if model.tier not in allocation.lines:
        return f"The model `{name}` is of the {model.tier} tier, for which allocation {allocation.number} has no line."
    return f"The model `{name}` has no approved rate in force, so it cannot be called."
