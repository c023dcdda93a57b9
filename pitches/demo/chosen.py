"""Two rounds that the exact choice decides: one is published, over the other one the committee deliberates."""

from dataclasses import dataclass
from decimal import Decimal

from ledger.selectors import today
from pitches import services
from pitches.demo import contested, ideas
from pitches.demo.ideas import Idea
from pitches.demo.people import Company
from pitches.demo.rounds import Sitting, move_into_the_past, sitting_open
from pitches.models import (
    Aspect,
    Finding,
    Force,
    MoveKind,
    Offer,
    OverrideCategory,
    Pitch,
    RecusalType,
)
from pitches.questions import DataClass
from pitches.quotes import in_cents
from pitches.selectors.quotes import asked_by_tier
from pitches.services import Rules

PUBLISHED_RULES = Rules(hurdle=Decimal("1.2"), team_cap=Decimal("0.4"))
DECIDING_RULES = Rules(hurdle=Decimal("1.2"), team_cap=Decimal("0.3"), frontier_cap=Decimal("0.5"))

FINDINGS = {
    contested.PHONE_LINKS.title: (Finding.PROBLEM, "Phone numbers must be masked before the first call."),
}


@dataclass(frozen=True)
class OnBallot:
    """An idea, the scores of its reviews, and those of its ballots, the chair's first; 0 abstains."""

    idea: Idea
    reviews: tuple[int, ...]
    votes: tuple[int, ...]


PUBLISHED = (
    OnBallot(ideas.KNOWLEDGE, (8, 9), (8, 8, 9, 7)),
    OnBallot(contested.BROKER_MAIL, (7, 6), (7, 6, 7, 8)),
    OnBallot(contested.TWICE_BILLED, (8, 6), (7, 8, 6, 7)),
    OnBallot(contested.PAYMENT_NOTES, (6, 7), (6, 5, 7, 6)),
    OnBallot(contested.COURT_DATES, (7, 3), (6, 7, 4, 6)),
    OnBallot(ideas.VALUATION, (6, 7), (6, 6, 7, 4)),
    OnBallot(contested.INTRANET, (3, 2), (3, 2, 4, 3)),
    OnBallot(ideas.INCIDENTS, (5, 6), (4, 4)),
)
DECIDING = (
    OnBallot(contested.FLOOD_NOTES, (8, 3, 8), (9, 3, 8, 4, 8)),
    OnBallot(contested.SMALL_RISKS, (8, 7), (8, 7, 8, 7, 7)),
    OnBallot(contested.PHONE_LINKS, (7, 8, 6), (7, 9, 8, 8)),
    OnBallot(contested.LAND_REGISTER, (7, 6), (7, 6, 7, 7, 6)),
    OnBallot(contested.INCOME_PROOFS, (5, 6), (5, 6, 5, 6, 4)),
    OnBallot(contested.COMPLAINTS, (8, 3, 7), (8, 4, 9, 3, 8)),
    OnBallot(contested.NIGHT_CHAT, (6, 5), (6, 5, 5, 6, 0)),
    OnBallot(contested.HARDSHIP, (7, 8), (6, 7, 8, 6, 7)),
    OnBallot(contested.CLAUSES, (7, 8, 2), (6, 8, 3, 8)),
    OnBallot(contested.TENDERS, (3, 2), (3, 2, 4, 3, 2)),
    OnBallot(contested.TARIFF_TESTS, (8, 6, 9), (8, 6, 7, 5, 9)),
    OnBallot(contested.PASSWORDS, (6, 5), (6, 0)),
)


def _judge(sitting: Sitting, listed: tuple[OnBallot, ...], pitches: list[Pitch]) -> None:
    """Let the committee review and vote, and choose when all ballots are open."""
    for one, pitch in zip(listed, pitches, strict=True):
        sitting.review(pitch, *one.reviews)
    sitting.screen_rest()
    sitting.step("voting_open")
    for one, pitch in zip(listed, pitches, strict=True):
        sitting.vote(pitch, *one.votes)
    sitting.step("voting_close", "selection_run")


def published_round(company: Company) -> None:
    """Play a round up to its answers.

    One offer is accepted, one countered, one declined, so that a pitch moved up from the waitlist; others wait, were
    declined, or could not be listed.
    """
    sitting = sitting_open(company, 2, "8000", today().replace(day=1), answer_days=14, rules=PUBLISHED_RULES)
    pitches = sitting.submit(*(one.idea for one in PUBLISHED))
    sitting.step("review_start")
    sitting.declare()
    _judge(sitting, PUBLISHED, pitches)
    sitting.step("selection_adopt", "round_publish")
    move_into_the_past(sitting.round, days=32)
    knowledge, broker, twice, *_ = pitches
    sitting.accept(broker)
    _counter(sitting, knowledge)
    services.offer_decline(
        actor=company.lead("Fraud desk"),
        offer=Offer.objects.get(pitch=twice),
        reason="Our new claims system finds them by itself since this month.",
    )


def _counter(sitting: Sitting, pitch: Pitch) -> None:
    offer = Offer.objects.get(pitch=pitch)
    lines = {tier: in_cents(amount) for tier, amount in asked_by_tier(pitch.submitted).items()}
    services.counter_make(
        actor=sitting.company.lead(pitch.team.name),
        offer=offer,
        lines=lines,
        message="The minimum serves one desk of two. Both get the same calls: please fund what we asked for.",
    )


def deciding_round(company: Company) -> None:
    """Play a round up to the deliberation.

    The vote is over, the choice was run, and an override waits for a second member. One member is recused by rule, one
    by declaration, and one pitch lacks its quorum.
    """
    sitting = sitting_open(company, 3, "16000", today().replace(day=1), answer_days=14, rules=DECIDING_RULES)
    pitches = sitting.submit(*(one.idea for one in DECIDING))
    by_title = {pitch.submitted.title: pitch for pitch in pitches}
    services.recusal_declare(
        actor=company.people["Jonas Weber"],
        pitch=by_title[contested.CLAUSES.title],
        reason="My brother works for the publisher whose rulings it reads.",
        conflict_type=RecusalType.CLOSE_RELATION,
    )
    sitting.step("review_start")
    sitting.declare()
    _screen(sitting, pitches)
    _judge(sitting, DECIDING, pitches)
    _deliberate(sitting, by_title)
    move_into_the_past(sitting.round, days=25)


def _screen(sitting: Sitting, pitches: list[Pitch]) -> None:
    """Let compliance look at the personal data; the rest is found feasible before the vote."""
    for pitch in pitches:
        if pitch.submitted.data_class == DataClass.PERSONAL:
            finding, why = FINDINGS.get(pitch.submitted.title, (Finding.FEASIBLE, "The customers were told of it."))
            sitting.screen(pitch, "Mila Novak", Aspect.COMPLIANCE, finding, why)


def _deliberate(sitting: Sitting, by_title: dict[str, Pitch]) -> None:
    company = sitting.company
    tomas, priya = company.people["Tomas Brandt"], company.people["Priya Raman"]
    income = by_title[contested.INCOME_PROOFS.title]
    services.board_note(
        actor=company.chair,
        round_=sitting.round,
        text="Three of us find it urgent, two find its pilot too thin. We look at May's before we adopt.",
        pitch=by_title[contested.COMPLAINTS.title],
    )
    services.board_move(actor=tomas, round_=sitting.round, version=0, kind=MoveKind.SLIDE, cap=Decimal(24_000))
    services.board_move(actor=tomas, round_=sitting.round, version=1, kind=MoveKind.RESET)
    services.board_move(actor=priya, round_=sitting.round, version=2, kind=MoveKind.FORCE_IN, pitch=income)
    services.override_propose(
        actor=priya,
        pitch=income,
        force=Force.IN,
        category=OverrideCategory.LAW,
        reason="From July on the supervisor asks for a second reading of every household; without this we hire for it.",
    )
