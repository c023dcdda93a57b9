"""What a pitch says, typed and checked: forms make it out of what was typed, `pitch_submit` keeps it as a revision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from allocations.models import StopBehaviour
from ledger.models import Tier
from pitches.asking import OWN_CHOICES
from pitches.models import Pitch
from pitches.questions import Case, DataClass, Evidence, Latency, LinkKind, ValueKind
from pitches.quotes import Work
from teams.models import User


@dataclass(frozen=True, slots=True)
class ItemContent:
    """One workflow of the ask; calls per month, tokens per call, percent of calls that can wait."""

    workflow: str
    tier: Tier
    calls_min: int
    calls_target: int
    calls_stretch: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    batch_percent: int
    evidence: Evidence = Evidence.GUESS

    @property
    def work(self) -> Work:
        """Return what of it has a price."""
        calls = {Case.MIN: self.calls_min, Case.TARGET: self.calls_target, Case.STRETCH: self.calls_stretch}
        return Work(
            tier=self.tier,
            calls=calls,
            input_tokens=self.input_tokens,
            cached_tokens=self.cached_tokens,
            output_tokens=self.output_tokens,
            batch_percent=self.batch_percent,
        )


@dataclass(frozen=True, slots=True)
class MilestoneContent:
    """What will be shown by when."""

    title: str
    due_on: date


@dataclass(frozen=True, slots=True)
class ApplicantContent:
    """Somebody who applies together with the team, and what they contribute."""

    user: User
    role: str


@dataclass(frozen=True, slots=True)
class QualityContent:
    """How good a tier is on the team's own eval, above 0 up to 1, beside the tiers asked for, and how measured."""

    tier: Tier
    quality: Decimal
    evidence: str


@dataclass(frozen=True, slots=True)
class LinkContent:
    """A tie to another pitch of the same round."""

    kind: LinkKind
    other: Pitch


@dataclass(frozen=True, slots=True)
class PitchContent:
    """Everything a revision keeps but its quote; amounts are USD over the round's period."""

    title: str
    summary: str
    problem: str
    value_kind: ValueKind
    value_p10: Decimal
    value_p50: Decimal
    value_p90: Decimal
    value_metric: str
    value_method: str
    evidence: Evidence
    sign_off: User
    quality_bar: str
    data_class: DataClass
    compliance: Mapping[str, str]
    compliance_note: str
    latency: Latency
    stop_behaviour: StopBehaviour
    items: tuple[ItemContent, ...]
    milestones: tuple[MilestoneContent, ...]
    accountable: User | None = None
    """Who answers for the result; None: the pitch's owner."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """Question code to answer; those of questions that are not asked are dropped."""
    applicants: tuple[ApplicantContent, ...] = ()
    quality: tuple[QualityContent, ...] = ()
    links: tuple[LinkContent, ...] = ()

    @property
    def own_choices(self) -> dict[str, str]:
        """Return the answers to the form's own fields that a condition can name."""
        return {name: str(getattr(self, name).value) for name in OWN_CHOICES}
