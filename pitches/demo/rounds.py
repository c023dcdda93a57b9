"""Rounds that people decide: one settled, one that votes, one that is open."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.db.models import F

from allocations.models import Allocation
from ledger.models import Tier
from ledger.money import usd
from ledger.selectors import today
from pitches import services
from pitches.asking import DEFAULT_TERMS, Terms
from pitches.demo import ideas
from pitches.demo.ideas import Idea
from pitches.demo.people import Company
from pitches.demo.terms import ANSWERS, TERMS
from pitches.forms.pitch import PitchDraft
from pitches.models import Aspect, Choice, Expertise, Finding, Offer, Outcome, Pitch, RecusalType, Round
from pitches.quotes import in_cents
from pitches.selectors.asking import terms_of
from pitches.selectors.conflicts import eligible_members, undeclared
from pitches.selectors.quotes import asked_by_tier
from pitches.selectors.screening import unscreened
from pitches.services import Calendar, ConflictAnswer, Mark, Rules
from pitches.transitions import OfferState, PitchState
from teams.models import User

ZONE = "Europe/Berlin"
RULES = Rules(reserve_share=Decimal("0.1"), hurdle=Decimal("1.2"), quorum=3)
REMARKS = {
    "Value": "The saving is counted where it falls, and finance agrees with the price of an hour.",
    "Evidence": "They measured it on cases of their own; the sample is small.",
    "Delivery": "The people who will run it were in the pilot.",
    "Frugality": "Most of the prompt is cached, and what can wait goes to batch.",
}
DOUBTS = {
    "Value": "I do not believe the hours: nobody will work less because of it.",
    "Evidence": "A pilot of two weeks with the friendliest desk proves little.",
    "Delivery": "Nobody is named who keeps it running after the pilot.",
    "Frugality": "A cheaper tier was hardly tried, and the prompt carries everything every time.",
}
DOUBTFUL = 4
SCREENERS = {
    Aspect.ESTIMATE: ("Noor de Vries", Aspect.ESTIMATE, Finding.FEASIBLE, "Calls and tokens fit the pilot."),
    Aspect.COMPLIANCE: ("Mila Novak", Aspect.COMPLIANCE, Finding.FEASIBLE, "Nothing leaves what its notice allows."),
}


@dataclass(frozen=True)
class Sitting:
    """A round and the company around it."""

    company: Company
    round: Round

    @property
    def committee(self) -> list[User]:
        """Return everybody with a seat, the chair first."""
        return [self.company.chair, *self.company.members]

    def draft(self, idea: Idea, *, by: User | None = None) -> Pitch:
        """Begin a pitch and type all of it."""
        actor = by or self.company.lead(idea.team)
        team = self.company.teams[idea.team]
        pitch = services.pitch_create(actor=actor, round_=self.round, team=team, title=idea.title)
        typed = idea.typed(self.company) | self._ties(idea) | self._answers()
        return services.draft_save(actor=actor, pitch=pitch, typed=typed, version=0)

    def _ties(self, idea: Idea) -> dict[str, str]:
        others = {pitch.title: pitch.number for pitch in self.round.pitches.all()}
        return {
            f"links-{place}-{name}": text
            for place, (kind, title) in enumerate(idea.ties)
            for name, text in (("kind", kind), ("number", others[title]))
        }

    def _answers(self) -> dict[str, str]:
        terms = terms_of(self.round)
        answers = {f"question-{one.code}": ANSWERS[one.code] for one in terms.questions if one.code in ANSWERS}
        return answers | {f"compliance-{check.code}": "yes" for check in terms.checklist}

    def submit(self, *pitched: Idea) -> list[Pitch]:
        """Pitch ideas, each by the lead of its team."""
        return [self.send(self.draft(idea), idea) for idea in pitched]

    def send(self, pitch: Pitch, idea: Idea) -> Pitch:
        """Submit what was typed."""
        draft = PitchDraft(pitch.draft, pitch)
        if not draft.is_valid():
            raise ValueError(f"{idea.title}: {draft.messages()}")
        services.pitch_submit(actor=self.company.lead(idea.team), pitch=pitch, content=draft.content())
        pitch.refresh_from_db()
        return pitch

    def screen(self, pitch: Pitch, name: str, aspect: Aspect, finding: Finding, reason: str) -> None:
        """Let somebody screen a pitch."""
        pitch.refresh_from_db()
        services.screening_record(
            actor=self.company.people[name],
            pitch=pitch,
            revision_number=pitch.submitted.number,
            aspect=aspect,
            finding=finding,
            reason=reason,
        )

    def screen_rest(self) -> None:
        """Let the platform and compliance find feasible whatever they did not look at yet."""
        for pitch, aspects in unscreened(self.round.pitches.filter(state=PitchState.IN_REVIEW).order_by("pk")):
            for aspect in aspects:
                self.screen(pitch, *SCREENERS[aspect])

    def free(self, pitch: Pitch) -> list[User]:
        """Return the members who have no conflict about a pitch."""
        eligible = eligible_members(self.round)[pitch.pk]
        return [member for member in self.committee if member.pk in eligible]

    def declare(self) -> None:
        """Let every member declare no conflict about what no rule found one about."""
        for member in self.committee:
            answers = {pitch.pk: ConflictAnswer() for pitch in undeclared(member, self.round)}
            services.declaration_make(actor=member, round_=self.round, answers=answers)

    def review(self, pitch: Pitch, *scores: int) -> None:
        """Let members review a pitch, one for each score: those who were asked to before the others."""
        criteria = list(self.round.criteria.order_by("position"))
        asked = set(pitch.assignments.filter(ended_at=None).values_list("member", flat=True))
        members = sorted(self.free(pitch), key=lambda member: member.pk not in asked)
        for place, (member, score) in enumerate(zip(members, scores, strict=False)):
            said = DOUBTS if score <= DOUBTFUL else REMARKS
            marks = {
                row.pk: Mark(max(1, min(9, score + (number + place) % 2)), said[row.name])
                for number, row in enumerate(criteria)
            }
            services.review_submit(
                actor=member,
                pitch=pitch,
                revision_number=pitch.submitted.number,
                marks=marks,
                expertise=Expertise.FAMILIAR if place else Expertise.EXPERT,
            )

    def vote(self, pitch: Pitch, *scores: int) -> None:
        """Let members vote, one for each score: 6 and more is a yes, 0 abstains."""
        for member, score in zip(self.free(pitch), scores, strict=False):
            choice = Choice.ABSTAIN if score == 0 else Choice.YES if score >= 6 else Choice.NO
            services.ballot_cast(actor=member, pitch=pitch, choice=choice, score=score or None)

    def fund(self, pitch: Pitch, reason: str, lines: dict[Tier, str] | None = None) -> None:
        """Decide to fund a pitch, as asked unless lines say otherwise."""
        asked = asked_by_tier(pitch.submitted)
        awards = {tier: Decimal(amount) for tier, amount in lines.items()} if lines else asked
        self._decide(pitch, Outcome.FUND, reason, awards)

    def wait(self, pitch: Pitch, reason: str, *, in_line: bool = False) -> None:
        """Decide to waitlist a pitch; `in_line` with what it asked for, so that it moves up when that comes free."""
        self._decide(pitch, Outcome.WAITLIST, reason, asked_by_tier(pitch.submitted) if in_line else {})

    def decline(self, pitch: Pitch, reason: str) -> None:
        """Decide to decline a pitch."""
        self._decide(pitch, Outcome.DECLINE, reason, {})

    def defer(self, pitch: Pitch, reason: str) -> None:
        """Decide to defer a pitch."""
        self._decide(pitch, Outcome.DEFER, reason, {})

    def _decide(self, pitch: Pitch, outcome: Outcome, reason: str, lines: dict[Tier, Decimal]) -> None:
        actor = next(member for member in self.committee if member.has_perm("pitches.decide_pitch", pitch))
        services.decision_set(
            actor=actor,
            pitch=pitch,
            outcome=outcome,
            reason=reason,
            lines={tier: in_cents(amount) for tier, amount in lines.items()},
        )

    def step(self, *names: str) -> None:
        """Take steps as the chair, by the services' names."""
        for name in names:
            getattr(services, name)(actor=self.company.chair, round_=self.round)
        self.round.refresh_from_db()

    def accept(self, pitch: Pitch) -> Allocation:
        """Accept the offer for a pitch, as the lead of its team."""
        offer = Offer.objects.get(pitch=pitch)
        return services.offer_accept(actor=self.company.lead(pitch.team.name), offer=offer)


def sitting_open(
    company: Company,
    number: int,
    cap: str,
    starts_on: date,
    *,
    closes_in: int = 10,
    answer_days: int = 7,
    rules: Rules = RULES,
    terms: Terms = DEFAULT_TERMS,
) -> Sitting:
    """Prepare a round, seat the committee and open it; it takes pitches for ten days unless said otherwise."""
    evening = datetime.now(UTC).replace(hour=16, minute=0, second=0, microsecond=0)
    days = (0, 7, 14, 14 + answer_days)
    calendar = Calendar(*(evening + timedelta(days=closes_in + day) for day in days))
    round_ = services.round_create(
        actor=company.chair,
        name=f"{today().year} round {number}",
        cap=usd(cap),
        calendar=calendar,
        starts_on=starts_on,
        months=6,
        time_zone=ZONE,
        rules=rules,
    )
    services.terms_set(actor=company.chair, round_=round_, terms=terms)
    sitting = Sitting(company, round_)
    for member in sitting.committee:
        services.seat_set(actor=company.chair, round_=round_, user=member, is_chair=member == company.chair)
    services.round_open(actor=company.chair, round_=round_, reason=f"Round {number} as planned")
    round_.refresh_from_db()
    return sitting


def settled_round(company: Company, system: User) -> dict[str, Allocation]:
    """Play a whole round; its awards began three weeks ago. Returns the allocations by team."""
    sitting = sitting_open(company, 1, "30000", today() - timedelta(days=21))
    pitched = (
        ideas.CLAIMS_TRIAGE,
        ideas.CONTRACT_REVIEW,
        ideas.CODE_MIGRATION,
        ideas.LETTERS,
        ideas.MEETINGS,
        ideas.MORTGAGE_CHECK,
        ideas.TONE,
    )
    triage, contracts, migration, letters, meetings, mortgage, tone = pitches = sitting.submit(*pitched)
    sitting.step("review_start")
    sitting.declare()
    for pitch, scores in zip(
        pitches, ((8, 7, 7), (8, 8, 6), (7, 8, 5), (6, 6, 7), (4, 3, 5), (6, 5, 6), (6, 7, 6)), strict=True
    ):
        sitting.review(pitch, *scores)
    sitting.screen_rest()
    sitting.step("voting_open")
    for pitch, votes in zip(
        pitches,
        (
            (9, 8, 8, 7, 8),
            (8, 8, 7, 0, 8),
            (8, 6, 9, 4, 7),
            (7, 6, 7, 6, 0),
            (3, 2, 5, 4, 2),
            (6, 5, 6, 7, 5),
            (7, 6, 6, 6, 7),
        ),
        strict=True,
    ):
        sitting.vote(pitch, *votes)
    sitting.step("voting_close")
    sitting.fund(triage, "Fourteen dollars for each dollar, measured on their own claims. Funded as asked.")
    sitting.fund(contracts, "The backlog costs more every month than the whole ask. Funded as asked.")
    sitting.fund(
        migration,
        "The value is real, the frontier share is not proven: a first slice of it, the rest on standard.",
        {Tier.FRONTIER: "900", Tier.STANDARD: "2600", Tier.BATCH: "900"},
    )
    sitting.fund(letters, "Small, cheap and easy to measure. Funded as asked.")
    sitting.fund(tone, "Costs almost nothing and ends forty complaints a month.")
    sitting.wait(mortgage, "Good, but behind others this time: the pre-check needs a measured baseline.")
    sitting.decline(meetings, "A guess at the frontier tier. Come back with a measurement on economy.")
    sitting.step("round_publish")
    made = {pitch.team.name: sitting.accept(pitch) for pitch in (triage, contracts, migration)}
    services.offer_decline(
        actor=company.lead("Collections"),
        offer=Offer.objects.get(pitch=tone),
        reason="The supplier of our letter system added the same check last week.",
    )
    services.offers_expire(actor=system, at=sitting.round.answers_due_at)
    sitting.step("round_settle")
    move_into_the_past(sitting.round, days=70)
    return made


def move_into_the_past(round_: Round, *, days: int) -> None:
    """Move a round's deadlines, and those of its offers, as if it had been played in its own time."""
    # No service sets deadlines that are over; the round was played in one go.
    back = timedelta(days=days)
    names = ("submissions_close_at", "reviews_close_at", "voting_closes_at", "answers_due_at")
    Round.objects.filter(pk=round_.pk).update(**{name: getattr(round_, name) - back for name in names})
    Offer.objects.filter(pitch__round=round_, state=OfferState.OPEN).update(expires_at=F("expires_at") - back)


def voting_round(company: Company) -> None:
    """Play a round into its vote: some ballots are in the box, one member is recused by rule, one by declaration."""
    sitting = sitting_open(company, 4, "40000", today().replace(day=1), closes_in=3)
    pitches = sitting.submit(ideas.COPILOT, ideas.FRAUD_GRAPH, ideas.DEBT_PLANS, ideas.TRANSLATION)
    copilot, fraud, debts, translation = pitches
    services.recusal_declare(
        actor=company.people["Jonas Weber"],
        pitch=copilot,
        reason="I worked on its pilot until the summer.",
        conflict_type=RecusalType.CLOSE_RELATION,
    )
    sitting.step("review_start")
    sitting.declare()
    why = "Prompts carry account numbers: they must be masked before the first call."
    sitting.screen(fraud, "Mila Novak", Aspect.COMPLIANCE, Finding.PROBLEM, why)
    for pitch, scores in zip(pitches, ((8, 7, 4), (7, 8, 6), (6, 6, 7), (7, 7, 8)), strict=True):
        sitting.review(pitch, *scores)
    sitting.screen_rest()
    sitting.step("voting_open")
    sitting.vote(copilot, 8, 7)
    sitting.vote(fraud, 7)
    sitting.vote(translation, 8, 7, 9)
    sitting.vote(debts, 6, 0)
    move_into_the_past(sitting.round, days=14)


def open_round(company: Company) -> None:
    """Open a round with a pitch in every state that one can be in before the reviews."""
    sitting = sitting_open(company, 5, "50000", today().replace(day=1), terms=TERMS)
    sitting.draft(ideas.INVOICES, by=company.people["Ben Carter"])
    _half_a_draft(sitting)
    sitting.submit(ideas.CALL_NOTES)
    returned, taken_in, withdrawn = sitting.submit(ideas.MORTGAGE_CHECK, ideas.LETTERS, ideas.MEETINGS)
    chair = company.chair
    for pitch in (returned, taken_in):
        why = "Last round we asked for a measured baseline; the team wants to know early whether it will do."
        services.pitch_peek(actor=chair, pitch=pitch, reason=why)
    services.pitch_return(
        actor=chair, pitch=returned, note="Last time a measured baseline was missing. What did the pilot count?"
    )
    services.pitch_take_in(actor=chair, pitch=taken_in)
    services.pitch_withdraw(
        actor=company.lead("IT platforms"), pitch=withdrawn, reason="We measure on the economy tier first."
    )


def _half_a_draft(sitting: Sitting) -> None:
    lead = sitting.company.lead("Claims")
    team = sitting.company.teams["Claims"]
    pitch = services.pitch_create(actor=lead, round_=sitting.round, team=team, title="Photos of damage")
    typed = {
        "title": "Photos of damage",
        "summary": "An agent looks at photos of damage and says whether a visit is needed.",
        "value_p50": "about 40k",
        "items-TOTAL_FORMS": "1",
        "items-0-workflow": "Look at a photo",
        "items-0-tier": "standard",
        "items-0-calls_target": "6,000",
        "items-0-input_tokens": "3,200",
    }
    services.draft_save(actor=lead, pitch=pitch, typed=typed, version=0)
