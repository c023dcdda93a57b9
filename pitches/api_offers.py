"""Offers and counter-offers for programs, under the same rules as the pages.

Every answer carries `code`, which says what became of the request. The same answer given twice is answered with what
is stored: its `code` begins with `already_`, and nothing is changed.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar, cast

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ledger.api_data import AmountField
from ledger.models import Tier
from ledger.money import CURRENCY
from pitches import services
from pitches.models import Counter, CounterLine, CounterSide, Offer, OfferLine
from pitches.selectors.offers import counter_waiting, lines_of, offers_visible_to, offers_whole
from pitches.transitions import CounterState, OfferState
from teams.access import find_or_404
from teams.api import Pages
from teams.errors import Refused, WrongState
from teams.models import Scope, User
from teams.typed import whole_in


class OfferLineSerializer(serializers.ModelSerializer[OfferLine]):
    """One tier: what was asked at target and what is offered, in USD."""

    asked = AmountField()
    awarded = AmountField()
    difference = AmountField()

    class Meta:
        model = OfferLine
        fields: ClassVar = ["tier", "asked", "awarded", "difference"]


class CounterLineSerializer(serializers.ModelSerializer[CounterLine]):
    """One tier of a counter-offer, in USD."""

    amount = AmountField()

    class Meta:
        model = CounterLine
        fields: ClassVar = ["tier", "amount"]


class CounterSerializer(serializers.ModelSerializer[Counter]):
    """A counter-offer and what became of it."""

    by = serializers.SlugRelatedField[Any](slug_field="email", read_only=True)
    answered_by = serializers.SlugRelatedField[Any](slug_field="email", read_only=True)
    lines = CounterLineSerializer(many=True, read_only=True)

    class Meta:
        model = Counter
        fields: ClassVar = [
            "id",
            "side",
            "state",
            "message",
            "lines",
            "by",
            "at",
            "answered_by",
            "answered_at",
            "answer_reason",
        ]


class OfferSerializer(serializers.ModelSerializer[Offer]):
    """An offer: its lines, until when it is open, its answer, and the counter-offers to it, oldest first."""

    round = serializers.IntegerField(source="pitch.round_id", read_only=True)
    team = serializers.CharField(source="pitch.team.slug", read_only=True)
    title = serializers.CharField(source="revision.title", read_only=True)
    revision = serializers.IntegerField(source="revision.number", read_only=True)
    currency = serializers.SerializerMethodField()
    lines = OfferLineSerializer(many=True, read_only=True)
    answered_by = serializers.SlugRelatedField[Any](slug_field="email", read_only=True)
    allocation = serializers.CharField(source="allocation.number", default=None, read_only=True)
    counters = CounterSerializer(many=True, read_only=True)

    class Meta:
        model = Offer
        fields: ClassVar = [
            "id",
            "pitch",
            "round",
            "team",
            "title",
            "revision",
            "state",
            "currency",
            "lines",
            "expires_at",
            "created_at",
            "answered_by",
            "answered_at",
            "answer_reason",
            "allocation",
            "counters",
        ]

    def get_currency(self, offer: Offer) -> str:
        """Return the currency of every amount of an offer."""
        return CURRENCY


class Answered(serializers.Serializer[Any]):
    """What became of the request, and the offer as it stands; after a counter-offer is accepted, the new one."""

    code = serializers.CharField()
    offer = OfferSerializer()


class ReasonSerializer(serializers.Serializer[Any]):
    """Why."""

    reason = serializers.CharField(max_length=2000)


class LinesSerializer(serializers.Serializer[Any]):
    """Amounts in USD by tier, as decimal strings; a tier that is left out gets nothing."""

    lines = serializers.DictField(child=serializers.DecimalField(max_digits=20, decimal_places=2, min_value=Decimal(0)))

    def validate_lines(self, value: dict[str, Decimal]) -> dict[str, Decimal]:
        """Refuse a tier that does not exist."""
        unknown = sorted(set(value) - set(Tier.values))
        if unknown:
            raise serializers.ValidationError(f"There is no tier {', '.join(unknown)}.")
        return value

    def tiers(self) -> dict[Tier, Decimal]:
        """Return the amounts by tier; ask `is_valid` first."""
        return {Tier(name): amount for name, amount in self.validated_data.get("lines", {}).items() if amount}


class CounterBody(LinesSerializer):
    """A counter-offer."""

    message = serializers.CharField(max_length=2000)


class AnswerBody(LinesSerializer):
    """An answer to the counter-offer that waits: `lines` only with `counter`, `until` sets another date to answer."""

    counter = serializers.IntegerField(min_value=1, help_text="The id of the counter-offer.")
    answer = serializers.ChoiceField(["accept", "refuse", "counter", "withdraw"])
    reason = serializers.CharField(max_length=2000)
    lines = serializers.DictField(
        child=serializers.DecimalField(max_digits=20, decimal_places=2, min_value=Decimal(0)), required=False
    )
    until = serializers.DateTimeField(required=False, allow_null=True, default=None)


def _offer(request: Request, pk: int) -> Offer:
    offers = offers_whole(offers_visible_to(request.user))
    return find_or_404(offers, request.user, "pitches.follow_offer", pk=pk)


def _read(body: type[serializers.Serializer[Any]], request: Request) -> Any:
    said = body(data=request.data)
    said.is_valid(raise_exception=True)
    return said


def _answer(
    request: Request, pk: int, code: str, work: Callable[[Offer], object], is_done: Callable[[Offer], bool]
) -> Response:
    """Do what is asked for and answer with the offer; when it is done already, answer with what is stored."""
    offer = _offer(request, pk)
    try:
        made = work(offer)
    except WrongState:
        offer = _offer(request, pk)
        if not is_done(offer):
            raise
        return Response({"code": f"already_{code}", "offer": OfferSerializer(_newest(request, offer)).data})
    shown = made.pk if isinstance(made, Offer) else pk
    return Response({"code": code, "offer": OfferSerializer(_offer(request, shown)).data})


def _newest(request: Request, offer: Offer) -> Offer:
    """Return the offer that took the place of one that was replaced, otherwise the offer itself."""
    if offer.state != OfferState.REPLACED:
        return offer
    later = offers_whole(offers_visible_to(request.user)).filter(pitch=offer.pitch_id, pk__gt=offer.pk)
    return later.order_by("pk").first() or offer


class OfferList(ListAPIView[Offer]):
    """The offers that the caller may follow, newest first; `?state=` and `?round=` choose."""

    read_scope = Scope.PITCHES_READ
    serializer_class = OfferSerializer
    pagination_class = Pages

    @extend_schema(parameters=[OpenApiParameter("state", enum=OfferState.values), OpenApiParameter("round", int)])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Answer with a page of them."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[Offer]:
        """Return them; raises ValidationError for a state or round that cannot be."""
        offers = offers_whole(offers_visible_to(self.request.user))
        state, round_ = self.request.query_params.get("state"), self.request.query_params.get("round")
        if state is not None:
            if state not in OfferState.values:
                raise serializers.ValidationError({"state": [f"It is one of {', '.join(OfferState.values)}."]})
            offers = offers.filter(state=state)
        if round_ is not None:
            pk = whole_in(round_, None)
            if pk is None:
                raise serializers.ValidationError({"round": ["It is the id of a round."]})
            offers = offers.filter(pitch__round=pk)
        return offers


class OfferDetail(APIView):
    """One offer."""

    read_scope = Scope.PITCHES_READ

    @extend_schema(responses=OfferSerializer)
    def get(self, request: Request, pk: int) -> Response:
        """Answer with the offer; 404 for one that the caller may not follow."""
        return Response(OfferSerializer(_offer(request, pk)).data)


class OfferAccept(APIView):
    """Accept an offer as a lead of its team."""

    write_scope = Scope.PITCHES_WRITE

    @extend_schema(request=None, responses=Answered)
    def post(self, request: Request, pk: int) -> Response:
        """Answer with `accepted`, or `already_accepted` when it is."""
        actor = cast(User, request.user)
        return _answer(
            request,
            pk,
            "accepted",
            lambda offer: services.offer_accept(actor=actor, offer=offer),
            lambda offer: offer.state == OfferState.ACCEPTED,
        )


class OfferDecline(APIView):
    """Decline an offer as a lead of its team."""

    write_scope = Scope.PITCHES_WRITE

    @extend_schema(request=ReasonSerializer, responses=Answered)
    def post(self, request: Request, pk: int) -> Response:
        """Answer with `declined`, or `already_declined` when it is."""
        actor, reason = cast(User, request.user), _read(ReasonSerializer, request).validated_data["reason"]
        return _answer(
            request,
            pk,
            "declined",
            lambda offer: services.offer_decline(actor=actor, offer=offer, reason=reason),
            lambda offer: offer.state == OfferState.DECLINED,
        )


class OfferCounter(APIView):
    """Counter an open offer with other lines as a lead of its team."""

    write_scope = Scope.PITCHES_WRITE

    @extend_schema(request=CounterBody, responses=Answered)
    def post(self, request: Request, pk: int) -> Response:
        """Answer with `countered`, or `already_countered` when a counter-offer with the same lines waits."""
        actor, said = cast(User, request.user), _read(CounterBody, request)
        lines, message = said.tiers(), said.validated_data["message"]
        offer = _offer(request, pk)
        try:
            services.counter_make(actor=actor, offer=offer, lines=lines, message=message)
        except Refused as refused:
            offer = _offer(request, pk)
            waiting = counter_waiting(offer)
            if refused.code != "counter_open" or waiting is None or lines_of(waiting.lines.all()) != lines:
                raise
            return Response({"code": "already_countered", "offer": OfferSerializer(offer).data})
        return Response({"code": "countered", "offer": OfferSerializer(_offer(request, pk)).data})


DONE = {
    "accept": (CounterState.ACCEPTED, "counter_accepted"),
    "refuse": (CounterState.REFUSED, "counter_refused"),
    "counter": (CounterState.COUNTERED, "counter_countered"),
    "withdraw": (CounterState.WITHDRAWN, "counter_withdrawn"),
}


class CounterAnswer(APIView):
    """Answer a counter-offer for the committee, or take it back as a lead of the team."""

    write_scope = Scope.PITCHES_WRITE

    @extend_schema(request=AnswerBody, responses=Answered)
    def post(self, request: Request, pk: int) -> Response:
        """Answer with `counter_…` and what became of it, or `already_counter_…` when the same answer was given."""
        said = _read(AnswerBody, request)
        state, code = DONE[said.validated_data["answer"]]
        number = said.validated_data["counter"]
        return _answer(
            request,
            pk,
            code,
            lambda offer: _take(cast(User, request.user), _counter(offer, number), said),
            lambda offer: _counter(offer, number).state == state,
        )


def _counter(offer: Offer, number: int) -> Counter:
    for counter in offer.counters.all():
        if counter.pk == number and counter.side == CounterSide.TEAM:
            return counter
    raise Refused("This offer has no such counter-offer.", code="no_counter", field="counter")


def _take(actor: User, counter: Counter, said: AnswerBody) -> object:
    body = said.validated_data
    reason, until = body["reason"], body["until"]
    match body["answer"]:
        case "accept":
            return services.counter_accept(actor=actor, counter=counter, reason=reason, until=until)
        case "refuse":
            return services.counter_refuse(actor=actor, counter=counter, reason=reason, until=until)
        case "counter":
            return services.counter_answer(
                actor=actor, counter=counter, lines=said.tiers(), message=reason, until=until
            )
        case _:
            return services.counter_withdraw(actor=actor, counter=counter, reason=reason)
