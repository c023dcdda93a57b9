"""The choice as the committee may see it: everything that its pages need, in a constant number of queries.

Of a pitch that a reader is recused from nothing is read into the rows: no worth, no price, no place, not even in sums
or among what displaced another.
"""

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet

from pitches.choosing import Inputs
from pitches.models import (
    Adoption,
    ChoiceRun,
    Decision,
    Outcome,
    Override,
    Pitch,
    PitchOption,
    ReasonCode,
    Round,
    Selection,
)
from pitches.models.choice import SelectionKind
from pitches.selectors.conflicts import conflicted_ids
from pitches.selectors.inputs import inputs_text
from pitches.transitions import RoundState
from pitches.wording import change_words
from teams.models import User

OVERRIDE_SHARE = Decimal("0.05")
CENT = Decimal(100)
LONG_TEXTS = ("inputs_text", "selection__inputs_text", "selection__result_text")
Json = dict[str, Any]


def latest_final(round_: Round) -> Selection | None:
    """Return the latest choice that can be adopted."""
    rows = Selection.objects.filter(round=round_, kind=SelectionKind.FINAL).select_related("created_by")
    return rows.order_by("-number").first()


def runs_of(round_: Round) -> QuerySet[ChoiceRun]:
    """Return what was asked for of a round's choice, without the long texts."""
    rows = ChoiceRun.objects.filter(round=round_).select_related("round", "asked_by", "selection")
    return rows.defer(*LONG_TEXTS)


def latest_run(round_: Round) -> ChoiceRun | None:
    """Return what was last asked for of a round's choice; None before."""
    return runs_of(round_).order_by("-pk").first()


def adopted_selection(round_: Round) -> Selection | None:
    """Return the choice that decisions were last made from; None while everything is decided by hand."""
    adoption = Adoption.objects.filter(round=round_).select_related("selection__created_by").order_by("-pk").first()
    return adoption.selection if adoption else None


def result_of(selection: Selection) -> Json:
    """Return a stored result."""
    found: Json = json.loads(selection.result_text)
    return found


def pitch_results(selection: Selection) -> dict[int, Json]:
    """Return what a choice says about each pitch, by id."""
    return {row["id"]: row for row in result_of(selection)["pitches"]}


def is_stale(selection: Selection) -> bool:
    """Say whether something that a choice rests on has changed since it was made."""
    return selection.inputs_text != inputs_text(selection.round)


def usd_of(cents: int | None) -> Decimal | None:
    """Return cents as USD."""
    return None if cents is None else Decimal(cents) / CENT


def inputs_of(round_: Round) -> Inputs:
    """Return what a choice rests on as things stand now: `judged`, `problem()` and `choose()` answer a slider."""
    return Inputs(inputs_text(round_))


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """What the choice says about one pitch; amounts are USD, scores 1 to 9."""

    pitch: Pitch
    outcome: Outcome
    reason: ReasonCode
    text: str
    formula: str
    label: str
    mean: str | None
    disagreement: str | None
    k: Decimal
    factor: Decimal
    worth: Decimal | None
    cost: Decimal | None
    displaced_by: list[Pitch]
    change: str
    waitlist_place: int | None
    offers: list[Json]
    override: Override | None

    @property
    def is_funded(self) -> bool:
        """Say whether it gets money."""
        return self.outcome == Outcome.FUND

    @property
    def worth_per_dollar(self) -> Decimal | None:
        """Return the worth per dollar to two places."""
        return (self.worth / self.cost).quantize(Decimal("0.01")) if self.worth is not None and self.cost else None


@dataclass(slots=True)
class Choice:
    """A round's choice as one member sees it; sums are USD and leave out what the member is recused from."""

    selection: Selection
    rows: list[ChoiceRow] = field(default_factory=list)
    worth: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    hidden: int = 0
    is_stale: bool = False
    is_adopted: bool = False
    is_optimal: bool = True
    gap: Decimal = Decimal(0)
    more: Json = field(default_factory=dict)
    larger_cap: Decimal | None = None
    added: list[Pitch] = field(default_factory=list)
    dropped: list[Pitch] = field(default_factory=list)


def choice_of(user: User, round_: Round, selection: Selection | None = None) -> Choice | None:
    """Return a round's latest choice for one member, funded first; None when none was made."""
    selection = selection or latest_final(round_)
    if selection is None:
        return None
    hidden = conflicted_ids(user, round_)
    result = result_of(selection)
    shown = Pitch.objects.filter(round=round_).exclude(pk__in=hidden).select_related("team", "current")
    pitches = {pitch.pk: pitch for pitch in shown}
    overrides = {row.pitch_id: row for row in overrides_of(round_, hidden=hidden) if row.withdrawn_at is None}
    rows = [_row(said, pitches, overrides) for said in result["pitches"] if said["id"] in pitches]
    funded = [row for row in rows if row.is_funded]
    adopted = adopted_selection(round_)
    order = {outcome: place for place, outcome in enumerate(Outcome)}
    return Choice(
        selection=selection,
        rows=sorted(
            rows, key=lambda row: (order[row.outcome], row.waitlist_place or 0, -(row.worth or 0), row.pitch.pk)
        ),
        worth=sum((row.worth or Decimal(0) for row in funded), Decimal(0)),
        cost=sum((row.cost or Decimal(0) for row in funded), Decimal(0)),
        hidden=len(result["pitches"]) - len(rows),
        is_stale=round_.state == RoundState.DECIDING and selection.inputs_text != inputs_text(round_),
        is_adopted=adopted is not None and adopted.pk == selection.pk,
        is_optimal=result["optimal"],
        gap=Decimal(result["gap"]) / CENT,
        more=result["more"],
        larger_cap=usd_of(result["more"].get("cap")),
        added=[pitches[pk] for pk in result["more"].get("added", ()) if pk in pitches],
        dropped=[pitches[pk] for pk in result["more"].get("dropped", ()) if pk in pitches],
    )


def _row(said: Json, pitches: dict[int, Pitch], overrides: dict[int, Override]) -> ChoiceRow:
    return ChoiceRow(
        pitch=pitches[said["id"]],
        outcome=Outcome(said["outcome"]),
        reason=ReasonCode(said["reason"]),
        text=said["text"],
        formula=said["formula"],
        label=said["label"],
        mean=said["mean"],
        disagreement=said["disagreement"],
        k=Decimal(said["k"]),
        factor=Decimal(said["factor"]),
        worth=usd_of(said["worth"]),
        cost=usd_of(said["cost"]),
        displaced_by=[pitches[pk] for pk in said["displaced_by"] if pk in pitches],
        change=change_words(said["smallest_change"]),
        waitlist_place=said["waitlist_place"],
        offers=[row | {"cost": usd_of(row["cost"]), "worth": usd_of(row["worth"])} for row in said["offers"]],
        override=overrides.get(said["id"]),
    )


def overrides_of(round_: Round, *, hidden: frozenset[int] = frozenset()) -> list[Override]:
    """Return every override of a round but those about pitches in `hidden`, newest first."""
    rows = Override.objects.filter(round=round_).exclude(pitch__in=hidden)
    return list(
        rows.select_related("pitch__current", "pitch__team", "option", "proposed_by", "signed_by").order_by("-pk")
    )


@dataclass(frozen=True, slots=True)
class OverrideRoom:
    """How much of the cap signed overrides move, in USD; a member who is recused sees their own pitches left out."""

    share: Decimal
    limit: Decimal
    moved: Decimal

    @property
    def left(self) -> Decimal:
        """Return what they may still move."""
        return self.limit - self.moved


def override_room(round_: Round, *, hidden: frozenset[int] = frozenset(), without: int | None = None) -> OverrideRoom:
    """Return how much signed overrides may still move, leaving out pitches in `hidden` and the override `without`."""
    rows = Override.objects.filter(round=round_, signed_at__isnull=False, withdrawn_at=None)
    costs = rows.exclude(pitch__in=hidden).exclude(pk=without or 0).values_list("cost", flat=True)
    return OverrideRoom(OVERRIDE_SHARE, round_.cap * OVERRIDE_SHARE, sum(costs, Decimal(0)))


def options_of(pitch: Pitch) -> list[PitchOption]:
    """Return the offers that the system made for a pitch."""
    return list(pitch.options.prefetch_related("lines").order_by("pk"))


def differing(selection: Selection) -> list[Pitch]:
    """Return the pitches whose decision is not what a choice says."""
    results = pitch_results(selection)
    decisions = Decision.objects.filter(pitch__in=list(results)).prefetch_related("lines")
    made = {
        row.pitch_id: (row.outcome, {line.tier: int(line.amount * 100) for line in row.lines.all()})
        for row in decisions
    }
    wrong = [pk for pk, said in results.items() if made.get(pk) != decided(said)]
    return list(Pitch.objects.filter(pk__in=wrong).order_by("pk"))


def decided(said: Json) -> tuple[str, dict[str, int]]:
    """Return the outcome and the award in cents by tier that a result stands for; a waitlisted one waits for its."""
    return said["outcome"], dict(said["lines"]) if said["outcome"] in {Outcome.FUND, Outcome.WAITLIST} else {}


def overrides_to_sign(user: User, round_: Round) -> int:
    """Return how many overrides wait for somebody's signature: proposed by another, about a pitch open to them."""
    waiting = Override.objects.filter(round=round_, signed_by=None, withdrawn_at=None).exclude(proposed_by=user)
    return waiting.exclude(pitch__in=conflicted_ids(user, round_)).count()
