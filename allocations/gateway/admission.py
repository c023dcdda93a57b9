"""Getting a call admitted: a hold on the first option whose worst case fits, or what stopped it."""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from allocations.gateway.catalogue import Windows
from allocations.gateway.dialect import Ask
from allocations.gateway.entries import Book, KeyEntry
from allocations.gateway.refusal import Denied, Refusal, unavailable
from allocations.gateway.routing import AUTO, Lane, Option, options
from allocations.gateway.stopped import SPENT, Chain, stopped_by
from allocations.metering.bounds import most_tokens
from allocations.metering.types import Hold, Meter, MeterUnavailable, QuotaExhausted, Wish
from allocations.metering.worst import Worst, largest_cap, worst_case
from allocations.models import DenialReason
from allocations.models.quota import starts_on
from ledger.models import ServedBecause


class Admitted(NamedTuple):
    """A call that may go upstream."""

    key: KeyEntry
    book: Book
    option: Option
    hold: Hold
    cap: int
    """The output cap per choice that the hold covers."""
    inserted_cap: int | None
    """The same, where the request did not name one."""
    fell_from: str
    """The tier that could not pay; empty when the first choice could."""
    because: str
    """Why another model than the one asked for is called; of `ServedBecause`."""


class Desk(NamedTuple):
    """Who asks for what, of whom, and when."""

    meter: Meter
    catalogue: Windows
    book: Book
    key: KeyEntry
    now: datetime
    pages: str
    """The address of Tank's pages, for people who are told to ask for more."""


async def admit(desk: Desk, surface: Lane, ask: Ask) -> Admitted:
    """Hold the worst case of a call. Raises Refusal and CatalogueUnavailable."""
    refusals: list[Refusal] = []
    choices = _choices(desk, surface, ask)
    windows = await _windows(desk) if desk.key.windows else {}
    for option in choices:
        wish = _wish(option, ask, desk, windows)
        try:
            hold = await desk.meter.admit(wish)
        except MeterUnavailable:
            raise unavailable() from None
        except QuotaExhausted as stopped:
            chain = Chain(option.model.tier, option.line.quota_id, desk.key, windows)
            refusal = stopped_by(stopped, chain, wish, desk.pages)
            if stopped.stop not in SPENT:
                raise refusal from None
            refusals.append(refusal)
        else:
            return _admitted(desk, option, hold, ask, wish, choices[0].model.tier if refusals else "")
    raise refusals[0]


def _choices(desk: Desk, surface: Lane, ask: Ask) -> list[Option]:
    try:
        found = options(desk.book, desk.key, ask.model, surface.dialect.name, desk.now)
    except Refusal as refusal:
        refusal.denied = Denied(DenialReason.NO_LINE.value, desk.key.id)
        raise
    return found if surface.may_fall else found[:1]


async def _windows(desk: Desk) -> dict[int, str]:
    """Return the quotas of the day and the month that the key's recurring caps are held against, by id."""
    return {
        await desk.catalogue.window(desk.key.id, window, starts_on(window, desk.now)): window
        for window in desk.key.windows
    }


def _wish(option: Option, ask: Ask, desk: Desk, windows: dict[int, str]) -> Wish:
    """Return what to have held: the worst case, and where the request names no cap the least that it can do with."""
    own = () if desk.key.quota_id is None else (desk.key.quota_id,)
    chain = (option.line.quota_id, *own, *windows)
    worst = _most(option, ask, _cap(option, ask))
    if ask.demand.output_cap is not None:
        return Wish(chain, *worst, desk.now)
    return Wish(chain, *worst, desk.now, *_most(option, ask, option.model.least_output_cap))


def _cap(option: Option, ask: Ask) -> int:
    named = ask.demand.output_cap
    return option.model.default_output_cap if named is None else named


def _because(book: Book, asked: str, *, has_fallen: bool) -> str:
    if has_fallen:
        return ServedBecause.FELL.value
    if asked == AUTO:
        return ServedBecause.AUTO.value
    return "" if asked in book.models else ServedBecause.ALIAS.value


def _most(option: Option, ask: Ask, cap: int) -> tuple[Decimal, int]:
    """Return the most that a call can cost, and the most tokens, whichever of the candidates answers."""
    if not option.backups:
        return worst_of(option, ask, cap).cost, _tokens_of(option, ask, cap)
    candidates = (option, *option.backups)
    return max(worst_of(one, ask, cap).cost for one in candidates), max(_tokens_of(one, ask, cap) for one in candidates)


def _tokens_of(option: Option, ask: Ask, cap: int) -> int:
    demand, window = ask.demand_of(option.model), option.model.context_window
    return most_tokens(demand, context_window=window, output_cap=cap)


def worst_of(option: Option, ask: Ask, cap: int) -> Worst:
    """Return the worst case of a call with an output cap at one option, its backups apart."""
    demand, model = ask.demand_of(option.model), option.model
    return worst_case(demand, option.rate.steps, context_window=model.context_window, output_cap=cap)


def _admitted(desk: Desk, option: Option, hold: Hold, ask: Ask, wish: Wish, fell_from: str) -> Admitted:
    is_cut = hold.bound < wish.bound or hold.tokens < wish.tokens
    cap = min(_cap_within(one, ask, hold) for one in (option, *option.backups)) if is_cut else _cap(option, ask)
    because = _because(desk.book, ask.model, has_fallen=bool(fell_from))
    inserted = cap if ask.demand.output_cap is None else None
    return Admitted(desk.key, desk.book, option, hold, cap, inserted, fell_from, because)


def _cap_within(option: Option, ask: Ask, hold: Hold) -> int:
    """Return the largest output cap per choice that a hold covers at one option, in money and in tokens."""
    demand, window = ask.demand_of(option.model), option.model.context_window
    by_money = largest_cap(demand, option.rate.steps, context_window=window, granted=hold.bound)
    return min(by_money, (hold.tokens - _tokens_of(option, ask, 0)) // demand.choices)
