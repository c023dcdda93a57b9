"""From the model that a request names to the models that may answer it, each with the line that pays."""

from datetime import datetime
from typing import NamedTuple, NoReturn, Protocol

from allocations.gateway.entries import Book, KeyEntry, LineEntry, ModelEntry, RateEntry
from allocations.gateway.refusal import Kind, Refusal
from allocations.models import StopBehaviour
from ledger.models import Tier

AUTO = "tank/auto"
# The batch tier is a lane of its own: no call falls into it by itself.
LADDER = (Tier.FRONTIER.value, Tier.STANDARD.value, Tier.ECONOMY.value)
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
MOST_NAMED = 10


class Option(NamedTuple):
    """A model at its rate, the line that pays, and what answers in its place when its provider fails."""

    model: ModelEntry
    rate: RateEntry
    line: LineEntry
    backups: tuple["Option", ...] = ()


class Spoken(Protocol):
    """A dialect by its name."""

    @property
    def name(self) -> str:
        """Return it; empty stands for any."""
        ...


class Lane(Protocol):
    """What admission and settlement need to know of the way that a call takes; a `Surface` is one."""

    @property
    def path(self) -> str:
        """Return what names it in usage records."""
        ...

    @property
    def dialect(self) -> Spoken:
        """Return what a model must be called in."""
        ...

    @property
    def may_fall(self) -> bool:
        """Return whether another model's answer would do when the one that was asked for cannot be paid."""
        ...


def options(book: Book, key: KeyEntry, name: str, dialect: str, now: datetime) -> list[Option]:
    """Return what may answer a call, best first. Raises Refusal when nothing may.

    `tank/auto` is the dearest model of every tier that the allocation has a line for, dearest tier first. A model
    by its name or an alias is that model; where the allocation falls, the dearest of each cheaper tier follows.
    """
    model = book.named(name)
    asked = model and option_of(book, model, key, dialect, now)
    if asked and (key.allocation.stop_behaviour != StopBehaviour.FALL or asked.model.tier not in LADDER):
        return [asked]
    usable = usable_options(book, key, dialect, now)
    if asked:
        return [asked, *_best_of_tiers(usable, LADDER[LADDER.index(asked.model.tier) + 1 :])]
    best = _best_of_tiers(usable, LADDER) if name == AUTO else []
    return best or _refuse(book, key, name, dialect, usable)


def usable_options(book: Book, key: KeyEntry, dialect: str, now: datetime) -> list[Option]:
    """Return every model but backups that a key may call in a dialect and that has a rate in force, by name."""
    found = (option_of(book, model, key, dialect, now) for model in book.models.values() if model.backup_of is None)
    return [option for option in found if option]


def option_of(book: Book, model: ModelEntry, key: KeyEntry, dialect: str, now: datetime) -> Option | None:
    """Return a model with its backups as a key may call it now; None when it may not."""
    option = _alone(model, key, dialect, now)
    backups = book.backups.get(model.id)
    if option is None or backups is None:
        return option
    found = (_alone(backup, key, dialect, now) for backup in backups)
    return option._replace(backups=tuple(backup for backup in found if backup))


def _alone(model: ModelEntry, key: KeyEntry, dialect: str, now: datetime) -> Option | None:
    line, rate = key.allocation.lines.get(model.tier), model.rate_at(now)
    return Option(model, rate, line) if line and rate and model.speaks(dialect) and key.may_call(model) else None


def _best_of_tiers(usable: list[Option], tiers: tuple[str, ...]) -> list[Option]:
    ranked = sorted(usable, key=lambda option: (-option.rate.base.output, -option.rate.base.input, option.model.name))
    firsts = (next((option for option in ranked if option.model.tier == tier), None) for tier in tiers)
    return [option for option in firsts if option]


def _refuse(book: Book, key: KeyEntry, name: str, dialect: str, usable: list[Option]) -> NoReturn:
    names = [option.model.name for option in usable]
    more = f", and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    may_use = f" This key may use here: {', '.join(names[:MOST_NAMED]) + more}." if names else ""
    raise Refusal(Kind.NO_SUCH_MODEL, _reason(book, key, name, dialect) + may_use, parameter="model")


def _reason(book: Book, key: KeyEntry, name: str, dialect: str) -> str:
    model, allocation = book.named(name), key.allocation
    if name == AUTO:
        return f"Allocation {allocation.number} has no line for a model that can be called here."
    if model is None:
        return f"The model `{name[:120]}` does not exist in Tank, or is not enabled."
    if not model.speaks(dialect):
        return f"The model `{name}` is called at {PATHS[model.provider.dialect]}."
    if model.tier not in allocation.lines:
        return f"The model `{name}` is of the {model.tier} tier, for which allocation {allocation.number} has no line."
    if not key.may_call(model):
        return f"This key may not call the model `{name}`."
    return f"The model `{name}` has no approved rate in force, so it cannot be called."
