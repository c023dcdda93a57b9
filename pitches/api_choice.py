"""The exact choice for programs: offers, the choice, overrides, decisions, the waitlist and results.

Every endpoint makes one call of the service, or selector, that the pages use. Amounts are USD.
"""

from decimal import Decimal
from typing import Any

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ledger.api_data import AmountField
from ledger.models import Tier
from ledger.money import CURRENCY
from pitches import services
from pitches.access import may
from pitches.api_choice_runs import ChoiceRunSerializer, run_told
from pitches.api_doors import (
    PAGE,
    CommitteeList,
    Paged,
    actor_of,
    desk_pitch,
    desk_round,
    page_told,
    said_in,
    shown_round,
)
from pitches.models import (
    Decision,
    Outcome,
    Pitch,
    PitchOption,
    Round,
)
from pitches.selectors.conflicts import conflicted_ids
from pitches.selectors.offers import room_of, waitlist_table
from pitches.selectors.results import as_json, results_published
from pitches.selectors.selection import Choice, ChoiceRow, choice_of
from pitches.transitions import BALLOTS_REVEALED
from teams.models import Scope

REASON = 4000


# --- Offers that the choice picks from ------------------------------------------------------------


class OptionLineSerializer(serializers.Serializer[Any]):
    """What an offer costs on one tier, in USD."""

    tier = serializers.CharField()
    amount = AmountField()


class OptionSerializer(serializers.Serializer[Any]):
    """An offer that the system made for a pitch; `quality` is 1 for what was asked, amounts are USD."""

    id = serializers.IntegerField()
    pitch = serializers.IntegerField(source="pitch_id")
    offer = serializers.CharField()
    title = serializers.CharField(source="label")
    tier = serializers.CharField()
    cost = AmountField()
    value = AmountField()
    quality = AmountField()
    is_measured = serializers.BooleanField()
    is_asked = serializers.BooleanField()
    lines = OptionLineSerializer(many=True)


class RoundOptions(CommitteeList):
    """The offers that the choice picks from, without those of pitches that the caller is recused from."""

    serializer_class = OptionSerializer

    def get_queryset(self) -> Any:
        """Return them by pitch; none before the vote has closed."""
        round_ = desk_round(self.request, self.kwargs["pk"], "pitches.sit_round")
        rows = PitchOption.objects.filter(round=round_).exclude(pitch__in=conflicted_ids(self.request.user, round_))
        return rows.prefetch_related("lines").order_by("pitch_id", "pk")


# --- The choice -----------------------------------------------------------------------------------


class PlainAmount(AmountField):
    """An amount, or null."""

    def to_representation(self, value: Any) -> Any:
        """Return the amount as text."""
        return None if value is None else super().to_representation(value)


class ChoiceOffer(serializers.Serializer[Any]):
    """One offer as the choice weighed it; USD."""

    offer = serializers.CharField()
    title = serializers.CharField(source="label")
    cost = PlainAmount()
    worth = PlainAmount()


class ChoiceRowSerializer(serializers.Serializer[Any]):
    """What the choice says about one pitch, with the figures of the formula; worth and cost are USD."""

    pitch = serializers.IntegerField(source="pitch.pk")
    number = serializers.CharField(source="pitch.number")
    title = serializers.CharField(source="pitch.submitted.title")
    team = serializers.CharField(source="pitch.team.slug")
    outcome = serializers.CharField()
    reason_code = serializers.CharField(source="reason")
    reason = serializers.CharField(source="text")
    formula = serializers.CharField()
    offer = serializers.CharField(source="label")
    mean = serializers.CharField(allow_null=True)
    disagreement = serializers.CharField(allow_null=True)
    k = AmountField()
    factor = AmountField()
    worth = PlainAmount()
    cost = PlainAmount()
    waitlist_place = serializers.IntegerField(allow_null=True)
    displaced_by = serializers.SerializerMethodField()
    smallest_change = serializers.CharField(source="change")
    override = serializers.SerializerMethodField()

    def get_displaced_by(self, row: ChoiceRow) -> list[str]:
        """Return the numbers of the pitches that took its place, of those that the caller may know."""
        return [pitch.number for pitch in row.displaced_by]

    def get_override(self, row: ChoiceRow) -> int | None:
        """Return the id of the override on it."""
        return row.override.pk if row.override else None


class ChoiceHead(serializers.Serializer[Any]):
    """The latest choice as the caller may see it: sums leave out the `hidden` pitches that they are recused from."""

    number = serializers.IntegerField(source="selection.number")
    made_at = serializers.DateTimeField(source="selection.created_at")
    made_by = serializers.EmailField(source="selection.created_by.email")
    rule = serializers.CharField(source="selection.rule")
    solver = serializers.CharField(source="selection.solver")
    currency = serializers.SerializerMethodField()
    cost = AmountField()
    worth = AmountField()
    hidden = serializers.IntegerField()
    is_stale = serializers.BooleanField()
    is_adopted = serializers.BooleanField()
    is_optimal = serializers.BooleanField()
    gap = AmountField()
    added_with_more_cap = serializers.SerializerMethodField()
    dropped_with_more_cap = serializers.SerializerMethodField()

    def get_currency(self, choice: Choice) -> str:
        """Return the currency of every amount."""
        return CURRENCY

    def get_added_with_more_cap(self, choice: Choice) -> list[str]:
        """Return the numbers of what would be funded as well with five percent more cap."""
        return [pitch.number for pitch in choice.added]

    def get_dropped_with_more_cap(self, choice: Choice) -> list[str]:
        """Return the numbers of what would give way with five percent more cap."""
        return [pitch.number for pitch in choice.dropped]


class ChoiceSerializer(ChoiceHead, Paged):
    """The latest choice with a page of what it says about each pitch."""

    results = ChoiceRowSerializer(many=True)


class ChoiceAnswer(serializers.Serializer[Any]):
    """The latest choice; null before the first."""

    choice = ChoiceSerializer(allow_null=True)


def _choice(request: Request, round_: Round) -> dict[str, Any]:
    found = choice_of(actor_of(request), round_)
    if found is None:
        return {"choice": None}
    page = page_told(request, found.rows, lambda row: ChoiceRowSerializer(row).data)
    return {"choice": {**ChoiceHead(found).data, **page}}


class RoundChoice(APIView):
    """The exact choice of a round."""

    read_scope = Scope.COMMITTEE_READ
    write_scope = Scope.COMMITTEE_WRITE

    @extend_schema(responses=ChoiceAnswer, parameters=PAGE)
    def get(self, request: Request, pk: int) -> Response:
        """Answer with the latest one, as the caller may see it."""
        return Response(_choice(request, desk_round(request, pk, "pitches.sit_round")))

    @extend_schema(request=None, responses={200: ChoiceRunSerializer, 202: ChoiceRunSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Ask for it: 202 while it is computed, with the address to look at in `Location`; 200 where it is there.

        Whoever asks meanwhile gets the same run.
        """
        round_ = desk_round(request, pk, "pitches.sit_round")
        run = services.choice_ask(actor=actor_of(request), round_=round_)
        told = run_told(actor_of(request), run)
        return Response(told, status=202 if run.is_open else 200, headers={"Location": told["url"]})


class DecisionSerializer(serializers.Serializer[Any]):
    """A decision, tentative until the round is published; lines are USD by tier."""

    pitch = serializers.IntegerField(source="pitch_id")
    outcome = serializers.CharField()
    reason = serializers.CharField()
    lines = serializers.SerializerMethodField()
    waitlist_place = serializers.IntegerField(allow_null=True)
    decided_by = serializers.EmailField(source="decided_by.email")
    published_at = serializers.DateTimeField(allow_null=True)

    def get_lines(self, decision: Decision) -> dict[str, str]:
        """Return the amounts by tier."""
        amount = AmountField()
        return {line.tier: amount.to_representation(line.amount) for line in decision.lines.all()}


class DecisionsAdopted(serializers.Serializer[Any]):
    """The decisions that were made."""

    results = DecisionSerializer(many=True)


class ChoiceAdopt(APIView):
    """The decisions that the choice says, for every pitch that the caller decides on."""

    write_scope = Scope.COMMITTEE_WRITE

    @extend_schema(request=None, responses=DecisionsAdopted)
    def post(self, request: Request, pk: int) -> Response:
        """Make them."""
        round_ = desk_round(request, pk, "pitches.sit_round")
        made = services.selection_adopt(actor=actor_of(request), round_=round_)
        return Response(DecisionsAdopted({"results": _decisions(made)}).data)


def _decisions(made: list[Decision]) -> list[Decision]:
    rows = Decision.objects.filter(pk__in=[row.pk for row in made]).select_related("decided_by")
    return list(rows.prefetch_related("lines").order_by("pitch_id"))


# --- Decisions and the waitlist -------------------------------------------------------------------


class DecisionBody(serializers.Serializer[Any]):
    """A decision: `lines` are USD by tier, for what is funded or waits; `place` is one on the waitlist."""

    outcome = serializers.ChoiceField(Outcome.choices)
    reason = serializers.CharField(max_length=REASON)
    lines = serializers.DictField(
        child=serializers.DecimalField(max_digits=20, decimal_places=2, min_value=Decimal(0)), default=dict
    )
    place = serializers.IntegerField(min_value=1, allow_null=True, default=None)

    def validate_lines(self, lines: dict[str, Decimal]) -> dict[Tier, Decimal]:
        """Return the amounts by tier; raises ValidationError for a tier that does not exist."""
        unknown = sorted(set(lines) - set(Tier.values))
        if unknown:
            raise serializers.ValidationError(f"There is no tier {', '.join(unknown)}.")
        return {Tier(tier): amount for tier, amount in lines.items()}


class DecisionAnswer(serializers.Serializer[Any]):
    """The decision on a pitch; null before there is one."""

    decision = DecisionSerializer(allow_null=True)


class PitchDecision(APIView):
    """The decision on a pitch, once its ballots are open."""

    read_scope = Scope.COMMITTEE_READ
    write_scope = Scope.COMMITTEE_WRITE

    @extend_schema(responses=DecisionAnswer)
    def get(self, request: Request, pk: int) -> Response:
        """Answer with it."""
        return Response(_decision(self._pitch(request, pk)))

    @extend_schema(request=DecisionBody, responses=DecisionAnswer)
    def put(self, request: Request, pk: int) -> Response:
        """Decide, or decide otherwise."""
        pitch, said = self._pitch(request, pk), said_in(DecisionBody(data=request.data))
        services.decision_set(
            actor=actor_of(request),
            pitch=pitch,
            outcome=Outcome(said["outcome"]),
            reason=said["reason"],
            lines=said["lines"],
            place=said["place"],
        )
        return Response(_decision(pitch))

    @staticmethod
    def _pitch(request: Request, pk: int) -> Pitch:
        pitch = desk_pitch(request, pk)
        if pitch.round.state not in BALLOTS_REVEALED or not may(request.user, "pitches.view_review", pitch):
            raise Http404
        return pitch


def _decision(pitch: Pitch) -> dict[str, Any]:
    found = Decision.objects.filter(pitch=pitch).select_related("decided_by").prefetch_related("lines").first()
    return dict(DecisionAnswer({"decision": found}).data)


class WaitSerializer(serializers.Serializer[Any]):
    """A place on the waitlist; of a pitch that the caller is recused from nothing but the place. USD."""

    place = serializers.IntegerField()
    pitch = serializers.IntegerField(allow_null=True)
    amount = PlainAmount()
    short = serializers.CharField(help_text="Why it does not fit what is free now; blank when it does.")


class RoundWaitlist(CommitteeList):
    """The waitlist of a round in its order."""

    serializer_class = WaitSerializer

    def get_queryset(self) -> Any:
        """Return it; none before the vote has closed."""
        round_ = desk_round(self.request, self.kwargs["pk"], "pitches.sit_round")
        if round_.state not in BALLOTS_REVEALED:
            return []
        rows = waitlist_table(actor_of(self.request), round_, room_of(round_))
        return [
            {
                "place": row.decision.waitlist_place,
                "pitch": None if row.hidden else row.decision.pitch_id,
                "amount": None if row.hidden else row.total,
                "short": row.short,
            }
            for row in rows
        ]


class WaitlistPlace(serializers.Serializer[Any]):
    """A pitch and its place on the waitlist."""

    pitch = serializers.IntegerField()
    place = serializers.IntegerField()


class WaitlistRaise(APIView):
    """One place up on the waitlist."""

    write_scope = Scope.COMMITTEE_WRITE

    @extend_schema(request=None, responses=WaitlistPlace)
    def post(self, request: Request, pk: int) -> Response:
        """Move the pitch up; the one before it moves down."""
        services.waitlist_raise(actor=actor_of(request), pitch=desk_pitch(request, pk))
        place = Decision.objects.values_list("waitlist_place", flat=True).get(pitch=pk)
        return Response(WaitlistPlace({"pitch": pk, "place": place}).data)


# --- What was published ---------------------------------------------------------------------------


class RoundResults(APIView):
    """What a round funded and why, for everybody who sees the round."""

    read_scope = Scope.PITCHES_READ

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, pk: int) -> Response:
        """Answer with every result, and the hashes of what they were computed from; 404 before publication."""
        published = results_published(shown_round(request, pk))
        if published is None:
            raise Http404
        return Response(as_json(published))
