"""Getting a call admitted: a hold on the first option whose worst case fits, or what stopped it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from allocations.gateway.dialect import Ask, Surface
from allocations.gateway.entries import Book, KeyEntry
from allocations.gateway.refusal import Denied, Kind, Refusal, unavailable
from allocations.gateway.routing import AUTO, Option, options
from allocations.metering.types import Hold, Meter, MeterUnavailable, QuotaExhausted
from allocations.metering.worst import Worst, largest_cap, worst_case
from allocations.models import DenialReason
from ledger.models import ServedBecause
from ledger.money import plain, show


@dataclass(frozen=True, slots=True)
class Admitted:
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


@dataclass(frozen=True, slots=True)
class _Bound:
    """The worst case of a call at one option or its backups, and the least that it can be cut down to."""

    cost: Decimal
    least: Decimal | None
    cap: int


async def admit(meter: Meter, book: Book, key: KeyEntry, surface: Surface, ask: Ask, pages: str) -> Admitted:
    """Hold the worst case of a call; `pages` is the address of Tank's pages. Raises Refusal."""
    refusals: list[Refusal] = []
    choices = _choices(book, key, surface, ask)
    for option in choices:
        bound = _bound(option, ask)
        try:
            hold = await meter.admit(quota_ids=_chain(option, key), bound=bound.cost, least=bound.least)
        except MeterUnavailable:
            raise unavailable() from None
        except QuotaExhausted as blocked:
            if not blocked.is_open:
                raise _closed(blocked, key) from None
            refusals.append(_exhausted(blocked, option, key, bound, pages))
        else:
            fell_from = choices[0].model.tier if refusals else ""
            cap = bound.cap if hold.bound >= bound.cost else _cap_within(option, ask, hold.bound)
            because = _because(book, ask.model, has_fallen=bool(refusals))
            inserted_cap = cap if ask.demand.output_cap is None else None
            return Admitted(key, book, option, hold, cap, inserted_cap, fell_from, because)
    raise refusals[0]


def _choices(book: Book, key: KeyEntry, surface: Surface, ask: Ask) -> list[Option]:
    try:
        found = options(book, key, ask.model, surface.dialect.name, datetime.now(UTC))
        return found if surface.may_fall else found[:1]
    except Refusal as refusal:
        refusal.denied = Denied(DenialReason.NO_LINE.value, key.id)
        raise


def _chain(option: Option, key: KeyEntry) -> tuple[int, ...]:
    return (option.line.quota_id,) if key.quota_id is None else (option.line.quota_id, key.quota_id)


def _because(book: Book, asked: str, *, has_fallen: bool) -> str:
    if has_fallen:
        return ServedBecause.FELL.value
    if asked == AUTO:
        return ServedBecause.AUTO.value
    return "" if asked in book.models else ServedBecause.ALIAS.value


def _bound(option: Option, ask: Ask) -> _Bound:
    model, named = option.model, ask.demand.output_cap
    cap = model.default_output_cap if named is None else named
    return _Bound(_cost(option, ask, cap), _cost(option, ask, model.least_output_cap) if named is None else None, cap)


def _cost(option: Option, ask: Ask, cap: int) -> Decimal:
    """Return the most that a call can cost, whichever of the candidates answers."""
    own = worst_of(option, ask, cap).cost
    return max(own, *(worst_of(backup, ask, cap).cost for backup in option.backups)) if option.backups else own


def worst_of(option: Option, ask: Ask, cap: int) -> Worst:
    """Return the worst case of a call with an output cap at one option, its backups apart."""
    demand, model = ask.demand_of(option.model.id), option.model
    return worst_case(demand, option.rate.steps, context_window=model.context_window, output_cap=cap)


def _cap_within(option: Option, ask: Ask, granted: Decimal) -> int:
    return min(
        largest_cap(
            ask.demand_of(one.model.id), one.rate.steps, context_window=one.model.context_window, granted=granted
        )
        for one in (option, *option.backups)
    )


def _closed(blocked: QuotaExhausted, key: KeyEntry) -> Refusal:
    if blocked.quota_id == key.quota_id:
        words, denied = "This key has just been revoked or suspended.", DenialReason.KEY_REVOKED
        return Refusal(Kind.BAD_KEY, words, denied=Denied(denied.value, key.id))
    words, denied = f"Allocation {key.allocation.number} is not open for calls.", DenialReason.ALLOCATION_SHUT
    return Refusal(Kind.FORBIDDEN, words, denied=Denied(denied.value, key.id))


def _exhausted(blocked: QuotaExhausted, option: Option, key: KeyEntry, bound: _Bound, pages: str) -> Refusal:
    allocation, tier = key.allocation, option.model.tier
    is_line = blocked.quota_id == option.line.quota_id
    name = f"the {tier} line of allocation {allocation.number}" if is_line else f"the cap of key {key.name}"
    needed = bound.cost if bound.least is None else bound.least
    page = f"{pages}/allocations/{allocation.id}/"
    message = (
        f"Budget exhausted: this call may cost up to {show(needed)}, and {name} has {show(blocked.available)} of "
        f"{show(blocked.limit)} left ({show(blocked.spent)} spent, {show(blocked.held)} held by calls in flight). "
        f"Ask for more at {page}"
    )
    details: dict[str, Any] = {
        "budget": f"line:{tier}" if is_line else f"key:{key.name}",
        "allocation": allocation.number,
        "currency": "USD",
        "limit": plain(blocked.limit),
        "spent": plain(blocked.spent),
        "held": plain(blocked.held),
        "remaining": plain(blocked.available),
        "needed": plain(needed),
        "ask_at": page,
    }
    remaining = (b"x-tank-remaining", plain(blocked.available).encode())
    denied = Denied((DenialReason.LINE_EMPTY if is_line else DenialReason.KEY_CAP).value, key.id, bound.cost)
    return Refusal(Kind.BUDGET, message, details=details, headers=(remaining,), denied=denied)
