"""Published results: every pitch of a round with its figures, its reason and what displaced it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from django.db.models import QuerySet

from ledger.exports import Cell
from ledger.money import CURRENCY
from pitches.models import Outcome, Override, Pitch, Result, Round, Selection
from pitches.options import OptionCode
from pitches.selectors.selection import overrides_of, result_of, usd_of
from pitches.transitions import DECISIONS_PUBLIC, PitchState
from pitches.wording import change_words

Json = dict[str, Any]
SINCE = {
    PitchState.OFFERED: "offered, not answered yet",
    PitchState.FUNDED: "accepted",
    PitchState.DECLINED: "declined by the team",
    PitchState.LAPSED: "lapsed",
    PitchState.WITHDRAWN: "withdrawn",
}
PROMOTED = frozenset({PitchState.OFFERED, PitchState.FUNDED, PitchState.DECLINED, PitchState.LAPSED})
ZERO, CENT = Decimal(0), Decimal("0.01")


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One published result; amounts are USD. `said` is what the choice kept beside the figures of the row."""

    result: Result
    displaced_by: list[Pitch]
    override: Override | None
    said: Json

    @property
    def pitch(self) -> Pitch:
        """Return the pitch."""
        return self.result.pitch

    @property
    def change(self) -> str:
        """Return the smallest change that would have funded it, as a sentence."""
        return change_words(self.result.smallest_change)

    @property
    def formula(self) -> str:
        """Return its worth as the formula with the numbers put in."""
        return str(self.said["formula"])

    @property
    def calibration(self) -> str:
        """Return where its team's factor comes from, in a sentence."""
        return calibration_words(self.result.factor, self.said["calibration"])

    @property
    def worth_per_dollar(self) -> Decimal | None:
        """Return the worth of a dollar of its cost, to the cent; None where nothing can be awarded."""
        result = self.result
        return None if result.worth is None or not result.cost else (result.worth / result.cost).quantize(CENT)

    @property
    def asked(self) -> Decimal | None:
        """Return what the team asked for in USD where its offer is another one; else None."""
        full = next((row["cost"] for row in self.said["offers"] if row["offer"] == OptionCode.FULL), None)
        return None if self.said["offer"] == OptionCode.FULL else usd_of(full)

    @property
    def since(self) -> str:
        """Return what happened to a pitch after it was funded or waitlisted, in words; empty when nothing did."""
        if self.result.outcome not in {Outcome.FUND, Outcome.WAITLIST}:
            return ""
        since = SINCE.get(PitchState(self.pitch.state), "")
        return f"money came free, {since}" if since and self.is_promoted else since

    @property
    def is_promoted(self) -> bool:
        """Say whether a pitch of the waitlist has got an offer, because another award came to nothing or was less."""
        return self.result.outcome == Outcome.WAITLIST and self.pitch.state in PROMOTED

    @property
    def offers(self) -> list[Json]:
        """Return what it could have been offered, with cost and worth in USD."""
        return [row | {"cost": usd_of(row["cost"]), "worth": usd_of(row["worth"])} for row in self.said["offers"]]


def calibration_words(factor: Decimal, said: Json) -> str:
    """Say in a sentence or two where a team's factor comes from."""
    ratio = "the policy value" if said["is_policy"] else f"what {said['class_resolved']} resolved pitches delivered"
    if not said["resolved"]:
        return f"The factor {factor} is {ratio} for this kind of value: no claim of the team is resolved yet."
    claims = "claim" if said["resolved"] == 1 else "claims"
    return (
        f"The factor {factor} is what {said['resolved']} resolved {claims} of the team delivered for each dollar, "
        f"topped up with four typical pitches at {ratio}."
    )


@dataclass(slots=True)
class Published:
    """A round's published choice; amounts are USD."""

    selection: Selection
    rows: list[ResultRow] = field(default_factory=list)
    overrides: list[Override] = field(default_factory=list)
    worth: Decimal = ZERO
    cost: Decimal = ZERO
    spendable: Decimal = ZERO
    worth_without_overrides: Decimal = ZERO
    is_optimal: bool = True
    gap: Decimal = ZERO
    check_exact: bool = False
    more: Json = field(default_factory=dict)
    added: list[Pitch] = field(default_factory=list)
    dropped: list[Pitch] = field(default_factory=list)
    changed: list[tuple[Pitch, str, str]] = field(default_factory=list)

    @property
    def published_at(self) -> datetime | None:
        """Return since when everybody can read it."""
        moment: datetime | None = self.rows[0].pitch.decision.published_at
        return moment

    @property
    def left(self) -> Decimal:
        """Return what could be awarded and was not."""
        return self.spendable - self.cost

    @property
    def team_limit(self) -> Decimal | None:
        """Return the most that one team could get; None where only the cap limits it."""
        return _share(self.selection.round, self.selection.round.team_cap)

    @property
    def frontier_limit(self) -> Decimal | None:
        """Return the most that could go to the frontier tier; None where only the cap limits it."""
        return _share(self.selection.round, self.selection.round.frontier_cap)

    @property
    def waitlist(self) -> list[ResultRow]:
        """Return who waits, the first in line in front."""
        waiting = [row for row in self.rows if row.result.waitlist_place]
        return sorted(waiting, key=lambda row: row.result.waitlist_place or 0)


def _share(round_: Round, share: Decimal | None) -> Decimal | None:
    return None if share is None else (round_.cap * share).quantize(CENT, ROUND_FLOOR)


def results_published(round_: Round) -> Published | None:
    """Return a round's published choice, funded first; None before, and where everything was decided by hand."""
    results = list(_results().filter(pitch__round=round_))
    if round_.state not in DECISIONS_PUBLIC or not results:
        return None
    selection = results[0].selection
    said = result_of(selection)
    by_id = {result.pitch_id: result.pitch for result in results}
    overrides = [row for row in overrides_of(round_) if row.is_standing]
    more = said["more"]
    return Published(
        selection=selection,
        rows=sorted(_rows(results, said, overrides), key=_order),
        overrides=overrides,
        worth=usd_of(said["worth"]) or ZERO,
        cost=usd_of(said["cost"]) or ZERO,
        spendable=usd_of(said["spendable"]) or ZERO,
        worth_without_overrides=usd_of(said["worth_without_overrides"]) or ZERO,
        is_optimal=said["optimal"],
        gap=usd_of(said["gap"]) or ZERO,
        check_exact=said["check"]["exact"],
        more={key: usd_of(more[key]) for key in ("cap", "spendable", "worth", "cost") if key in more},
        added=[by_id[pk] for pk in more.get("added", ())],
        dropped=[by_id[pk] for pk in more.get("dropped", ())],
        changed=[(by_id[row["pitch"]], *_labels(said, row)) for row in more.get("changed", ())],
    )


def _labels(said: Json, changed: Json) -> tuple[str, str]:
    """Return what the offer of a pitch is called now, and with the larger cap."""
    offers = next(row["offers"] for row in said["pitches"] if row["id"] == changed["pitch"])
    names = {row["offer"]: row["label"] for row in offers}
    return names[changed["from"]], names[changed["to"]]


def _results() -> QuerySet[Result]:
    related = ("pitch__team", "pitch__current", "pitch__decision", "option")
    chosen = ("selection__round", "selection__created_by")
    return Result.objects.select_related(*related, *chosen).order_by("pitch")


def _rows(results: list[Result], said: Json, overrides: list[Override]) -> Iterator[ResultRow]:
    kept = {row["id"]: row for row in said["pitches"]}
    by_id = {result.pitch_id: result.pitch for result in results}
    standing = {row.pitch_id: row for row in overrides}
    for result in results:
        displaced_by = [by_id[pk] for pk in result.displaced_by if pk in by_id]
        yield ResultRow(result, displaced_by, standing.get(result.pitch_id), kept[result.pitch_id])


def _order(row: ResultRow) -> tuple[int, int, Decimal, int]:
    result = row.result
    outcomes = {outcome.value: place for place, outcome in enumerate(Outcome)}
    return outcomes[result.outcome], result.waitlist_place or 0, -(result.worth or ZERO), result.pitch_id


def result_of_pitch(pitch: Pitch) -> ResultRow | None:
    """Return the published result of one pitch; None before, and where it was decided by hand."""
    published = results_published(pitch.round)
    return next((row for row in published.rows if row.pitch.pk == pitch.pk), None) if published else None


HEADER = (
    "Pitch",
    "Title",
    "Team",
    "Outcome",
    "Waitlist place",
    "Offer",
    f"Cost, {CURRENCY}",
    f"Worth, {CURRENCY}",
    f"Value, {CURRENCY}",
    "Factor",
    "Quality",
    "Conviction",
    "Mean score",
    "Median score",
    "Disagreement",
    "z",
    "Reason",
    "Explanation",
    "Displaced by",
)


def cells(published: Published) -> Iterator[list[Cell]]:
    """Return the rows of the CSV file."""
    for row in published.rows:
        result = row.result
        yield [
            row.pitch.number,
            row.pitch.submitted.title,
            row.pitch.team.name,
            result.get_outcome_display(),
            result.waitlist_place,
            result.option.label if result.option else None,
            result.cost,
            result.worth,
            result.value,
            result.factor,
            result.quality,
            result.k,
            result.mean,
            result.median,
            result.disagreement,
            result.z,
            result.get_reason_code_display(),
            result.reason_text,
            ", ".join(pitch.number for pitch in row.displaced_by),
        ]


def as_json(published: Published) -> Json:
    """Return a published choice for programs: amounts are decimal text in USD."""
    selection = published.selection
    return {
        "round": selection.round.name,
        "currency": CURRENCY,
        "rule": selection.rule,
        "solver": selection.solver,
        "seed": selection.round.seed,
        "inputs_sha256": selection.inputs_sha256,
        "result_sha256": selection.result_sha256,
        "spendable": str(published.spendable),
        "cost": str(published.cost),
        "worth": str(published.worth),
        "worth_without_overrides": str(published.worth_without_overrides),
        "proved_optimal": published.is_optimal,
        "gap": str(published.gap),
        "results": [_json(row) for row in published.rows],
        "overrides": [_override(row) for row in published.overrides],
    }


def _json(row: ResultRow) -> Json:
    result = row.result
    figures = ("mean", "median", "disagreement", "z", "k", "factor", "quality", "value", "worth", "cost")
    return {
        "pitch": row.pitch.number,
        "title": row.pitch.submitted.title,
        "team": row.pitch.team.slug,
        "outcome": result.outcome,
        "waitlist_place": result.waitlist_place,
        "offer": result.option.offer if result.option else None,
        **{name: _text(getattr(result, name)) for name in figures},
        "reason_code": result.reason_code,
        "reason": result.reason_text,
        "displaced_by": [pitch.number for pitch in row.displaced_by],
        "smallest_change": row.change,
    }


def _override(override: Override) -> Json:
    return {
        "pitch": override.pitch.number,
        "force": override.force,
        "category": override.category,
        "reason": override.reason,
        "price": str(override.price),
        "cost": str(override.cost),
        "proposed_by": override.proposed_by.name,
        "signed_by": override.signed_by.name if override.signed_by else None,
    }


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)
