"""A choice that was asked for, for programs: how far it is, and what became of it."""

from typing import Any

from django.http import Http404
from django.urls import reverse
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from pitches.access import may
from pitches.api_doors import actor_of, desk_round
from pitches.models import ChoiceRun, RunState
from pitches.selectors.selection import runs_of
from teams.models import Scope, User


class ChoiceRunError(serializers.Serializer[Any]):
    """Why a choice was not made, for those who run it."""

    code = serializers.CharField(source="error_code")
    message = serializers.CharField(source="error")


class ChoiceRunSerializer(serializers.Serializer[Any]):
    """A choice that was asked for: `done` of `total` pitches are explained; `choice` is the number of what came out."""

    id = serializers.IntegerField()
    url = serializers.SerializerMethodField(help_text="Where to look how far it is.")
    state = serializers.ChoiceField(choices=RunState.choices)
    asked_by = serializers.EmailField(source="asked_by.email")
    asked_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    done = serializers.IntegerField()
    total = serializers.IntegerField()
    choice = serializers.IntegerField(source="selection.number", default=None, allow_null=True)
    error = serializers.SerializerMethodField(help_text="Null unless it failed, and to whoever does not run it.")

    def get_url(self, run: ChoiceRun) -> str:
        """Return the run's own address."""
        return reverse("pitches:api_choice_run", args=[run.round_id, run.pk])

    @extend_schema_field(ChoiceRunError(allow_null=True))
    def get_error(self, run: ChoiceRun) -> dict[str, Any] | None:
        """Return code and sentence."""
        is_told = run.state == RunState.FAILED and may(self.context["user"], "pitches.run_round", run.round)
        return dict(ChoiceRunError(run).data) if is_told else None


def run_told(user: User, run: ChoiceRun) -> dict[str, Any]:
    """Return a run as one member may see it."""
    return dict(ChoiceRunSerializer(run, context={"user": user}).data)


class RoundChoiceRun(APIView):
    """A choice that was asked for."""

    read_scope = Scope.COMMITTEE_READ

    @extend_schema(responses=ChoiceRunSerializer)
    def get(self, request: Request, pk: int, run: int) -> Response:
        """Answer with how far it is; once it is `done`, `rounds/{id}/choice/` has the choice."""
        round_ = desk_round(request, pk, "pitches.sit_round")
        found = runs_of(round_).filter(pk=run).first()
        if found is None:
            raise Http404
        return Response(run_told(actor_of(request), found))
