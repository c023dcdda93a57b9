"""The board as one member may see it, in a constant number of queries.

Of a pitch that a member is recused from they see its title, its team and that they are recused. And where there is
such a pitch, nothing that is about all pitches together: no sum, no rest, no curve, no price, no comparison, no gap,
because each of them would tell what the hidden one costs or whether it is in. Their sums are over what they may see.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction

from django.conf import settings
from django.db.models import Count, Max, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from pitches.board.engine import Engine, Held, Setting, engine_of
from pitches.board.why import Why, reasons
from pitches.choosing import Judged
from pitches.models import (
    BoardForce,
    BoardMove,
    BoardState,
    CommitteeSeat,
    MoveKind,
    Override,
    Pitch,
    Recusal,
    RecusalState,
    Round,
)
from pitches.selection.problem import Infeasible, Solution
from pitches.selectors.conflicts import conflicted_ids, recusals_standing
from pitches.selectors.inputs import inputs_text
from pitches.selectors.rounds import seat_of
from pitches.transitions import PitchState, RoundState
from pitches.wording import ratio
from teams.models import AuditEvent, User

CENT = Decimal(100)
SPLIT = Decimal("1.5")
STEPS = 200  # of the slider at least, from next to nothing to twice the cap
MOVES_SHOWN = 6
BOARD_VERBS = ("round.board", "round.note")
STILL_WRITING = 1000  # lines of the history that transactions may write at the same time
ABOUT_ALL = frozenset({"displaced", "team_cap", "tier_cap", "incompatible", "requires"})
"""Reasons that speak of other pitches: whoever is recused from one of them reads that the pitch is out, no more."""
HIDDEN_REASON = "You have a conflict of interest."


def usd(cents: int) -> Decimal:
    """Return cents as USD."""
    return Decimal(cents) / CENT


@dataclass(frozen=True, slots=True)
class OfferShown:
    """One offer of a pitch; amounts are USD."""

    name: str
    label: str
    tier: str
    cost: Decimal
    worth: Decimal
    clears: bool
    is_taken: bool


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One pitch on the board. Of a recused one only pitch, title, team and `recused` are there. Amounts are USD."""

    pk: int
    title: str
    team: str
    recused: str = ""
    is_in: bool = False
    held: str = ""
    is_signed: bool = False
    is_proposed: bool = False
    can_be_in: bool = True
    may_move: bool = False
    scores: tuple[int, ...] = ()
    mean: Decimal | None = None
    median: Decimal | None = None
    disagreement: Decimal | None = None
    asked: Decimal | None = None
    cost: Decimal | None = None
    worth: Decimal | None = None
    per_dollar: str = ""
    offers: tuple[OfferShown, ...] = ()
    code: str = ""
    why: str = ""
    by: tuple[str, ...] = ()
    shows_price: bool = False
    is_first_out: bool = False

    @property
    def label(self) -> str:
        """Return the name of the offer that is taken, empty when none is."""
        return next((offer.label for offer in self.offers if offer.is_taken), "")

    @property
    def dots(self) -> list[tuple[int, int]]:
        """Return the scores as places in a picture of the line from 1 to 9, equal ones on top of each other."""
        apart = {score: min(7, 14 // max(self.scores.count(score) - 1, 1)) for score in self.scores}
        return [
            (_place(Decimal(score)), 18 - apart[score] * self.scores[:number].count(score))
            for number, score in enumerate(self.scores)
        ]

    @property
    def mean_x(self) -> int | None:
        """Return the place of the mean in the same picture."""
        return None if self.mean is None else _place(self.mean)

    @property
    def is_split(self) -> bool:
        """Say whether the members are far apart: a standard deviation of a point and a half, or more."""
        return self.disagreement is not None and self.disagreement >= SPLIT


def _place(score: Decimal) -> int:
    return round(7 + 12 * (score - 1))


@dataclass(slots=True)
class Board:
    """A round's board for one reader; amounts are USD. Sums are over the rows that they may see."""

    round: Round
    stamp: str
    state: BoardState
    cap: Decimal
    spendable: Decimal
    may_move: bool
    is_whole: bool
    engine: Engine
    setting: Setting
    rows: list[BoardRow] = field(default_factory=list)
    moves: list[BoardMove] = field(default_factory=list)
    refused: str = ""
    is_proved: bool = True
    gap: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    worth: Decimal = Decimal(0)
    count: int = 0

    @property
    def hidden(self) -> list[BoardRow]:
        """Return the rows that the reader is recused from."""
        return [row for row in self.rows if row.recused]

    @property
    def shown(self) -> list[BoardRow]:
        """Return the rows that the reader may see."""
        return [row for row in self.rows if not row.recused]

    @property
    def left(self) -> Decimal | None:
        """Return what could still be awarded; None where it would tell what a hidden pitch costs."""
        return self.spendable - self.cost if self.is_whole and not self.refused else None

    @property
    def gap_shown(self) -> Decimal | None:
        """Return how much more worth there might be; None where it would tell of a hidden pitch."""
        return self.gap if self.is_whole else None

    @property
    def per_dollar(self) -> str:
        """Return the worth for each dollar of cost, of what the reader may see; empty where nothing is in."""
        return f"{(self.worth / self.cost).quantize(Decimal('0.01')):,f}" if self.cost else ""

    @property
    def kept_back(self) -> Decimal:
        """Return what the round keeps back of the cap."""
        return self.cap - self.spendable

    @property
    def is_moved(self) -> bool:
        """Say whether the board is set to something else than the round itself."""
        return self.cap != self.round.cap or any(row.held and not row.is_signed for row in self.shown)


@dataclass(frozen=True, slots=True)
class Slider:
    """A range of caps in USD: the round's own cap is one of its steps."""

    least: Decimal
    most: Decimal
    step: Decimal


def slider_of(round_: Round) -> Slider:
    """Return the caps that the slider reaches: up to about twice the round's, in round steps."""
    cap: Decimal = round_.cap
    step = _step(cap * 2 / STEPS)
    least = cap % step or step
    return Slider(least, least + step * ((2 * cap - least) // step), step)


def _step(about: Decimal) -> Decimal:
    """Return the largest of 1, 2, 5, 10, 20, … cents that is no larger than an amount."""
    tens = Decimal(1).scaleb(max(about, Decimal("0.01")).adjusted())
    return max([Decimal("0.01"), *(tens * many for many in (1, 2, 5) if tens * many <= about)])


def stamp_of(user: User, pk: int) -> str | None:
    """Return what the board of a round stands at, in one query; None for somebody without a seat.

    It changes with every move and note, and when an override, a conflict or the round itself changes.
    """
    moves = BoardMove.objects.filter(round=OuterRef("round")).values("round").annotate(n=Max("number"))
    changes = Count("pk") + Count("signed_at") + Count("withdrawn_at")
    overrides = Override.objects.filter(round=OuterRef("round")).values("round").annotate(n=changes)
    standing = Count("pk", filter=Q(state=RecusalState.RECUSED))
    recusals = Recusal.objects.filter(pitch__round=OuterRef("round")).values("pitch__round").annotate(n=standing)
    parts = [Coalesce(Subquery(found.values("n")), 0) for found in (moves, overrides, recusals)]
    row = CommitteeSeat.objects.filter(round=pk, user_id=user.pk).values_list("round__state", *parts).first()
    return ".".join(map(str, row)) if row else None


def board_state(round_: Round) -> BoardState:
    """Return what a round's board is set to; before the first move that is the round itself."""
    found = BoardState.objects.filter(round=round_).select_related("moved_by").first()
    return found or BoardState(round=round_, cap=round_.cap)


def held_on(state: BoardState) -> tuple[Held, ...]:
    """Return what members hold on a board, without the overrides."""
    rows = BoardForce.objects.filter(board=state.pk).select_related("option")
    return tuple(Held(row.pitch_id, row.force, row.option.offer if row.option else "") for row in rows)


def engine_for(round_: Round) -> Engine:
    """Return the warm choice of a round as things stand now.

    Whatever the inputs rest on leaves a line in the history when it changes; so the newest line that is not the
    board's own says whether they have to be read again. Lines that were written before it and seen after it, by a
    transaction that took longer, change the count.
    """
    others = AuditEvent.objects.exclude(verb__in=BOARD_VERBS)
    newest = others.order_by("-pk").values_list("pk", flat=True).first() or 0
    count = others.filter(pk__gt=newest - STILL_WRITING).count()
    return engine_of((round_.pk, round_.seed_hash, newest, count), lambda: inputs_text(round_))


def is_open(round_: Round) -> bool:
    """Say whether a round deliberates now."""
    return round_.state == RoundState.DECIDING


SORTS = {"in": "What is in first", "split": "Most disagreement first", "worth": "Most worth for each dollar first"}


def board_of(user: User, round_: Round, *, sort: str = "in", seconds: float | None = None) -> Board:
    """Return a deliberating round's board for one member, found within `seconds` (BOARD_SECONDS unless said)."""
    hidden = conflicted_ids(user, round_)
    state, engine = board_state(round_), engine_for(round_)
    setting = engine.setting(int(state.cap * 100), held_on(state))
    problem = engine.at(setting.cap)
    seated = seat_of(user, round_) is not None
    pitches = Pitch.objects.filter(round=round_, state=PitchState.SHORTLISTED).values_list(
        "pk", "current__title", "team__name"
    )
    board = Board(
        round=round_,
        stamp=stamp_of(user, round_.pk) or "",
        state=state,
        cap=state.cap,
        spendable=usd(problem.spendable),
        may_move=seated and is_open(round_),
        is_whole=not hidden,
        moves=moves_shown(round_, hidden),
        engine=engine,
        setting=setting,
    )
    try:
        solution = engine.solve(setting, seconds=settings.BOARD_SECONDS if seconds is None else seconds)
    except Infeasible:
        board.refused = "What is held in does not fit this cap: free something, or try a larger cap."
        solution = Solution((), 0, 0, optimal=True, gap=0)
    board.is_proved, board.gap = solution.optimal, usd(solution.gap)
    _fill(board, user, list(pitches), solution, hidden)
    board.rows = sorted_rows(board.rows, sort)
    return board


def _fill(
    board: Board, user: User, pitches: list[tuple[int, str, str]], solution: Solution, hidden: frozenset[int]
) -> None:
    found = _Rows(board, solution, {pk: title for pk, title, _ in pitches if pk not in hidden})
    recused = {row.pitch_id: row.reason for row in recusals_standing(user, board.round)} if hidden else {}
    for pk, title, team in pitches:
        if pk in hidden:
            board.rows.append(BoardRow(pk, title, team, recused=recused.get(pk, HIDDEN_REASON)))
            continue
        if pk not in board.engine.inputs.judged:  # it came or went this very moment
            continue
        row = found.row(pk, title, team)
        board.rows.append(row)
        if row.is_in:
            board.count += 1
            board.cost += row.cost or Decimal(0)
            board.worth += next((offer.worth for offer in row.offers if offer.is_taken and offer.clears), Decimal(0))


class _Rows:
    """Makes the rows of a board that the reader may see."""

    def __init__(self, board: Board, solution: Solution, titles: Mapping[int, str]) -> None:
        self.board, self.engine, self.titles = board, board.engine, titles
        self.taken = {int(pitch): offer for pitch, offer in solution.selected}
        self.held = {one.pitch: one.force for one in board.setting.held}
        self.signed = {one.pitch for one in self.engine.signed}
        self.reasons = reasons(self.engine, board.setting, solution)
        self.proposed = frozenset(
            Override.objects.filter(round=board.round, signed_at=None, withdrawn_at=None).values_list(
                "pitch", flat=True
            )
        )
        self.scores = {
            row["id"]: tuple(sorted(score for _, score in row["scores"])) for row in self.engine.inputs.pitches
        }

    def row(self, pk: int, title: str, team: str) -> BoardRow:
        """Return the row of one pitch."""
        judged = self.engine.inputs.judged[pk]
        taken = self.taken.get(pk, "")
        shown = judged.offer(taken) if taken else judged.best(self.engine.inputs.hurdle)
        asked = next((offer.cost for offer in judged.offers if offer.name == "full"), None)
        why = self._why(self.reasons[pk])
        return BoardRow(
            pk=pk,
            title=title,
            team=team,
            is_in=bool(taken),
            held=self.held.get(pk, ""),
            is_signed=pk in self.signed,
            is_proposed=pk in self.proposed,
            can_be_in=pk in self.engine.here,
            may_move=self.board.may_move and pk in self.engine.here and pk not in self.signed,
            scores=self.scores[pk],
            mean=judged.standing.mean,
            median=judged.standing.median,
            disagreement=judged.standing.disagreement,
            asked=None if asked is None else usd(asked),
            cost=None if shown is None else usd(shown.cost),
            worth=None if shown is None else usd(shown.worth),
            per_dollar=ratio(Fraction(shown.worth, shown.cost)) if shown is not None and shown.cost else "",
            offers=self._offers(judged, taken),
            code=why.code,
            why=why.words,
            by=tuple(self.titles[other] for other in why.by if other in self.titles),
            shows_price=self.board.is_whole and pk in self.engine.here and pk not in self.signed,
        )

    def _why(self, why: Why) -> Why:
        if not self.board.is_whole and why.code in ABOUT_ALL:
            return Why("out", "Out at this cap.")
        return why

    def _offers(self, judged: Judged, taken: str) -> tuple[OfferShown, ...]:
        hurdle = self.engine.inputs.hurdle
        return tuple(
            OfferShown(
                name=offer.name,
                label=offer.label,
                tier=offer.tier,
                cost=usd(offer.cost),
                worth=usd(offer.worth),
                clears=offer.worth >= hurdle * offer.cost,
                is_taken=offer.name == taken,
            )
            for offer in judged.offers
        )


def sorted_rows(rows: list[BoardRow], sort: str) -> list[BoardRow]:
    """Return rows in an order of `SORTS`; what the reader is recused from comes last."""

    def split(row: BoardRow) -> Decimal:
        return -(row.disagreement if row.disagreement is not None else Decimal(-1))

    def per_dollar(row: BoardRow) -> Decimal:
        return -(row.worth / row.cost if row.worth is not None and row.cost else Decimal(-1))

    match sort:
        case "split":
            rows = sorted(rows, key=lambda row: (bool(row.recused), split(row), row.pk))
        case "worth":
            rows = sorted(rows, key=lambda row: (bool(row.recused), per_dollar(row), row.pk))
        case _:
            rows = sorted(rows, key=lambda row: (bool(row.recused), not row.is_in, split(row), row.pk))
            first = next((place for place, row in enumerate(rows) if not row.is_in and not row.recused), None)
            if first:
                rows[first] = replace(rows[first], is_first_out=True)
    return rows


def moves_shown(round_: Round, hidden: frozenset[int], *, most: int | None = MOVES_SHOWN) -> list[BoardMove]:
    """Return a round's moves, newest first, without those about pitches in `hidden`."""
    rows = BoardMove.objects.filter(round=round_).exclude(pitch__in=hidden)
    rows = rows.select_related("actor", "pitch__current", "option").order_by("-number")
    return list(rows if most is None else rows[:most])


def held_at_board(user: User, pitch: Pitch) -> BoardMove | None:
    """Return the move by which the board holds a pitch now; without its price where that would tell of a hidden one."""
    if not BoardForce.objects.filter(pitch=pitch).exists():
        return None
    moves = BoardMove.objects.filter(pitch=pitch, kind__in=[MoveKind.FORCE_IN, MoveKind.FORCE_OUT])
    move = moves.select_related("actor").order_by("-number").first()
    if move is not None and conflicted_ids(user, pitch.round):
        move.price = None
    return move
