"""What the board shows beside the exact choice: other rules, five percent more, the worth of every cap.

All of it is about all pitches together: for a member who is recused from one there is nothing here.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from ledger.money import plain
from pitches.board.engine import pitches_of
from pitches.board.words import names_of
from pitches.selection.problem import Infeasible, Solution
from pitches.selectors.board import Board, usd

RULES = {
    "exact": ("The exact choice", "the best set, nothing held"),
    "greedy": ("Greedy", "most worth per dollar first, until nothing fits"),
    "shares": ("Equal shares", "every team the same part of the money"),
}


@dataclass(frozen=True, slots=True)
class RuleRow:
    """What one rule would choose; amounts are USD, `loses` is the worth that it gives up, in percent of the exact."""

    name: str
    words: str
    count: int
    cost: Decimal
    worth: Decimal
    loses: Decimal
    adds: str
    drops: str


@dataclass(frozen=True, slots=True)
class More:
    """What five percent more cap would change; amounts are USD."""

    cap: Decimal
    extra: Decimal
    worth: Decimal
    added: str
    dropped: str
    is_proved: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rules side by side, and five percent more; None where what is held does not fit."""

    rules: list[RuleRow]
    more: More | None


def titles_of(board: Board) -> dict[int, str]:
    """Return the titles of the pitches that the reader may see, by id."""
    return {row.pk: row.title for row in board.shown}


def comparison_of(board: Board, *, seconds: float) -> Comparison | None:
    """Return how other rules compare at the board's cap; None for a reader who is recused from a pitch."""
    if not board.is_whole:
        return None
    rivals = board.engine.rivals(board.setting.cap, seconds=seconds)
    exact, titles = rivals["exact"].solution, titles_of(board)
    rules = [
        RuleRow(
            name=RULES[name][0],
            words=RULES[name][1],
            count=len(rival.solution.selected),
            cost=usd(rival.solution.cost),
            worth=usd(rival.solution.worth),
            loses=_percent(exact.worth - rival.solution.worth, exact.worth),
            adds=names_of(rival.adds, titles),
            drops=names_of(rival.drops, titles),
        )
        for name, rival in rivals.items()
    ]
    return Comparison(rules, _more(board, titles, seconds))


def _percent(part: int, whole: int) -> Decimal:
    return (Decimal(part) * 100 / whole).quantize(Decimal("0.1")) if whole else Decimal(0)


def _more(board: Board, titles: dict[int, str], seconds: float) -> More | None:
    cap = board.setting.cap * 105 // 100
    try:
        now: Solution = board.engine.solve(board.setting, seconds=seconds)
        then = board.engine.solve(replace(board.setting, cap=cap), seconds=seconds)
    except Infeasible:
        return None
    before, after = pitches_of(now), pitches_of(then)
    return More(
        cap=usd(cap),
        extra=usd(cap - board.setting.cap),
        worth=usd(then.worth - now.worth),
        added=names_of(sorted(after - before), titles, most=6),
        dropped=names_of(sorted(before - after), titles, most=6),
        is_proved=now.optimal and then.optimal,
    )


@dataclass(frozen=True, slots=True)
class Point:
    """The most that a cap can be worth, in USD."""

    cap: Decimal
    spendable: Decimal
    worth: Decimal


@dataclass(frozen=True, slots=True)
class Curve:
    """The worth of caps up to twice the round's; where limits beside the cap bind it is an upper bound."""

    points: list[Point]
    is_exact: bool


def curve_of(board: Board) -> Curve | None:
    """Return the worth of every cap; None for a reader who is recused from a pitch."""
    if not board.is_whole:
        return None
    points, is_exact = board.engine.curve()
    spendable = {cap: board.engine.at(cap).spendable for cap, _ in points}
    return Curve([Point(usd(cap), usd(spendable[cap]), usd(worth)) for cap, worth in points], is_exact)


def curve_figure(board: Board, curve: Curve) -> dict[str, Any]:
    """Return the curve as the page's script draws it, with the board's cap marked; amounts as plain decimal strings."""
    return {
        "label": "What every cap is worth",
        "figure": {
            "data": [
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": "Best worth" if curve.is_exact else "Worth at most",
                    "x": [plain(point.cap) for point in curve.points],
                    "y": [plain(point.worth) for point in curve.points],
                    "line": {"width": 2.5},
                    "hovertemplate": "A cap of $%{x:,.0f}: worth $%{y:,.0f}<extra></extra>",
                },
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": "The board",
                    "x": [plain(board.cap)],
                    "y": [plain(board.worth)],
                    "marker": {"size": 12, "symbol": "diamond"},
                    "hovertemplate": "The board: a cap of $%{x:,.0f}, worth $%{y:,.0f}<extra></extra>",
                },
            ],
            "layout": {
                "xaxis": {"tickprefix": "$", "tickformat": "~s", "nticks": 5, "rangemode": "tozero"},
                "yaxis": {"tickprefix": "$", "tickformat": "~s", "nticks": 5, "rangemode": "tozero"},
            },
        },
    }
