"""What is pitched in the whole round: twelve ideas of three teams, as they are typed.

On the economy tier a call of 1,000 tokens in and 200 out costs 0.0009 USD, so 100,000 calls a month cost 540 USD in
the six months of the round. Minimum, target and stretch are the same and nothing can wait, so that each pitch has one
offer; only "Claims triage" asks for the standard tier, and has cheaper ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pitches import services
from pitches.models import Pitch, Round
from teams.models import Team, User
from tests.pitches.stage import typed


@dataclass(frozen=True)
class Idea:
    """A pitch: who types it, thousands of calls a month, the value in USD that is expected, the tier."""

    title: str
    lead: str
    calls: int
    value: int
    tier: str = "economy"

    @property
    def typed(self) -> dict[str, str]:
        """Return it as a person types it; Kim signs off its value."""
        calls = f"{self.calls},000"
        shown = typed(
            User.objects.get(email="kim@acorn.example"),
            title=self.title,
            summary=f"An agent does the first half of: {self.title.lower()}.",
            value_p10=str(self.value // 2),
            value_p50=str(self.value),
            value_p90=str(self.value * 2),
        )
        row = {"workflow": self.title, "tier": self.tier, "calls_target": calls, "calls_min": "", "calls_stretch": ""}
        due = f"{datetime.now(UTC) + timedelta(days=60):%Y-%m-%d}"
        return shown | {f"items-0-{name}": text for name, text in row.items()} | {"milestones-0-due_on": due}


TYPED = (
    Idea("Claims triage", "ana", 60, 50_000, "standard"),
    Idea("Fraud rings", "cy", 300, 36_000),
    Idea("Contract search", "bo", 200, 26_000),
)
"""Typed into the form; Fay is in Bo's team, so a rule recuses her from the last."""
KEPT = (
    Idea("Claims letters", "ana", 300, 40_000),
    Idea("Photo notes", "ana", 200, 30_000),
    Idea("Voice notes", "ana", 250, 20_000),
    Idea("Call summaries", "ana", 400, 24_000),
    Idea("Policy questions", "ana", 180, 20_000),
    Idea("Invoice checks", "cy", 150, 18_000),
    Idea("Case letters", "cy", 350, 30_000),
    Idea("Watch lists", "cy", 60, 600),
    Idea("Alert notes", "cy", 120, 14_000),
)
"""Drafts that are there already; their leads read them over and submit them."""
DECLARED, RETURNED, NO_QUORUM, SMALL = "Invoice checks", "Policy questions", "Alert notes", "Watch lists"


def drafts_make(round_: Round, teams: Mapping[str, Team], people: Mapping[str, User]) -> None:
    """Let everybody begin what they do not type in the story."""
    for idea in KEPT:
        lead = people[idea.lead]
        pitch = services.pitch_create(actor=lead, round_=round_, team=teams[idea.lead], title=idea.title)
        services.draft_save(actor=lead, pitch=pitch, typed=idea.typed, version=pitch.draft_version)


def pitch_of(title: str) -> Pitch:
    """Return a pitch as it stands now."""
    return Pitch.objects.select_related("team", "current", "round").get(title=title)
