"""What can still be offered in a round, and whom the waitlist moves up: pure arithmetic, amounts in USD.

Three sums bind at once: what is free of the round, what one team can be awarded, and what the frontier tier can be.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_FLOOR, Decimal

from ledger.models import Tier
from ledger.money import show
from pitches.quotes import CENT

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why lines do not fit: the cap that binds, as a code for programs, and how much it leaves."""

    code: str
    needed: Decimal
    left: Decimal

    @property
    def words(self) -> str:
        """Return it as a sentence."""
        binds = {
            "over_cap": "of the round is free",
            "over_team_cap": "is left of what one team can be awarded in this round",
            "over_frontier_cap": "is left of what the frontier tier can be awarded in this round",
        }
        return f"{show(self.needed)} does not fit: {show(self.left)} {binds[self.code]}."


@dataclass(frozen=True, slots=True)
class Room:
    """What is free of a round, and of its caps per team and on the frontier tier; a cap of None does not bind."""

    free: Decimal
    team_cap: Decimal | None = None
    frontier_free: Decimal | None = None
    teams: Mapping[int, Decimal] = field(default_factory=dict)
    """What each team was awarded or is offered, by its id."""

    def short(self, team: int, lines: Mapping[Tier, Decimal]) -> Shortfall | None:
        """Return why these lines for a team do not fit, None when they do."""
        total, frontier = sum(lines.values(), ZERO), lines.get(Tier.FRONTIER, ZERO)
        if total > self.free:
            return Shortfall("over_cap", total, max(self.free, ZERO))
        left = self._left_for(team)
        if left is not None and total > left:
            return Shortfall("over_team_cap", total, max(left, ZERO))
        if self.frontier_free is not None and frontier > self.frontier_free:
            return Shortfall("over_frontier_cap", frontier, max(self.frontier_free, ZERO))
        return None

    def _left_for(self, team: int) -> Decimal | None:
        return None if self.team_cap is None else self.team_cap - self.teams.get(team, ZERO)

    def less(self, team: int, lines: Mapping[Tier, Decimal]) -> "Room":
        """Return the room that is left when these lines are offered to a team."""
        total, frontier = sum(lines.values(), ZERO), lines.get(Tier.FRONTIER, ZERO)
        return replace(
            self,
            free=self.free - total,
            frontier_free=None if self.frontier_free is None else self.frontier_free - frontier,
            teams={**self.teams, team: self.teams.get(team, ZERO) + total},
        )


@dataclass(frozen=True, slots=True)
class Queued:
    """A pitch on the waitlist: its id, its team's, and the lines that it would be offered."""

    pitch: int
    team: int
    lines: Mapping[Tier, Decimal]


@dataclass(frozen=True, slots=True)
class Turn:
    """What becomes of a pitch on the waitlist: it moves up when nothing is short."""

    pitch: int
    short: Shortfall | None


def turns(room: Room, queue: Iterable[Queued]) -> list[Turn]:
    """Return, in the order of the waitlist, who moves up: everybody who fits what those before them leave.

    Only a pitch that cannot fit is passed over. The list ends with the last one that moves up, so it is empty when
    nobody does, and nobody behind that one was passed over for anybody.
    """
    found: list[Turn] = []
    for queued in queue:
        short = room.short(queued.team, queued.lines)
        found.append(Turn(queued.pitch, short))
        if short is None:
            room = room.less(queued.team, queued.lines)
    while found and found[-1].short is not None:
        found.pop()
    return found


def share_of(cap: Decimal, share: Decimal | None) -> Decimal | None:
    """Return a share of a cap down to the cent, in USD; None for no share."""
    return None if share is None else (cap * share).quantize(CENT, ROUND_FLOOR)
