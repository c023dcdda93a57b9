"""Overrides for programs: proposed, signed by a second member, withdrawn, and how much of the cap is left for them."""

from typing import Any

from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ledger.api_data import AmountField
from ledger.money import CURRENCY
from pitches import services
from pitches.access import may
from pitches.api_doors import (
    CommitteeList,
    ReasonBody,
    actor_of,
    desk_pitch,
    desk_round,
    said_in,
)
from pitches.models import (
    Force,
    Override,
    OverrideCategory,
    Pitch,
    PitchOption,
)
from pitches.selectors.conflicts import conflicted_ids
from pitches.selectors.selection import override_room, overrides_of
from teams.errors import Refused
from teams.models import Scope

REASON = 4000


class OverrideSerializer(serializers.Serializer[Any]):
    """A departure from the choice: its price is USD of worth, its cost USD that it moves."""

    id = serializers.IntegerField()
    pitch = serializers.IntegerField(source="pitch_id")
    force = serializers.CharField()
    option = serializers.IntegerField(source="option_id", allow_null=True)
    category = serializers.CharField()
    reason = serializers.CharField()
    price = AmountField()
    cost = AmountField()
    proposed_by = serializers.EmailField(source="proposed_by.email")
    signed_by = serializers.EmailField(source="signed_by.email", default=None)
    signed_at = serializers.DateTimeField(allow_null=True)
    withdrawn_at = serializers.DateTimeField(allow_null=True)


class OverrideBody(serializers.Serializer[Any]):
    """An override: `option` is the id of the pitch's own offer, without it the one that costs the round least."""

    force = serializers.ChoiceField(Force.choices)
    category = serializers.ChoiceField(OverrideCategory.choices)
    reason = serializers.CharField(max_length=REASON)
    option = serializers.IntegerField(min_value=1, allow_null=True, default=None)


class OverrideRoomSerializer(serializers.Serializer[Any]):
    """How much of the cap signed overrides may move together, and how much of that they do; USD."""

    currency = serializers.CharField(default=CURRENCY)
    limit = AmountField()
    moved = AmountField()
    left = AmountField()


class RoundOverrides(CommitteeList):
    """The overrides of a round, withdrawn ones included, without those about pitches closed to the caller."""

    serializer_class = OverrideSerializer

    def get_queryset(self) -> Any:
        """Return them, newest first."""
        round_ = desk_round(self.request, self.kwargs["pk"], "pitches.sit_round")
        return overrides_of(round_, hidden=conflicted_ids(self.request.user, round_))


class OverrideLimit(APIView):
    """How much overrides may still move in a round."""

    read_scope = Scope.COMMITTEE_READ

    @extend_schema(responses=OverrideRoomSerializer)
    def get(self, request: Request, pk: int) -> Response:
        """Answer with it; what the caller is recused from is left out."""
        round_ = desk_round(request, pk, "pitches.sit_round")
        room = override_room(round_, hidden=conflicted_ids(request.user, round_))
        told = {"currency": CURRENCY, "limit": room.limit, "moved": room.moved, "left": room.left}
        return Response(OverrideRoomSerializer(told).data)


class PitchOverride(APIView):
    """An override on a pitch."""

    write_scope = Scope.COMMITTEE_WRITE

    @extend_schema(request=OverrideBody, responses={201: OverrideSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Propose it; a second member signs."""
        pitch, said = _pitch(request, pk), said_in(OverrideBody(data=request.data))
        made = services.override_propose(
            actor=actor_of(request),
            pitch=pitch,
            force=Force(said["force"]),
            category=OverrideCategory(said["category"]),
            reason=said["reason"],
            option=_option(pitch, said["option"]),
        )
        return Response(OverrideSerializer(made).data, status=201)


def _option(pitch: Pitch, pk: int | None) -> PitchOption | None:
    if pk is None:
        return None
    option = PitchOption.objects.filter(pitch=pitch, pk=pk).first()
    if option is None:
        raise Refused("Choose one of this pitch's own offers.", code="other_option", field="option")
    return option


def _pitch(request: Request, pk: int) -> Pitch:
    pitch = desk_pitch(request, pk)
    if not may(request.user, "pitches.override_pitch", pitch):
        raise Http404
    return pitch


def _override(request: Request, pk: int) -> Override:
    override = get_object_or_404(Override.objects.select_related("pitch__round", "option"), pk=pk)
    _pitch(request, override.pitch_id)
    return override


class OverrideSign(APIView):
    """The second signature under an override."""

    write_scope = Scope.COMMITTEE_WRITE

    @extend_schema(request=None, responses=OverrideSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Sign it; run the choice again afterwards."""
        made = services.override_sign(actor=actor_of(request), override=_override(request, pk))
        return Response(OverrideSerializer(made).data)


class OverrideWithdraw(APIView):
    """The end of an override."""

    write_scope = Scope.COMMITTEE_WRITE

    @extend_schema(request=ReasonBody, responses=OverrideSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Take it back."""
        override, said = _override(request, pk), said_in(ReasonBody(data=request.data))
        made = services.override_withdraw(actor=actor_of(request), override=override, reason=said["reason"])
        return Response(OverrideSerializer(made).data)
