"""Rounds: who sees which, and how their money stands."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from django.db import connection
from django.db.models import Count, Q, QuerySet, Sum

from ledger.models import AccountBalance, Tier
from pitches.models import CommitteeSeat, DecisionLine, OfferLine, Round, RoundKind
from pitches.transitions import PRIVATE_PITCH, OfferState, PitchState, RoundState
from teams.models import Role, User
from teams.selectors import Person, has_role


def rounds_visible_to(user: Person) -> QuerySet[Round]:
    """Return the rounds that somebody may see, newest first: drafts only for those who prepare or audit them."""
    rounds = Round.objects.select_related("pool").order_by("-submissions_close_at", "-pk")
    if has_role(user, Role.CHAIR, Role.FINANCE, Role.AUDITOR):
        return rounds
    return rounds.filter(~Q(state=RoundState.DRAFT) | Q(pk__in=rounds_seated(user))).distinct()


def rounds_with_counts(rounds: QuerySet[Round]) -> QuerySet[Round]:
    """Add `pitch_count`: how many pitches were submitted and not withdrawn."""
    left_out = [*PRIVATE_PITCH, PitchState.WITHDRAWN]
    return rounds.annotate(pitch_count=Count("pitches", filter=~Q(pitches__state__in=left_out), distinct=True))


def open_rounds(at: datetime | None = None) -> QuerySet[Round]:
    """Return the rounds that take new pitches, the one that closes first in front."""
    now = at or datetime.now(UTC)
    return Round.objects.filter(state=RoundState.OPEN, submissions_close_at__gt=now).order_by("submissions_close_at")


def seat_of(user: Person, round_: Round) -> CommitteeSeat | None:
    """Return somebody's seat in a round's committee."""
    if user.pk is None:
        return None
    return CommitteeSeat.objects.filter(round=round_, user_id=user.pk).first()


def rounds_seated(user: Person) -> QuerySet[Round]:
    """Return the rounds in whose committee somebody sits, newest first."""
    seated = Round.objects.filter(seats__user_id=user.pk) if user.pk is not None else Round.objects.none()
    return seated.order_by("-submissions_close_at", "-pk")


def committee_of(round_: Round) -> list[CommitteeSeat]:
    """Return a round's committee, the chair first."""
    return list(round_.seats.select_related("user").order_by("-is_chair", "user__name", "pk"))


def chairs_of(round_: Round) -> list[User]:
    """Return who chairs a round: one person, or nobody yet."""
    return [seat.user for seat in round_.seats.filter(is_chair=True).select_related("user")]


@dataclass(frozen=True, slots=True)
class RoundMoney:
    """How a round's cap stands, in USD.

    `awarded` left the pool for allocations, `returned` is what those gave back when they ended, `offered` waits for an
    answer, `in_pool` is the ledger's figure.
    """

    cap: Decimal
    kept_back: Decimal
    awardable: Decimal
    returned: Decimal
    awarded: Decimal
    offered: Decimal
    in_pool: Decimal
    as_of: datetime

    @property
    def available(self) -> Decimal:
        """Return what can still be awarded."""
        return max(self.awardable - self.awarded + self.returned - self.offered, Decimal(0))


@dataclass(frozen=True, slots=True)
class Returned:
    """What awards of a round gave back when they ended, in USD: all of it, of the frontier tier, and by team."""

    together: Decimal
    frontier: Decimal
    teams: Mapping[int, Decimal]


def returned_in(round_: Round) -> Returned:
    """Return what came back to a round; the database's own caps ask the same function."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT team_id, tier, amount FROM pitches_returned(%s)", [round_.pk])
        rows = cursor.fetchall()
    teams: dict[int, Decimal] = defaultdict(Decimal)
    for team, _, amount in rows:
        teams[team] += amount
    frontier = sum((amount for _, tier, amount in rows if tier == Tier.FRONTIER), Decimal(0))
    return Returned(sum(teams.values(), Decimal(0)), frontier, dict(teams))


def round_money(round_: Round) -> RoundMoney:
    """Return how a round's cap stands; published facts only, tentative decisions are not in it."""
    sums = OfferLine.objects.filter(offer__pitch__round=round_).aggregate(
        accepted=Sum("awarded", filter=Q(offer__state=OfferState.ACCEPTED), default=Decimal(0)),
        waiting=Sum("awarded", filter=Q(offer__state=OfferState.OPEN), default=Decimal(0)),
    )
    stored = AccountBalance.objects.filter(account_id=round_.pool_id).first() if round_.pool_id else None
    return RoundMoney(
        cap=round_.cap,
        kept_back=round_.cap - round_.awardable,
        awardable=round_.awardable,
        awarded=sums["accepted"],
        offered=sums["waiting"],
        returned=returned_in(round_).together,
        in_pool=Decimal(stored.balance.amount) if stored else Decimal(0),
        as_of=datetime.now(UTC),
    )


def decided_total(round_: Round, *, hidden: frozenset[int] = frozenset()) -> Decimal:
    """Return the sum of the tentative decisions to fund, in USD, without the pitches in `hidden`."""
    lines = DecisionLine.objects.filter(decision__pitch__round=round_, decision__outcome="fund")
    total: Decimal = lines.exclude(decision__pitch__in=hidden).aggregate(sum=Sum("amount", default=Decimal(0)))["sum"]
    return total


def rounds_past_deadline(at: datetime) -> list[Round]:
    """Return the open regular rounds whose last day for pitches has passed."""
    rounds = Round.objects.filter(state=RoundState.OPEN, kind=RoundKind.REGULAR, submissions_close_at__lte=at)
    return list(rounds.order_by("pk"))
