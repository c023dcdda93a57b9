"""Offers: the latest of a pitch, what they leave of a round, who waits for whom, how an exchange went."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import F, Prefetch, Q, QuerySet, Sum, Value

from ledger.models import AccountBalance, EntryKind, Posting, Tier
from pitches import quotes
from pitches.models import (
    Counter,
    CounterLine,
    CounterSide,
    Decision,
    DecisionLine,
    Offer,
    OfferLine,
    Outcome,
    Pitch,
    PitchRevision,
    QuoteLine,
    Round,
)
from pitches.questions import Basis, Case
from pitches.room import ZERO, Queued, Room, share_of
from pitches.selectors.conflicts import HasConflict, conflicted_ids
from pitches.selectors.rounds import chairs_of, returned_in, seat_of
from pitches.transitions import CounterState, OfferState, PitchState, RoundState
from teams.models import Role, User
from teams.selectors import Person, has_role, standing

Lines = Mapping[Tier, Decimal]
LATEST_DAYS = 14
"""Policy: how many days after the round's last day to answer the committee can still set a date."""


def offer_of(pitch: Pitch) -> Offer | None:
    """Return the newest offer for a pitch; asks nothing where its offers were prefetched."""
    return max(pitch.offers.all(), key=lambda offer: offer.pk, default=None)


def lines_of(rows: Iterable[OfferLine | CounterLine | DecisionLine]) -> dict[Tier, Decimal]:
    """Return what lines award, in USD, by tier in the order of tiers; tiers with nothing are left out."""
    amounts = {row.tier: row.awarded if isinstance(row, OfferLine) else row.amount for row in rows}
    return {tier: amounts[tier] for tier in Tier if amounts.get(tier)}


def stretch_by_tier(revision: PitchRevision) -> dict[Tier, Decimal]:
    """Return what a revision asks for at stretch on each tier over the period, in USD up to the cent."""
    lines = QuoteLine.objects.filter(revision=revision, basis=Basis.ASKED, case=Case.STRETCH)
    asked = {line.tier: quotes.in_cents(line.expected) for line in lines}
    return {tier: asked[tier] for tier in Tier if asked.get(tier)}


def limits_of(offer: Offer) -> dict[Tier, Decimal]:
    """Return the most that a team can counter with on each tier, in USD: what it asked at stretch, or is offered."""
    stretch, offered = stretch_by_tier(offer.revision), lines_of(offer.lines.all())
    limits = {tier: max(stretch.get(tier, ZERO), offered.get(tier, ZERO)) for tier in Tier}
    return {tier: limit for tier, limit in limits.items() if limit}


def latest_date(offer: Offer) -> datetime:
    """Return the latest date that the committee can set for an offer: never before the one that it has."""
    return max(offer.pitch.round.answers_due_at + timedelta(days=LATEST_DAYS), offer.expires_at)


def room_of(round_: Round, *, without: Offer | None = None) -> Room:
    """Return what can still be offered in a round, in USD; the lines of the offer `without` count as free.

    Open and accepted offers count against the caps, without what awards gave back when they ended. Open ones are still
    in the pool, which finance may have taken from: what is free is never more than what the pool has beyond them.
    """
    live = Q(offer__state__in=[OfferState.OPEN, OfferState.ACCEPTED])
    rows = OfferLine.objects.filter(live, offer__pitch__round=round_)
    if without is not None:
        rows = rows.exclude(offer=without)
    sums = rows.aggregate(
        together=Sum("awarded", default=ZERO),
        waiting=Sum("awarded", filter=Q(offer__state=OfferState.OPEN), default=ZERO),
        frontier=Sum("awarded", filter=Q(tier=Tier.FRONTIER), default=ZERO),
    )
    teams = dict(rows.values_list("offer__pitch__team").annotate(sum=Sum("awarded")))
    back = returned_in(round_)
    stored = AccountBalance.objects.filter(account_id=round_.pool_id).first() if round_.pool_id else None
    in_pool = Decimal(stored.balance.amount) if stored else ZERO
    free = min(round_.awardable - sums["together"] + back.together, in_pool - sums["waiting"])
    held = {team: amount - back.teams.get(team, ZERO) for team, amount in teams.items()}
    return _room(round_, free, sums["frontier"] - back.frontier, held)


def room_of_decisions(round_: Round, *, besides: Pitch) -> Room:
    """Return what tentative decisions leave of a round, in USD; what is decided on `besides` counts as free."""
    rows = DecisionLine.objects.filter(decision__pitch__round=round_, decision__outcome=Outcome.FUND)
    rows = rows.exclude(decision__pitch=besides)
    sums = rows.aggregate(
        together=Sum("amount", default=ZERO), frontier=Sum("amount", filter=Q(tier=Tier.FRONTIER), default=ZERO)
    )
    by_team = rows.values_list("decision__pitch__team").annotate(sum=Sum("amount"))
    return _room(round_, round_.awardable - sums["together"], sums["frontier"], dict(by_team))


def _room(round_: Round, free: Decimal, frontier: Decimal, teams: dict[int, Decimal]) -> Room:
    frontier_cap = share_of(round_.cap, round_.frontier_cap)
    return Room(
        free=free,
        team_cap=share_of(round_.cap, round_.team_cap),
        frontier_free=None if frontier_cap is None else frontier_cap - frontier,
        teams=teams,
    )


def waitlist_of(round_: Round) -> list[Decision]:
    """Return the decisions on the pitches that wait in a round, in order; those without a place come last."""
    waiting = Decision.objects.filter(pitch__round=round_, outcome=Outcome.WAITLIST).filter(
        Q(pitch__state=PitchState.WAITLISTED) | Q(pitch__state=PitchState.SHORTLISTED)
    )
    rows = waiting.select_related("pitch__team", "pitch__owner", "revision").prefetch_related("lines")
    return list(rows.order_by(F("waitlist_place").asc(nulls_last=True), "pk"))


def queue_of(round_: Round) -> list[Queued]:
    """Return a round's waitlist as the arithmetic of `pitches.room` takes it: those with a place, in order."""
    return [
        Queued(row.pitch_id, row.pitch.team_id, lines_of(row.lines.all()))
        for row in waitlist_of(round_)
        if row.waitlist_place is not None and row.pitch.state == PitchState.WAITLISTED
    ]


def rounds_with_freed_money() -> list[Round]:
    """Return the published rounds that have a waitlist, and in which an offer ended or an award gave money back."""
    ended = Offer.objects.filter(state__in=[OfferState.DECLINED, OfferState.EXPIRED])
    returned = Posting.objects.filter(entry__kind=EntryKind.RETURN)
    waiting = Pitch.objects.filter(state=PitchState.WAITLISTED, decision__waitlist_place__isnull=False)
    freed = Q(pk__in=ended.values("pitch__round")) | Q(pool__in=returned.values("account"))
    rounds = Round.objects.filter(freed, state=RoundState.PUBLISHED, pk__in=waiting.values("round"))
    return list(rounds.order_by("pk"))


WHOLE = (
    "pitch__team__business_unit",
    "pitch__round__pool",
    "revision",
    "decision__decided_by",
    "answered_by",
    "allocation",
    "counter__by",
    "counter__answered_by",
)


def offers_whole(offers: QuerySet[Offer] | None = None) -> QuerySet[Offer]:
    """Return offers with all that a page or a program tells of them, in a constant number of queries."""
    counters = Counter.objects.select_related("by", "answered_by").prefetch_related("lines").order_by("pk")
    rows = Offer.objects.all() if offers is None else offers
    return rows.select_related(*WHOLE).prefetch_related("lines", Prefetch("counters", counters))


def offers_visible_to(user: Person) -> QuerySet[Offer]:
    """Return the offers that somebody may follow, newest first: their teams', for finance and auditors all.

    Members of a round's committee see those of the pitches about which they have no conflict. The same rule for one
    offer is the permission `pitches.follow_offer`.
    """
    own = standing(user)
    inside = Q(pitch__team__in=[pk for pk, _ in own.teams]) | Q(pitch__team__business_unit__in=own.units)
    if has_role(user, Role.FINANCE, Role.AUDITOR):
        return Offer.objects.order_by("-pk")
    if user.pk is None:
        return Offer.objects.none()
    conflicted = Pitch.objects.filter(HasConflict(F("pk"), Value(user.pk)), round__seats__user_id=user.pk)
    follows = Offer.objects.filter(pitch__round__seats__user_id=user.pk).exclude(pitch__in=conflicted)
    return Offer.objects.filter(inside | Q(pk__in=follows.values("pk"))).order_by("-pk")


def counter_waiting(offer: Offer) -> Counter | None:
    """Return the team's counter-offer that waits for the committee; asks nothing where they were prefetched."""
    waiting = (one for one in offer.counters.all() if one.state == CounterState.OPEN and one.side == CounterSide.TEAM)
    return next(waiting, None)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was said about an offer: by whom and when, with which words and, where it has some, lines."""

    title: str
    side: str
    who: User
    at: datetime
    words: str
    lines: Lines | None = None

    @property
    def total(self) -> Decimal:
        """Return the sum of its lines in USD."""
        return sum((self.lines or {}).values(), ZERO)


def thread_of(pitch: Pitch) -> list[Step]:
    """Return the exchange about a pitch from the first offer on, in order."""
    steps: list[Step] = []
    for offer in offers_whole(Offer.objects.filter(pitch=pitch)).order_by("pk"):
        steps.append(_made(offer))
        for counter in offer.counters.all():
            if counter.side == CounterSide.TEAM:
                steps.extend(_countered(counter))
        steps.extend(_answered(offer))
    return steps


def _made(offer: Offer) -> Step:
    lines, counter = lines_of(offer.lines.all()), offer.counter
    if counter is None:
        title = "Offered" if offer.decision.outcome == Outcome.FUND else "Offered from the waitlist"
        decision = offer.decision
        return Step(title, "committee", decision.decided_by, offer.created_at, decision.reason, lines)
    if counter.side == CounterSide.TEAM and counter.answered_by is not None:
        return Step(
            "Counter-offer accepted",
            "committee",
            counter.answered_by,
            offer.created_at,
            counter.answer_reason,
            lines,
        )
    return Step("Offered instead", "committee", counter.by, counter.at, counter.message, lines)


ENDED = {
    CounterState.REFUSED: "Counter-offer refused",
    CounterState.WITHDRAWN: "Counter-offer withdrawn",
    CounterState.LAPSED: "Counter-offer lapsed",
}


def _countered(counter: Counter) -> list[Step]:
    made = Step("Countered", "team", counter.by, counter.at, counter.message, lines_of(counter.lines.all()))
    title = ENDED.get(CounterState(counter.state))
    if title is None or counter.answered_by is None or counter.answered_at is None:
        return [made]
    side = "committee" if counter.state == CounterState.REFUSED else "team"
    return [made, Step(title, side, counter.answered_by, counter.answered_at, counter.answer_reason)]


def _answered(offer: Offer) -> list[Step]:
    if offer.answered_by is None or offer.answered_at is None or offer.state == OfferState.REPLACED:
        return []
    return [Step(offer.get_state_display(), "team", offer.answered_by, offer.answered_at, offer.answer_reason)]


@dataclass(frozen=True, slots=True)
class TableRow:
    """One offer as one member of the committee may see it; `hidden` says that they have a conflict about its pitch."""

    offer: Offer
    hidden: bool
    counter: Counter | None
    asked: Decimal
    awarded: Decimal
    countered: Decimal | None

    @property
    def waits_for(self) -> str:
        """Return who is to act: the committee on a counter-offer, the team on an open offer, nobody once it ended."""
        if self.offer.state != OfferState.OPEN:
            return ""
        return "committee" if self.counter is not None else "team"


def offers_table(user: User, round_: Round) -> list[TableRow]:
    """Return the newest offer of every pitch in a round: counter-offers first, then by the date to answer.

    A constant number of queries. What the reader has a conflict about is there with its title and team only.
    """
    hidden = conflicted_ids(user, round_)
    newest: dict[int, Offer] = {}
    for offer in offers_whole(Offer.objects.filter(pitch__round=round_)).order_by("pk"):
        newest[offer.pitch_id] = offer
    rows = [_table_row(offer, offer.pitch_id in hidden) for offer in newest.values()]
    order = ("committee", "team", "")
    return sorted(rows, key=lambda row: (row.hidden, order.index(row.waits_for), row.offer.expires_at, row.offer.pk))


def _table_row(offer: Offer, hidden: bool) -> TableRow:
    if hidden:
        return TableRow(offer, True, None, ZERO, ZERO, None)
    counter = counter_waiting(offer)
    return TableRow(
        offer=offer,
        hidden=False,
        counter=counter,
        asked=sum((line.asked for line in offer.lines.all()), ZERO),
        awarded=sum((line.awarded for line in offer.lines.all()), ZERO),
        countered=sum((line.amount for line in counter.lines.all()), ZERO) if counter is not None else None,
    )


def counters_to_answer(user: User, round_: Round) -> int:
    """Return how many counter-offers of a round somebody is to answer: as chair, or where the chair has a conflict."""
    seat = seat_of(user, round_)
    if seat is None:
        return 0
    waiting = Counter.objects.filter(
        offer__pitch__round=round_, offer__state=OfferState.OPEN, state=CounterState.OPEN, side=CounterSide.TEAM
    )
    if not seat.is_chair:
        for chair in chairs_of(round_):
            waiting = waiting.filter(offer__pitch__in=conflicted_ids(chair, round_))
    return waiting.exclude(offer__pitch__in=conflicted_ids(user, round_)).count()


@dataclass(frozen=True, slots=True)
class WaitRow:
    """One pitch on the waitlist as one member may see it; `short` says why it does not fit what is free now."""

    decision: Decision
    hidden: bool
    total: Decimal
    short: str


def waitlist_table(user: User, round_: Round, room: Room) -> list[WaitRow]:
    """Return the waitlist of a round in order, each with why it does not fit what is free now."""
    hidden = conflicted_ids(user, round_)
    rows = []
    for decision in waitlist_of(round_):
        lines = lines_of(decision.lines.all())
        if decision.pitch_id in hidden:
            rows.append(WaitRow(decision, True, ZERO, ""))
            continue
        short = room.short(decision.pitch.team_id, lines)
        rows.append(WaitRow(decision, False, sum(lines.values(), ZERO), short.words if short else ""))
    return rows
