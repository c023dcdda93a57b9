"""What the board says in sentences: moves, prices, how the rules compare. Pure."""

from collections.abc import Collection, Mapping
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from ledger.money import show
from pitches.board.engine import Held, Price
from pitches.models import BoardMove, MoveKind, Round
from pitches.quotes import CENT

MOST_NAMED = 3
WHOLE_FROM = 100


def whole_dollars(amount: Decimal) -> str:
    """Write an amount for the back of the room: in whole dollars, below a hundred of them to the cent."""
    if abs(amount) < WHOLE_FROM:
        return show(amount.quantize(CENT, ROUND_HALF_UP))
    return f"${amount.quantize(Decimal(1), ROUND_HALF_UP):,}"


def names_of(pitches: Collection[int], titles: Mapping[int, str], *, most: int = MOST_NAMED) -> str:
    """Name some pitches, and say how many more there are."""
    named = [titles[pitch] for pitch in pitches if pitch in titles]
    more = len(named) - most
    if more > 0:
        return f"{', '.join(named[:most])} and {more} more"
    return " and ".join(filter(None, [", ".join(named[:-1]), *named[-1:]]))


def price_words(price: Price, held: Held, titles: Mapping[int, str], *, is_held: bool) -> str:
    """Say what holding a pitch costs, or costs now, and who leaves for it."""
    way = f"Holding it {held.force}"
    if price.worth is None:
        return f"{way} breaks a limit, whatever else is left out."
    about = "" if price.is_proved else "about "
    cost = f"costs {about}{whole_dollars(Decimal(price.worth) / 100)} of worth" if price.worth else "costs no worth"
    leaves = names_of(price.leave, titles)
    comes = names_of(price.come, titles)
    parts = [f"{way} {cost}"]
    if leaves:
        parts.append(f"{leaves} {_verb(len(price.leave), 'left' if is_held else 'leave', is_held)}")
    if comes:
        parts.append(f"{comes} {_verb(len(price.come), 'came' if is_held else 'come', is_held)} in")
    return f"{'; '.join(parts)}."


def _verb(count: int, verb: str, is_past: bool) -> str:
    return verb if is_past or count != 1 else f"{verb}s"


def move_words(move: BoardMove, *, is_whole: bool) -> str:
    """Say what a member did and, to those who may see all, what came of it; without the member's name."""
    return f"{_did(move)}{_came(move) if is_whole else ''}."


def _did(move: BoardMove) -> str:
    title = str(move.pitch.submitted.title) if move.pitch is not None else ""
    match move.kind:
        case MoveKind.SLIDE:
            return f"tried a cap of {show(move.cap)}"
        case MoveKind.FORCE_IN:
            return f"held “{title}” in{f' with “{move.option.label}”' if move.option else ''}"
        case MoveKind.FORCE_OUT:
            return f"held “{title}” out"
        case MoveKind.FREE:
            return f"freed “{title}”"
        case MoveKind.RESET:
            return f"set the board back to {show(move.cap)}"
        case _:
            return f"noted{f' about “{title}”' if title else ''}: {move.text.rstrip('.')}"


def _came(move: BoardMove) -> str:
    if move.kind == MoveKind.NOTE or move.worth is None:
        return ""
    price = f", at a price of {show(move.price)} of worth" if move.price is not None else ""
    pitches = "pitch" if move.chosen == 1 else "pitches"
    proof = "proved optimal" if move.proved else "not proved at once"
    return f"{price}: {move.chosen} {pitches} for {show(move.cost)}, worth {show(move.worth)}, {proof}"


def clock(move: BoardMove, round_: Round) -> str:
    """Write when a move was made, in the round's time zone."""
    return f"{move.at.astimezone(ZoneInfo(round_.time_zone)):%H:%M:%S}"
