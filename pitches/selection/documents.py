"""The JSON of a choice: a problem as a file says it, and a problem and an answer as canonical bytes.

Money is whole cents; the hurdle and the shares are decimals, read without a float in between. Canonical is UTF-8,
keys in order, no spaces, one line feed at the end: the same problem gives the same bytes, however it was written.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pitches.selection.problem import Option, Problem, ProblemError, Share, Solution

FIELDS = {"cap", "reserve", "hurdle", "team_cap", "tier_caps", "seed", "offers", "incompatible", "requires"}
OFFER_FIELDS = {"pitch", "offer", "team", "tier", "cost", "worth", "tier_costs", "unfunded_rounds"}
LARGEST = 10**12  # cents: ten billion dollars; sums of thousands stay in a 64-bit word


def read(text: str) -> Problem:
    """Return the problem that a JSON text says; raises ProblemError with the place and the reason."""
    try:
        said = json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ProblemError(f"line {error.lineno}, column {error.colno}", f"is not JSON: {error.msg}") from error
    except RecursionError as error:
        raise ProblemError("", "the JSON is nested too deep") from error
    table = _table(said, "the file", FIELDS)
    return Problem(
        cap=_cents(table, "cap", "cap"),
        reserve=_cents({"reserve": 0} | table, "reserve", "reserve"),
        hurdle=_decimal(table.get("hurdle", 0), "hurdle"),
        team_cap=None if table.get("team_cap") is None else _decimal(table["team_cap"], "team_cap"),
        tier_caps={
            tier: _decimal(share, f"tier_caps.{tier}")
            for tier, share in _table(table.get("tier_caps") or {}, "tier_caps").items()
            if share is not None
        },
        seed=_text({"seed": ""} | table, "seed", "seed"),
        options=tuple(_option(offer, f"offers[{number}]") for number, offer in enumerate(_list(table, "offers"))),
        incompatible=_pairs(table, "incompatible"),
        requires=_pairs(table, "requires"),
    )


def canonical(problem: Problem) -> bytes:
    """Return a problem as canonical JSON; the order of its offers and pairs does not matter."""
    offers = sorted(problem.options, key=lambda option: option.name)
    said: dict[str, Any] = {
        "cap": problem.cap,
        "reserve": problem.reserve,
        "hurdle": _plain(problem.hurdle),
        "tier_caps": {tier: _plain(share) for tier, share in problem.tier_caps.items()},
        "seed": problem.seed,
        "offers": [_offer(option) for option in offers],
        "incompatible": sorted({(min(pair), max(pair)) for pair in problem.incompatible}),
        "requires": sorted(set(problem.requires)),
    }
    if problem.team_cap is not None:
        said["team_cap"] = _plain(problem.team_cap)
    return _bytes(said)


def answer(solution: Solution) -> bytes:
    """Return a solution as canonical JSON: selected, worth, cost, optimal, gap; money in cents."""
    return _bytes(
        {
            "selected": solution.selected,
            "worth": solution.worth,
            "cost": solution.cost,
            "optimal": solution.optimal,
            "gap": solution.gap,
        }
    )


def _bytes(said: Mapping[str, Any]) -> bytes:
    text = json.dumps(_Numbers.marked(said), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"{_Numbers.bare(text)}\n".encode()


class _Numbers:
    """Decimals as JSON numbers: json writes them only as text, so that they go through it marked."""

    MARK = "\0"

    @classmethod
    def marked(cls, said: Any) -> Any:
        match said:
            case Decimal():
                return f"{cls.MARK}{said:f}{cls.MARK}"
            case Mapping():
                return {key: cls.marked(value) for key, value in said.items()}
            case list() | tuple():
                return [cls.marked(value) for value in said]
            case _:
                return said

    @classmethod
    def bare(cls, text: str) -> str:
        mark = json.dumps(cls.MARK)[1:-1]
        return text.replace(f'"{mark}', "").replace(f'{mark}"', "")


def _plain(share: Share) -> Decimal:
    """Return a share as the shortest decimal; raises ProblemError when it has none (a third)."""
    if isinstance(share, Fraction):
        share = Decimal(share.numerator) / Decimal(share.denominator)
    exact = share.normalize()
    return exact if exact.as_tuple().exponent != 0 else exact.quantize(Decimal(1))


def _offer(option: Option) -> dict[str, Any]:
    said: dict[str, Any] = {
        "pitch": option.pitch,
        "offer": option.offer,
        "team": option.team,
        "tier": option.tier,
        "cost": option.cost,
        "worth": option.worth,
    }
    if option.tier_costs is not None:
        said["tier_costs"] = dict(option.tier_costs)
    if option.unfunded_rounds:
        said["unfunded_rounds"] = option.unfunded_rounds
    return said


def _option(said: object, place: str) -> Option:
    table = _table(said, place, OFFER_FIELDS)
    split = table.get("tier_costs")
    pitch, offer, team, tier = (_text(table, name, f"{place}.{name}") for name in ("pitch", "offer", "team", "tier"))
    cost, worth = (_cents(table, name, f"{place}.{name}") for name in ("cost", "worth"))
    return Option(
        pitch,
        offer,
        team,
        tier,
        cost,
        worth,
        None if split is None else _split(split, f"{place}.tier_costs"),
        _cents({"unfunded_rounds": 0} | table, "unfunded_rounds", f"{place}.unfunded_rounds"),
    )


def _split(said: object, place: str) -> dict[str, int]:
    table = _table(said, place)
    return {tier: _cents(table, tier, f"{place}.{tier}") for tier in table}


def _pairs(table: Mapping[str, object], name: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for number, pair in enumerate(_list(table, name, needed=False)):
        match pair:
            case [str(one), str(other)]:
                pairs.append((one, other))
            case _:
                raise ProblemError(f"{name}[{number}]", "is not two pitches")
    return tuple(pairs)


def _table(said: object, place: str, known: set[str] | None = None) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise ProblemError(place, "is not an object")
    if known is not None and (unknown := said.keys() - known):
        raise ProblemError(place, f"has {min(unknown)}, which is not known")
    return said


def _list(table: Mapping[str, object], name: str, *, needed: bool = True) -> list[object]:
    said = table.get(name, None if needed else [])
    if said is None and needed:
        raise ProblemError(name, "is missing")
    if not isinstance(said, list):
        raise ProblemError(name, "is not a list")
    return said


def _cents(table: Mapping[str, object], name: str, place: str) -> int:
    said = table.get(name)
    if said is None:
        raise ProblemError(place, "is missing")
    if not isinstance(said, int) or isinstance(said, bool):
        raise ProblemError(place, "is not a whole number")
    if not 0 <= said <= LARGEST:
        raise ProblemError(place, f"is not between 0 and {LARGEST}")
    return said


def _decimal(said: object, place: str) -> Decimal:
    if isinstance(said, bool) or not isinstance(said, int | Decimal):
        raise ProblemError(place, "is not a number")
    number = Decimal(said)
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or not -30 <= exponent <= 30:
        raise ProblemError(place, "has too many digits")
    return number


def _text(table: Mapping[str, object], name: str, place: str) -> str:
    said = table.get(name)
    if said is None:
        raise ProblemError(place, "is missing")
    if isinstance(said, int) and not isinstance(said, bool) and name in {"pitch", "seed"}:
        said = str(said)
    if not isinstance(said, str):
        raise ProblemError(place, "is not text")
    if "\0" in said or "\n" in said or any("\ud800" <= letter <= "\udfff" for letter in said):
        raise ProblemError(place, "has a character that a name cannot have")
    return said


def _no_constant(name: str) -> None:
    raise ProblemError("", f"{name} is not a number")
