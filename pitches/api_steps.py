"""The life of a round for programs: its next step, other deadlines, who sits in its committee; the pages' own rules."""

from datetime import datetime
from typing import Any, cast

from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from pitches import services
from pitches.admin.rounds import STEPS
from pitches.api import RoundSerializer
from pitches.api_doors import CommitteeList, ReasonBody, actor_of, desk_round, round_told, said_in
from pitches.models import CommitteeSeat
from pitches.selectors.conflicts import declared_at
from pitches.selectors.rounds import committee_of
from pitches.services import Calendar
from teams.access import UserRequest
from teams.errors import Refused
from teams.models import Scope, User


class StepBody(serializers.Serializer[Any]):
    """Why a step is taken.

    Opening, cancelling, and ending a fast lane need it; so does a vote on a pitch that was not screened by both.
    """

    reason = serializers.CharField(max_length=2000, allow_blank=True, default="")


class RoundStep(APIView):
    """The next step of a round."""

    write_scope = Scope.COMMITTEE_WRITE

    @extend_schema(
        request=StepBody,
        responses=RoundSerializer,
        parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH, enum=list(STEPS))],
    )
    def post(self, request: Request, pk: int, name: str) -> Response:
        """Take it, and answer with the round; 404 for a step that there is not."""
        round_ = desk_round(request, pk)
        if name not in STEPS:
            raise Http404
        STEPS[name](cast(UserRequest, request), round_, said_in(StepBody(data=request.data))["reason"])
        return Response(round_told(pk))


class CalendarBody(serializers.Serializer[Any]):
    """Other deadlines, each with its offset, and why; a fast lane has neither reviews nor a vote."""

    submissions_close_at = serializers.DateTimeField()
    reviews_close_at = serializers.DateTimeField(required=False)
    voting_closes_at = serializers.DateTimeField(required=False)
    answers_due_at = serializers.DateTimeField()
    reason = serializers.CharField(max_length=2000)


class RoundSchedule(APIView):
    """The deadlines of a round."""

    write_scope = Scope.COMMITTEE_WRITE

    @extend_schema(request=CalendarBody, responses=RoundSerializer)
    def put(self, request: Request, pk: int) -> Response:
        """Set other ones."""
        round_ = desk_round(request, pk)
        said = said_in(CalendarBody(data=request.data))
        missing = [name for name in Calendar.__dataclass_fields__ if name not in said]
        if missing and not round_.is_fast_lane:
            raise serializers.ValidationError({name: ["This field is required."] for name in missing})
        until: datetime = said["submissions_close_at"]
        calendar = Calendar(*(said.get(name, until) for name in Calendar.__dataclass_fields__))
        services.round_reschedule(actor=actor_of(request), round_=round_, calendar=calendar, reason=said["reason"])
        return Response(round_told(pk))


class SeatSerializer(serializers.Serializer[Any]):
    """A seat in the committee; `declared_at` is when its member last declared conflicts."""

    id = serializers.IntegerField()
    member = serializers.EmailField()
    is_chair = serializers.BooleanField()
    declared_at = serializers.DateTimeField(allow_null=True)


class SeatBody(serializers.Serializer[Any]):
    """Who gets a seat."""

    member = serializers.EmailField()
    is_chair = serializers.BooleanField(default=False)


class RoundCommittee(CommitteeList):
    """The committee of a round."""

    write_scope = Scope.COMMITTEE_WRITE
    serializer_class = SeatSerializer

    def get_queryset(self) -> Any:
        """Return the seats, the chair's first."""
        round_ = desk_round(self.request, self.kwargs["pk"])
        declared = declared_at(round_)
        return [_seat(seat, declared.get(seat.user_id)) for seat in committee_of(round_)]

    @extend_schema(request=SeatBody, responses={201: SeatSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Give somebody a seat, or the chair."""
        round_ = desk_round(request, pk)
        said = said_in(SeatBody(data=request.data))
        member = User.objects.filter(email__iexact=said["member"], is_active=True).first()
        if member is None:
            raise Refused("Nobody in Tank has this address.", code="unknown_person", field="member")
        seat = services.seat_set(actor=actor_of(request), round_=round_, user=member, is_chair=said["is_chair"])
        return Response(SeatSerializer(_seat(seat, declared_at(round_).get(member.pk))).data, status=201)


def _seat(seat: CommitteeSeat, declared: datetime | None) -> dict[str, Any]:
    return {"id": seat.pk, "member": seat.user.email, "is_chair": seat.is_chair, "declared_at": declared}


class SeatRemove(APIView):
    """The end of a seat."""

    write_scope = Scope.COMMITTEE_WRITE

    @extend_schema(request=ReasonBody, responses={204: None})
    def post(self, request: Request, pk: int, seat: int) -> Response:
        """Take it away, before the vote."""
        round_ = desk_round(request, pk)
        found = get_object_or_404(CommitteeSeat.objects.select_related("user", "round"), round=round_, pk=seat)
        said = said_in(ReasonBody(data=request.data))
        services.seat_remove(actor=actor_of(request), seat=found, reason=said["reason"])
        return Response(status=204)
