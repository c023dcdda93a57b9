"""A round with many pitches that deliberates: invented teams, asks and votes, the same for the same seed."""

from dataclasses import replace
from decimal import Decimal
from random import Random

from ledger.models import Tier
from pitches import services
from pitches.models import Ballot, Pitch
from pitches.questions import Latency
from pitches.sealing import Place, Vote, ballot_seal
from pitches.services.ballots import ballot_key_make
from teams.models import Team, TeamRole, User
from teams.services import membership_set, team_create, user_create
from tests.pitches.stage import ITEM, Stage

THINGS = (
    "Claims triage", "Legacy COBOL modernisation", "Contract review backlog", "Nightly document extraction",
    "Meeting summaries for all", "Fraud graph agents", "Underwriting copilot", "Broker e-mail drafting",
    "Call centre wrap-up", "Policy wording search", "Subrogation finder", "Photo damage estimates",
    "Actuarial code review", "Complaint clustering", "Sanctions screening notes", "Flood model narration",
    "Invoice matching", "Vendor risk questionnaires", "Onboarding tutor", "Incident post-mortems",
    "Test data factory", "Regulator letters", "Reserve commentary", "Translation of terms",
    "Medical report digests", "Churn call briefings", "Data lineage scribe", "Release note writer",
    "Litigation timelines", "Portfolio what-if chat",
)  # fmt: skip
TEAMS = ("Core banking", "Legal", "Operations", "People", "Payments", "Actuarial", "Service", "Platform")
TIERS = (Tier.FRONTIER, Tier.FRONTIER, Tier.STANDARD, Tier.STANDARD, Tier.ECONOMY)


def deciding(stage: Stage, count: int, *, seed: int = 1) -> list[Pitch]:
    """Play a round with `count` pitches until its ballots are open; everybody with a seat voted on most of them."""
    dice = Random(seed)  # noqa: S311 - the same every time
    teams = _teams(stage)
    pitches = [_pitch(stage, dice, *teams[number % len(teams)], number) for number in range(count)]
    stage.to_vote()
    vote(stage, dice, pitches)
    services.voting_close(actor=stage.company.gil, round_=stage.round)
    stage.now()
    return pitches


def _teams(stage: Stage) -> list[tuple[Team, User]]:
    system = stage.company.system
    found = []
    for number, name in enumerate(TEAMS):
        unit = stage.company.insurance if number % 2 else stage.company.security
        lead = user_create(actor=system, email=f"lead{number}@acorn.example", name=f"Lead of {name}")
        team = team_create(actor=system, name=name, cost_centre=f"CC-{number + 300}", business_unit=unit)
        membership_set(actor=system, user=lead, team=team, role=TeamRole.LEAD)
        found.append((team, lead))
    return found


def _pitch(stage: Stage, dice: Random, team: Team, lead: User, number: int) -> Pitch:
    calls = dice.randint(20, 400) * 10_000
    tier = dice.choice(TIERS)
    item = replace(ITEM, tier=tier, calls_min=calls // 2, calls_target=calls, calls_stretch=calls * 3 // 2)
    price = {Tier.FRONTIER: 20, Tier.STANDARD: 4, Tier.ECONOMY: 1}[tier]
    cost = calls // 1000 * price * 6
    value = Decimal(int(cost * dice.uniform(1.2, 9))).quantize(Decimal(1))
    latency = dice.choice((Latency.SECONDS, Latency.MINUTES))
    again = "" if number < len(THINGS) else f" {number // len(THINGS) + 1}"
    title = f"{THINGS[number % len(THINGS)]}{again}"
    return stage.submitted(title, team=team, lead=lead, value=str(value), items=(item,), latency=latency)


def vote(stage: Stage, dice: Random, pitches: list[Pitch]) -> None:
    """Cast ballots of every member on every pitch, in one statement."""
    ballots, public = [], bytes(ballot_key_make(stage.round).public)
    for pitch in pitches:
        middle, width = dice.randint(3, 8), dice.choice((0, 1, 1, 2, 3))
        for member in stage.members:
            score = min(9, max(1, middle + dice.randint(-width, width)))
            vote = Vote("yes" if score > 4 else "no", score)
            sealed = ballot_seal(vote, public=public, place=Place(stage.round.pk, pitch.pk, member.pk))
            ballots.append(Ballot(pitch=pitch, member=member, sealed=sealed))
    Ballot.objects.bulk_create(ballots)
