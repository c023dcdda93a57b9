"""The life of rounds for programs: prepare, edit, clone, peek, screen, assign, discuss, the fast lane, the calendar.

Every endpoint makes one call of the service, or selector, that the pages use.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from djmoney.money import Money
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
from pitches.api import RoundDetail, RoundList, RoundSerializer
from pitches.models import Aspect, Finding, Outcome, Pitch, Round
from pitches.questions import DEFAULT_CRITERIA
from pitches.selectors.assignments import assignments_shown_to, loads_shown_to
from pitches.selectors.discussion import remarks_shown_to
from pitches.selectors.fast_lane import lane_decisions
from pitches.selectors.rounds import rounds_visible_to
from pitches.selectors.screening import screenable_to, screening_queue
from pitches.selectors.seals import sealed_pitches
from pitches.services import Calendar, Rules
from pitches.views.calendar import calendar_answer
from teams.access import UserRequest, find_or_404
from teams.models import Scope, User


class CriterionInput(serializers.Serializer[Any]):
    """A criterion and its weight from 1 to 100."""

    name = serializers.CharField(max_length=40)
    question = serializers.CharField(max_length=200)
    weight = serializers.IntegerField(min_value=1, max_value=100)


class RoundInput(serializers.Serializer[Any]):
    """A round as it is prepared; amounts are USD, shares are parts of the cap from 0 to 1, moments have an offset.

    With `fast_lane_limit` it is a fast lane, which has neither reviews nor a vote.
    """

    name = serializers.CharField(max_length=80)
    cap = serializers.DecimalField(max_digits=20, decimal_places=2)
    submissions_close_at = serializers.DateTimeField()
    reviews_close_at = serializers.DateTimeField(required=False)
    voting_closes_at = serializers.DateTimeField(required=False)
    answers_due_at = serializers.DateTimeField()
    starts_on = serializers.DateField()
    months = serializers.IntegerField(min_value=1, max_value=36)
    time_zone = serializers.CharField(max_length=60, default="UTC")
    reserve_share = serializers.DecimalField(max_digits=5, decimal_places=4, default=Decimal("0.1"))
    hurdle = serializers.DecimalField(max_digits=8, decimal_places=4, default=Decimal(1))
    quorum = serializers.IntegerField(min_value=1, max_value=99, default=3)
    team_cap = serializers.DecimalField(max_digits=5, decimal_places=4, allow_null=True, default=None)
    frontier_cap = serializers.DecimalField(max_digits=5, decimal_places=4, allow_null=True, default=None)
    reviews_per_pitch = serializers.IntegerField(min_value=1, max_value=99, default=3)
    fast_lane_limit = serializers.DecimalField(max_digits=20, decimal_places=2, allow_null=True, default=None)
    recurs_months = serializers.IntegerField(min_value=1, max_value=36, allow_null=True, default=None)
    criteria = CriterionInput(many=True, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Return the input; raises ValidationError where a regular round lacks a deadline."""
        if attrs["fast_lane_limit"] is None:
            missing = [name for name in ("reviews_close_at", "voting_closes_at") if name not in attrs]
            if missing:
                raise serializers.ValidationError({name: ["This field is required."] for name in missing})
        return attrs

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `services.round_create` and `round_edit`; ask `is_valid` first."""
        said = self.validated_data
        until: datetime = said["submissions_close_at"]
        deadlines = (said.get(name, until) for name in Calendar.__dataclass_fields__)
        plain = ("name", "starts_on", "months", "time_zone", "recurs_months")
        rows = said.get("criteria")
        return {
            **{name: said[name] for name in plain},
            "cap": Money(said["cap"], CURRENCY),
            "calendar": Calendar(*deadlines),
            "rules": Rules(**{name: said[name] for name in Rules.__dataclass_fields__}),
            "criteria": DEFAULT_CRITERIA
            if rows is None
            else [(row["name"], row["question"], row["weight"]) for row in rows],
        }


class CloneInput(serializers.Serializer[Any]):
    """The name of a clone, and by how many months its dates are later."""

    name = serializers.CharField(max_length=80)
    months = serializers.IntegerField(min_value=1, max_value=36)


class ReasonInput(serializers.Serializer[Any]):
    """Why something is done."""

    reason = serializers.CharField(max_length=2000)


class ScreeningInput(serializers.Serializer[Any]):
    """What was found about an aspect of a revision, and why."""

    revision = serializers.IntegerField(min_value=1)
    aspect = serializers.ChoiceField(choices=Aspect.choices)
    finding = serializers.ChoiceField(choices=Finding.choices)
    reason = serializers.CharField(max_length=2000)


class RemarkInput(serializers.Serializer[Any]):
    """What a member says to the others."""

    body = serializers.CharField(max_length=4000)


class LaneInput(serializers.Serializer[Any]):
    """A decision in the fast lane; `lines` are USD by tier."""

    outcome = serializers.ChoiceField(choices=[Outcome.FUND.value, Outcome.DECLINE.value])
    reason = serializers.CharField(max_length=4000)
    lines = serializers.DictField(child=serializers.DecimalField(max_digits=20, decimal_places=2), default=dict)

    def validate_lines(self, lines: dict[str, Decimal]) -> dict[Tier, Decimal]:
        """Return the amounts by tier; raises ValidationError for a tier that does not exist."""
        unknown = set(lines) - set(Tier.values)
        if unknown:
            raise serializers.ValidationError(f"No such tier: {', '.join(sorted(unknown))}.")
        return {Tier(tier): amount for tier, amount in lines.items()}


def _said(form: serializers.Serializer[Any]) -> dict[str, Any]:
    form.is_valid(raise_exception=True)
    return cast(dict[str, Any], form.validated_data)


def _user(request: Request) -> User:
    return cast(User, request.user)


def _round(request: Request, pk: int) -> Round:
    user = _user(request)
    return find_or_404(rounds_visible_to(user), user, "pitches.view_round", pk=pk)


def _desk(request: Request, pk: int, permission: str) -> Round:
    round_ = _round(request, pk)
    if not may(_user(request), permission, round_):
        raise Http404
    return round_


def _pitch(request: Request, pk: int, permission: str) -> Pitch:
    pitch = get_object_or_404(Pitch.objects.select_related("round", "team__business_unit", "current"), pk=pk)
    if not may(_user(request), permission, pitch):
        raise Http404
    return pitch


class Rounds(RoundList):
    """The rounds that the caller may see, newest first; a new one is prepared as a draft."""

    write_scope = Scope.PITCHES_WRITE

    @extend_schema(request=RoundInput, responses={201: RoundSerializer})
    def post(self, request: Request) -> Response:
        """Prepare a round."""
        form = RoundInput(data=request.data)
        _said(form)
        made = services.round_create(actor=_user(request), **form.arguments())
        return Response(RoundSerializer(_round(request, made.pk)).data, status=201)


class RoundOne(RoundDetail):
    """One round; a draft can be changed whole."""

    write_scope = Scope.PITCHES_WRITE

    @extend_schema(request=RoundInput, responses=RoundSerializer)
    def put(self, request: Request, pk: int) -> Response:
        """Change a draft."""
        round_ = _round(request, pk)
        form = RoundInput(data=request.data)
        _said(form)
        services.round_edit(actor=_user(request), round_=round_, **form.arguments())
        return Response(RoundSerializer(_round(request, pk)).data)


class RoundClone(APIView):
    """A draft with the rules, criteria and committee of another round."""

    write_scope = Scope.PITCHES_WRITE

    @extend_schema(request=CloneInput, responses={201: RoundSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Prepare the clone."""
        round_ = _round(request, pk)
        said = _said(CloneInput(data=request.data))
        made = services.round_clone(actor=_user(request), round_=round_, **said)
        return Response(RoundSerializer(_round(request, made.pk)).data, status=201)


class SealedPitches(APIView):
    """What came into a sealed round, by number; for its committee, finance and auditors."""

    read_scope = Scope.PITCHES_READ

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, pk: int) -> Response:
        """Answer with the numbers and states, and which the caller has opened."""
        round_ = _desk(request, pk, "pitches.peek_round")
        rows = sealed_pitches(_user(request), round_)
        results = [{"id": row.pk, "number": row.number, "state": row.state, "is_opened": row.is_opened} for row in rows]
        return Response({"is_sealed": round_.is_sealed, "results": results})


class PitchPeek(APIView):
    """A look at a sealed pitch; its team is told."""

    write_scope = Scope.PITCHES_WRITE

    @extend_schema(request=ReasonInput, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, pk: int) -> Response:
        """Open the current revision to the caller."""
        pitch = _pitch(request, pk, "pitches.peek_pitch")
        said = _said(ReasonInput(data=request.data))
        peek = services.pitch_peek(actor=_user(request), pitch=pitch, reason=said["reason"])
        return Response({"pitch": pk, "revision": peek.revision.number}, status=201)


class ScreeningQueue(APIView):
    """What the caller screens, what waits for them first."""

    read_scope = Scope.PITCHES_READ

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        """Answer with pitches, findings so far and what still waits."""
        user = _user(request)
        if not user.has_perm("pitches.list_screenings"):
            raise Http404
        results = [
            {
                "id": row.pitch.pk,
                "title": row.pitch.submitted.title,
                "revision": row.pitch.submitted.number,
                "findings": {aspect: found.finding for aspect, found in row.findings if found is not None},
                "waiting": row.waiting,
            }
            for row in screening_queue(user)
        ]
        return Response({"results": results})


class PitchScreening(APIView):
    """A finding about one aspect of a pitch."""

    write_scope = Scope.PITCHES_WRITE

    @extend_schema(request=ScreeningInput, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, pk: int) -> Response:
        """Record it."""
        pitch = get_object_or_404(screenable_to(_user(request)), pk=pk)
        said = _said(ScreeningInput(data=request.data))
        made = services.screening_record(
            actor=_user(request),
            pitch=pitch,
            revision_number=said["revision"],
            aspect=Aspect(said["aspect"]),
            finding=Finding(said["finding"]),
            reason=said["reason"],
        )
        return Response({"id": made.pk, "aspect": made.aspect, "finding": made.finding}, status=201)


class PitchRuleOut(APIView):
    """A decline of what a screening found infeasible."""

    write_scope = Scope.PITCHES_WRITE

    @extend_schema(request=ReasonInput, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, pk: int) -> Response:
        """Decline it."""
        pitch = _pitch(request, pk, "pitches.view_pitch")
        said = _said(ReasonInput(data=request.data))
        pitch = services.pitch_rule_out(actor=_user(request), pitch=pitch, reason=said["reason"])
        return Response({"id": pitch.pk, "state": pitch.state})


class RoundAssignments(APIView):
    """Who is asked to review what; pitches that the caller has a conflict about are left out."""

    read_scope = Scope.PITCHES_READ

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, pk: int) -> Response:
        """Answer with members by pitch, and how much each member is asked for."""
        round_ = _desk(request, pk, "pitches.desk_round")
        pitches = [
            {
                "pitch": row.pitch.pk,
                "members": [{"member": member.email, "is_reviewed": done} for member, done in row.members],
            }
            for row in assignments_shown_to(_user(request), round_)
        ]
        loads = [
            {"member": load.member.email, "asked": load.asked, "done": load.done}
            for load in loads_shown_to(_user(request), round_)
        ]
        return Response({"results": pitches, "loads": loads})


class PitchRemarks(APIView):
    """The committee's discussion of a pitch, for members without a conflict."""

    read_scope = Scope.PITCHES_READ
    write_scope = Scope.PITCHES_WRITE

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, pk: int) -> Response:
        """Answer with the remarks, oldest first; none before the caller's own review is in."""
        pitch = _pitch(request, pk, "pitches.discuss_pitch")
        results = [
            {"author": row.author.email, "revision": row.revision.number, "at": row.at, "body": row.body}
            for row in remarks_shown_to(_user(request), pitch)
        ]
        return Response({"results": results})

    @extend_schema(request=RemarkInput, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, pk: int) -> Response:
        """Add a remark on the current revision."""
        pitch = _pitch(request, pk, "pitches.discuss_pitch")
        said = _said(RemarkInput(data=request.data))
        made = services.remark_add(actor=_user(request), pitch=pitch, body=said["body"])
        return Response({"id": made.pk, "revision": made.revision.number}, status=201)


class LaneDecisionMake(APIView):
    """One member's decision on a pitch of a fast lane."""

    write_scope = Scope.PITCHES_WRITE

    @extend_schema(request=LaneInput, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, pk: int) -> Response:
        """Decide; the team has its answer at once."""
        pitch = _pitch(request, pk, "pitches.decide_lane")
        said = _said(LaneInput(data=request.data))
        made = services.lane_decide(
            actor=_user(request),
            pitch=pitch,
            outcome=Outcome(said["outcome"]),
            reason=said["reason"],
            lines=said["lines"],
        )
        return Response({"pitch": pk, "outcome": made.outcome}, status=201)


class LaneClose(APIView):
    """The end of a fast lane."""

    write_scope = Scope.PITCHES_WRITE

    @extend_schema(request=ReasonInput, responses=RoundSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Close it."""
        round_ = _round(request, pk)
        said = _said(ReasonInput(data=request.data))
        services.lane_close(actor=_user(request), round_=round_, reason=said["reason"])
        return Response(RoundSerializer(_round(request, pk)).data)


class LaneDecisions(APIView):
    """Every decision of a fast lane, and which are looked at a second time; for auditors."""

    read_scope = Scope.PITCHES_READ

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, pk: int) -> Response:
        """Answer with the decisions, newest first; amounts are USD."""
        round_ = _round(request, pk)
        if not _user(request).has_perm("pitches.audit_lane") or not round_.is_fast_lane:
            raise Http404
        amount = AmountField()
        results = [
            {
                "pitch": row.decision.pitch_id,
                "title": row.decision.revision.title,
                "outcome": row.decision.outcome,
                "awarded": amount.to_representation(row.awarded),
                "decided_by": row.decision.decided_by.email,
                "published_at": row.decision.published_at,
                "reason": row.decision.reason,
                "is_sampled": row.is_sampled,
            }
            for row in lane_decisions(round_)
        ]
        return Response({"currency": CURRENCY, "results": results})


class RoundCalendar(APIView):
    """The deadlines to come of the rounds that the caller sees, as an iCalendar file."""

    read_scope = Scope.PITCHES_READ

    @extend_schema(responses={(200, "text/calendar"): OpenApiTypes.STR})
    def get(self, request: Request) -> HttpResponse:
        """Answer with the file."""
        return calendar_answer(cast(UserRequest, request))
