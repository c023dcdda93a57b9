"""Resolved claims as lists, and as the calibration reads them."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import QuerySet

from ledger.exports import Cell
from ledger.money import CURRENCY
from pitches.calibration import Basis, Claim, basis
from pitches.models import ResolvedClaim
from pitches.questions import ValueKind
from teams.models import Team


def claims_listed() -> QuerySet[ResolvedClaim]:
    """Return every resolved claim, newest first, replaced ones included."""
    rows = ResolvedClaim.objects.select_related("team", "pitch", "recorded_by", "replaced_by", "replaces")
    return rows.order_by("-resolved_on", "-pk")


def claims_counted() -> list[Claim]:
    """Return the claims that count: every one that no other replaced, in the order of their numbers."""
    rows = ResolvedClaim.objects.filter(replaced_by=None).order_by("pk")
    return [
        Claim(team, kind, claimed, realised)
        for team, kind, claimed, realised in rows.values_list("team_id", "value_kind", "claimed", "realised")
    ]


@dataclass(frozen=True, slots=True)
class TeamFactor:
    """The factor of a team for a kind of value as it stands now, and what it was made of."""

    team: Team
    kind: ValueKind
    basis: Basis


def factors() -> list[TeamFactor]:
    """Return the factor of every team and kind of value with a resolved claim, by team."""
    claims = claims_counted()
    pairs = {(claim.team, claim.kind) for claim in claims}
    teams = Team.objects.in_bulk({team for team, _ in pairs})
    found = [
        TeamFactor(teams[team], ValueKind(kind), basis(claims, team=team, kind=kind)) for team, kind in sorted(pairs)
    ]
    return sorted(found, key=lambda row: (row.team.name, row.kind.value))


CLAIM_HEADER = (
    "Record",
    "Team",
    "Pitch",
    "Kind of value",
    f"Claimed, {CURRENCY}",
    f"Realised, {CURRENCY}",
    "Known since",
    "Recorded by",
    "Recorded at, UTC",
    "Reason",
    "Replaces",
    "Counts",
)


def claim_cells() -> Iterator[list[Cell]]:
    """Return the rows of the CSV file."""
    for claim in claims_listed().iterator():
        yield [
            claim.pk,
            claim.team.name,
            claim.pitch.number if claim.pitch else None,
            claim.get_value_kind_display(),
            claim.claimed,
            claim.realised,
            claim.resolved_on,
            claim.recorded_by.name,
            claim.created_at,
            claim.reason,
            claim.replaces_id,
            "no" if hasattr(claim, "replaced_by") else "yes",
        ]
