"""Everything that a choice rests on, read in a constant number of queries and written as canonical JSON text."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.db.models import Prefetch

from ledger.models import Tier
from pitches.choosing import RULE, canonical
from pitches.models import Ballot, Decision, OptionLine, Outcome, Override, Pitch, PitchLink, PitchOption, Round
from pitches.sealing import seed_open
from pitches.selectors.claims import claims_counted
from pitches.selectors.conflicts import eligible_members
from pitches.transitions import PitchState

HAS_MONEY = frozenset({PitchState.OFFERED, PitchState.FUNDED})
Json = dict[str, Any]


def inputs_text(round_: Round) -> str:
    """Return the inputs of a round's choice as things stand now; equal texts mean that nothing has changed."""
    pitches = list(
        Pitch.objects.filter(round=round_, state=PitchState.SHORTLISTED)
        .select_related("current")
        .prefetch_related(
            Prefetch(
                "options",
                PitchOption.objects.order_by("pk").prefetch_related(
                    Prefetch("lines", OptionLine.objects.order_by("pk"))
                ),
            )
        )
        .order_by("pk")
    )
    votes, scores, eligible = _ballots(round_)
    unfunded = rounds_unfunded({pitch.team_id for pitch in pitches}, before=round_)
    claims = claims_counted()
    said = {
        "rule": RULE,
        "round": _round(round_),
        "pitches": [
            {
                "id": pitch.pk,
                "title": pitch.submitted.title,
                "team": pitch.team_id,
                "kind": pitch.submitted.value_kind,
                "unfunded_rounds": unfunded.get(pitch.team_id, 0),
                "eligible": sorted(eligible.get(pitch.pk, ())),
                "votes": votes[pitch.pk],
                "scores": scores[pitch.pk],
                "offers": [_offer(option) for option in pitch.options.all()],
            }
            for pitch in pitches
        ],
        "claims": [[row.team, row.kind, str(row.claimed), str(row.realised)] for row in claims],
        "forced": [_forced(override) for override in overrides_signed(round_)],
        **links_of(pitches),
    }
    return canonical(said)


def _round(round_: Round) -> Json:
    frontier = round_.frontier_cap
    return {
        "cap": int(round_.cap * 100),
        "reserve_share": str(round_.reserve_share),
        "hurdle": str(round_.hurdle),
        "team_cap": None if round_.team_cap is None else str(round_.team_cap),
        "tier_caps": {} if frontier is None else {Tier.FRONTIER.value: str(frontier)},
        "quorum": round_.quorum,
        "seed": round_.seed or seed_open(bytes(round_.seed_sealed)),
    }


def _offer(option: PitchOption) -> Json:
    return {
        "offer": option.offer,
        "label": option.label,
        "tier": option.tier,
        "lines": {line.tier: int(line.amount * 100) for line in option.lines.all()},
        "value": int(option.value * 100),
        "quality": str(option.quality),
        "measured": option.is_measured,
    }


def _ballots(round_: Round) -> tuple[dict[int, int], dict[int, list[list[int]]], dict[int, frozenset[int]]]:
    """Return votes, [member, score] pairs and eligible members by pitch; what a conflict closes is not read."""
    eligible = dict(eligible_members(round_))
    votes: dict[int, int] = defaultdict(int)
    scores: dict[int, list[list[int]]] = defaultdict(list)
    rows = Ballot.objects.filter(pitch__round=round_).exclude(revealed_at=None).order_by("pitch_id", "member_id")
    for pitch_id, member_id, score in rows.values_list("pitch_id", "member_id", "score"):
        if member_id in eligible.get(pitch_id, ()):
            votes[pitch_id] += 1
            if score is not None:
                scores[pitch_id].append([member_id, score])
    return votes, scores, eligible


def overrides_signed(round_: Round) -> list[Override]:
    """Return the overrides that stand: signed and not withdrawn."""
    rows = Override.objects.filter(round=round_, signed_at__isnull=False, withdrawn_at=None)
    return list(rows.select_related("option").order_by("pitch_id"))


def _forced(override: Override) -> Json:
    return forced_of(override.pitch_id, override.force, override.option)


def forced_of(pitch_id: int, force: str, option: PitchOption | None) -> Json:
    """Return an override as the choice reads it."""
    return {"pitch": pitch_id, "force": force, "offer": option.offer if option else None}


def rounds_unfunded(teams: Iterable[int], *, before: Round) -> dict[int, int]:
    """Return for each team for how many published rounds in a row, up to now, it pitched and got nothing."""
    rows = (
        Decision.objects.filter(pitch__team__in=list(teams))
        .exclude(published_at=None)
        .exclude(pitch__round=before)
        .order_by("-published_at", "pk")
    )
    funded: dict[int, dict[int, bool]] = defaultdict(dict)
    for team, round_id, outcome in rows.values_list("pitch__team_id", "pitch__round_id", "outcome"):
        funded[team][round_id] = funded[team].get(round_id, False) or outcome == Outcome.FUND
    return {team: _leading_false(list(rounds.values())) for team, rounds in funded.items()}


def _leading_false(found: list[bool]) -> int:
    return next((place for place, got in enumerate(found) if got), len(found))


def links_of(pitches: Iterable[Pitch]) -> dict[str, list[list[int]]]:
    """Return which pitches cannot run together and which needs which, as pairs of ids.

    What is needed and has its money from another round is not named: nothing waits for it any more.
    """
    found: dict[str, list[list[int]]] = {"incompatible": [], "requires": []}
    current = {pitch.current_id: pitch.pk for pitch in pitches}
    rows = PitchLink.objects.filter(revision__in=list(current)).order_by("revision_id", "pk")
    for revision, kind, other, state in rows.values_list("revision_id", "kind", "other_id", "other__state"):
        if not (kind == "requires" and state in HAS_MONEY):
            found[kind].append([current[revision], other])
    return found
