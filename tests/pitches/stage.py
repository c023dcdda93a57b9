"""The stage of a round: a funded year, one model per tier with round prices, a committee, and pitches to tell apart.

Prices in USD per million tokens: frontier 10 in and 50 out, standard 2 and 10, economy 0.5 and 2, batch 1 and 5;
a cache read costs a tenth of the input. One call of `ITEM` has 1,000 tokens in, none cached, and 200 out, so 1,000
calls cost 20 dollars on frontier, 4 on standard.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from allocations.models import Allocation, StopBehaviour
from ledger.models import AiModel, Dialect, Tier
from ledger.money import usd
from ledger.selectors import today
from ledger.services import model_add, provider_add, year_fund
from pitches import services
from pitches.asking import Terms
from pitches.content import ItemContent, MilestoneContent, PitchContent
from pitches.models import (
    Aspect,
    Choice,
    Counter,
    Expertise,
    Finding,
    Offer,
    Outcome,
    Pitch,
    Round,
    Screening,
)
from pitches.questions import CHECKLIST, Answer, DataClass, Evidence, Latency, ValueKind
from pitches.selectors.conflicts import undeclared
from pitches.selectors.screening import unscreened
from pitches.services import Calendar, ConflictAnswer, Mark, Rules
from pitches.transitions import PitchState
from teams.models import Team, User
from tests.cast import Company

PRICES = {
    Tier.FRONTIER: ("10", "50", "1"),
    Tier.STANDARD: ("2", "10", "0.2"),
    Tier.ECONOMY: ("0.5", "2", "0.05"),
    Tier.BATCH: ("1", "5", "0.1"),
}
ITEM = ItemContent(
    workflow="Triage",
    tier=Tier.STANDARD,
    calls_min=50_000,
    calls_target=100_000,
    calls_stretch=200_000,
    input_tokens=1000,
    cached_tokens=0,
    output_tokens=200,
    batch_percent=0,
)
"""400 dollars a month at target, so 2,400 over the six months of a round."""


def models_add(actor: User) -> dict[Tier, AiModel]:
    """Add the sandbox with one model per tier."""
    provider = provider_add(actor=actor, name="sandbox", dialect=Dialect.SANDBOX)
    return {
        tier: model_add(
            actor=actor,
            provider=provider,
            name=f"tank-{tier.value}",
            tier=tier,
            input_price=Decimal(price_in),
            output_price=Decimal(price_out),
            cache_read_price=Decimal(price_cached),
        )
        for tier, (price_in, price_out, price_cached) in PRICES.items()
    }


def calendar(days: int = 7) -> Calendar:
    """Return deadlines a week apart from now on."""
    now = datetime.now(UTC).replace(microsecond=0)
    return Calendar(*(now + timedelta(days=days * step) for step in range(1, 5)))


def content(sign_off: User, *, title: str = "Claims triage", value: str = "50000", **changes: object) -> PitchContent:
    """Return a complete pitch that asks for `ITEM`."""
    whole = PitchContent(
        title=title,
        summary="An agent sorts what comes in by urgency.",
        problem="Two people read every claim first.",
        value_kind=ValueKind.SAVING,
        value_p10=Decimal(value) / 2,
        value_p50=Decimal(value),
        value_p90=Decimal(value) * 2,
        value_metric="Minutes per claim",
        value_method="Minutes saved times what an hour costs.",
        evidence=Evidence.MEASURED,
        sign_off=sign_off,
        quality_bar="94 of 100 sorted as two people would.",
        data_class=DataClass.INTERNAL,
        compliance={question.code: Answer.YES.value for question in CHECKLIST},
        compliance_note="",
        latency=Latency.SECONDS,
        stop_behaviour=StopBehaviour.FALL,
        items=(ITEM,),
        milestones=(MilestoneContent("Pilot with one desk", date(2027, 1, 31)),),
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def typed(sign_off: User, **changes: str) -> dict[str, str]:
    """Return the same pitch as a person types it into the form."""
    draft = {
        "title": "Claims triage",
        "summary": "An agent sorts what comes in by urgency.",
        "problem": "Two people read every claim first.",
        "value_kind": "saving",
        "value_metric": "Minutes per claim",
        "value_p10": "25,000",
        "value_p50": "$50,000",
        "value_p90": "100000.00",
        "value_method": "Minutes saved times what an hour costs.",
        "evidence": "measured",
        "sign_off": sign_off.email,
        "latency": "seconds",
        "stop_behaviour": "fall",
        "quality_bar": "94 of 100 sorted as two people would.",
        "data_class": "internal",
        **{f"compliance-{question.code}": "yes" for question in CHECKLIST},
        "items-TOTAL_FORMS": "1",
        "items-0-workflow": "Triage",
        "items-0-tier": "standard",
        "items-0-calls_target": "100,000",
        "items-0-calls_min": "50 000",
        "items-0-calls_stretch": "200000",
        "items-0-input_tokens": "1000",
        "items-0-output_tokens": "200",
        "milestones-TOTAL_FORMS": "1",
        "milestones-0-title": "Pilot with one desk",
        "milestones-0-due_on": "2027-01-31",
    }
    return {name: text for name, text in (draft | changes).items() if text}


def of(path: str, pitch: Pitch) -> str:
    """Return the address of a page of a pitch."""
    return f"/pitches/{pitch.pk}/{path}"


def queries_of(client: Client, path: str) -> int:
    """Return how many queries a page asks, once what a process reads once is read."""
    client.get(path)
    with CaptureQueriesContext(connection) as asked:
        assert client.get(path).status_code == 200
    return len(asked)


@dataclass
class Stage:
    """A round and everybody in it. Gil chairs; Dee, Eli and Fay sit with him."""

    company: Company
    round: Round
    models: Mapping[Tier, AiModel]
    members: list[User] = field(default_factory=list)

    def now(self) -> Round:
        """Return the round as it stands now."""
        self.round.refresh_from_db()
        return self.round

    def pitch(self, title: str = "Claims triage", *, team: Team | None = None, lead: User | None = None) -> Pitch:
        """Begin a draft, by Ana for Claims unless said otherwise."""
        return services.pitch_create(
            actor=lead or self.company.ana, round_=self.round, team=team or self.company.claims, title=title
        )

    def submitted(
        self, title: str = "Claims triage", *, team: Team | None = None, lead: User | None = None, **changes: object
    ) -> Pitch:
        """Begin and submit a pitch; Kim signs off its value."""
        pitch = self.pitch(title, team=team, lead=lead)
        said = content(self.company.kim, title=title, **changes)  # type: ignore[arg-type]
        services.pitch_submit(actor=lead or self.company.ana, pitch=pitch, content=said)
        pitch.refresh_from_db()
        return pitch

    def peek(self, member: User, pitch: Pitch) -> None:
        """Let somebody look at a sealed pitch."""
        services.pitch_peek(actor=member, pitch=pitch, reason="The team asked for an early word.")

    def marks(self, score: int = 7) -> dict[int, Mark]:
        """Return the same score with a sentence on every criterion."""
        return {row.pk: Mark(score, f"{score} for {row.name}") for row in self.round.criteria.all()}

    def everybody_declares(self) -> None:
        """Let every member of the committee declare."""
        for member in self.members:
            if self.round.seats.filter(user=member).exists():
                self.declared(member)

    def declared(self, member: User) -> None:
        """Let a member declare no conflict about whatever they said nothing about yet."""
        answers = {pitch.pk: ConflictAnswer() for pitch in undeclared(member, self.now())}
        if answers:
            services.declaration_make(actor=member, round_=self.round, answers=answers)

    def review(self, member: User, pitch: Pitch, score: int = 7) -> None:
        """Hand in a review of the current revision, after declaring where the member has a seat."""
        if self.round.seats.filter(user=member).exists():
            self.declared(member)
        pitch.refresh_from_db()
        services.review_submit(
            actor=member,
            pitch=pitch,
            revision_number=pitch.submitted.number,
            marks=self.marks(score),
            expertise=Expertise.FAMILIAR,
        )

    def vote(self, member: User, pitch: Pitch, choice: Choice = Choice.YES, score: int | None = 8) -> None:
        """Cast a ballot, after declaring where the member has a seat."""
        if self.round.seats.filter(user=member).exists():
            self.declared(member)
        services.ballot_cast(
            actor=member, pitch=pitch, choice=choice, score=None if choice == Choice.ABSTAIN else score
        )

    def to_review(self) -> None:
        """Close for pitches; everybody declares."""
        services.review_start(actor=self.company.gil, round_=self.round)
        self.everybody_declares()
        self.now()

    def screened(self) -> None:
        """Let Ivo and Mia find feasible whatever is in review and they did not look at yet, past the service.

        Its events would stand in every story of a vote; `test_screening.py` tells how it is done.
        """
        by = {Aspect.ESTIMATE: self.company.ivo, Aspect.COMPLIANCE: self.company.mia}
        waiting = unscreened(
            Pitch.objects.filter(round=self.round, state=PitchState.IN_REVIEW).select_related("current")
        )
        Screening.objects.bulk_create(
            Screening(revision=pitch.submitted, aspect=aspect, finding=Finding.FEASIBLE, reason="Fits.", by=by[aspect])
            for pitch, aspects in waiting
            for aspect in aspects
        )

    def to_vote(self) -> None:
        """Open the vote, closing for pitches first where that is still to be done."""
        if self.now().state == "open":
            self.to_review()
        self.screened()
        services.voting_open(actor=self.company.gil, round_=self.round)
        self.everybody_declares()
        self.now()

    def to_decide(self, *pitches: Pitch) -> None:
        """Let Gil, Dee and Eli vote yes with an 8 on these pitches and close the vote."""
        self.to_vote()
        for pitch in pitches:
            for member in (self.company.gil, self.company.dee, self.company.eli):
                self.vote(member, pitch)
        services.voting_close(actor=self.company.gil, round_=self.round)
        self.now()

    def fund(self, pitch: Pitch, amount: str = "2400", tier: Tier = Tier.STANDARD) -> None:
        """Decide to fund a pitch."""
        services.decision_set(
            actor=self.company.gil,
            pitch=pitch,
            outcome=Outcome.FUND,
            reason="Worth many times what it costs.",
            lines={tier: Decimal(amount)},
        )

    def offered(self, *titles: str, amount: str = "2400") -> list[Offer]:
        """Play a round in which every pitch is funded, up to its offers."""
        pitches = [self.submitted(title) for title in titles or ("Claims triage",)]
        self.to_decide(*pitches)
        for pitch in pitches:
            self.fund(pitch, amount)
        services.round_publish(actor=self.company.gil, round_=self.round)
        self.now()
        return list(Offer.objects.filter(pitch__in=pitches).order_by("pk"))

    def countered(self, offer: Offer, amount: str = "4000") -> Counter:
        """Counter as Ana with another amount on standard."""
        lines = {Tier.STANDARD: Decimal(amount)}
        return services.counter_make(actor=self.company.ana, offer=offer, lines=lines, message="A second desk joins.")

    def following(self) -> Round:
        """Open another round with the same committee."""
        gil = self.company.gil
        round_ = services.round_create(
            actor=gil, name="Q2", cap=usd("5000"), calendar=calendar(), starts_on=today(), months=3
        )
        for member in self.members:
            services.seat_set(actor=gil, round_=round_, user=member, is_chair=member == gil)
        return services.round_open(actor=gil, round_=round_, reason="The second quarter")

    def accepted(self, offer: Offer) -> Allocation:
        """Accept an offer as Ana."""
        return services.offer_accept(actor=self.company.ana, offer=offer)


def open_stage(
    company: Company,
    *,
    cap: str = "10000",
    funded: str = "50000",
    team_cap: Decimal | str | None = None,
    frontier_cap: Decimal | str | None = None,
) -> Stage:
    """Fund the year, prepare a round with its committee and open it; caps of a team and of frontier are shares."""
    year_fund(actor=company.system, amount=usd(funded), reason="Budget of the year")
    models = models_add(company.system)
    round_ = _round_prepared(company, "Q1", cap, team_cap=team_cap, frontier_cap=frontier_cap)
    services.round_open(actor=company.gil, round_=round_, reason="The first quarter")
    stage = Stage(company, round_, models, [company.gil, company.dee, company.eli, company.fay])
    stage.now()
    return stage


def open_round_asking(company: Company, terms: Terms, *, name: str = "Asking") -> Round:
    """Open a round beside the stage's that asks these questions and has this checklist; the year must be funded."""
    round_ = _round_prepared(company, name, "1000")
    services.terms_set(actor=company.gil, round_=round_, terms=terms)
    services.round_open(actor=company.gil, round_=round_, reason="Another quarter")
    round_.refresh_from_db()
    return round_


def _round_prepared(
    company: Company,
    name: str,
    cap: str,
    *,
    team_cap: Decimal | str | None = None,
    frontier_cap: Decimal | str | None = None,
) -> Round:
    round_ = services.round_create(
        actor=company.gil,
        name=name,
        cap=usd(cap),
        calendar=calendar(),
        starts_on=today(),
        months=6,
        rules=Rules(
            reserve_share=Decimal("0.1"),
            hurdle=Decimal("1.2"),
            quorum=3,
            team_cap=None if team_cap is None else Decimal(team_cap),
            frontier_cap=None if frontier_cap is None else Decimal(frontier_cap),
        ),
    )
    for member in (company.gil, company.dee, company.eli, company.fay):
        services.seat_set(actor=company.gil, round_=round_, user=member, is_chair=member == company.gil)
    return round_
