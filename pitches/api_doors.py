"""What the endpoints of the committee, the choice and the form share: the doors of the pages, and input that is read.

A door is the page's own function, asked with the caller of the endpoint: who gets a 404 there gets it here.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request

from pitches.admin.pages import pitch_or_404, round_or_404
from pitches.api import RoundSerializer
from pitches.models import Pitch, Round
from pitches.selectors.rounds import rounds_visible_to
from pitches.views.pitches import pitch_or_404 as page_pitch_or_404
from teams.access import UserRequest, find_or_404
from teams.api import Pages
from teams.models import Scope, User


class ReasonBody(serializers.Serializer[Any]):
    """Why something is done; it stays in the history."""

    reason = serializers.CharField(max_length=2000)


class StateAnswer(serializers.Serializer[Any]):
    """A pitch and where it stands now."""

    id = serializers.IntegerField()
    state = serializers.CharField()


class CommitteeList(ListAPIView[Any]):
    """A list for the committee, in pages of a bounded size."""

    read_scope = Scope.COMMITTEE_READ
    pagination_class = Pages


class Paged(serializers.Serializer[Any]):
    """Where a page stands in its list: how many rows there are in all, and the addresses beside it."""

    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)


PAGE = [
    OpenApiParameter("limit", int, description=f"Rows of a page; {Pages.max_limit} at the most."),
    OpenApiParameter("offset", int, description="How many rows to leave out in front."),
]
"""What is asked of a list that stands in an answer with other things beside it."""


def page_told(request: Request, rows: Sequence[Any], tell: Callable[[Any], Any]) -> dict[str, Any]:
    """Return one page of rows in their order, each as `tell` says it, with its place in the list."""
    pages = Pages()
    shown = pages.paginate_queryset(rows, request) or []
    beside = {"next": pages.get_next_link(), "previous": pages.get_previous_link()}
    return {"count": len(rows), **beside, "results": [tell(row) for row in shown]}


def actor_of(request: Request) -> User:
    """Return who calls."""
    return cast(User, request.user)


def said_in(form: serializers.Serializer[Any]) -> dict[str, Any]:
    """Return what was sent; raises ValidationError for what cannot be read."""
    form.is_valid(raise_exception=True)
    return cast(dict[str, Any], form.validated_data)


def desk_round(request: Request, pk: int, permission: str = "pitches.desk_round") -> Round:
    """Return a round that the caller works on, as the committee's pages find it; raises Http404 for others."""
    return round_or_404(cast(UserRequest, request), pk, permission)


def desk_pitch(request: Request, pk: int) -> Pitch:
    """Return a submitted pitch that the caller judges, as the committee's pages find it; raises Http404 for others."""
    return pitch_or_404(cast(UserRequest, request), pk)


def team_pitch(request: Request, pk: int, permission: str) -> Pitch:
    """Return a pitch as the pages of teams find it; raises Http404 for others."""
    return page_pitch_or_404(cast(UserRequest, request), pk, permission)


def shown_round(request: Request, pk: int) -> Round:
    """Return a round that the caller may see; raises Http404 for others."""
    return find_or_404(rounds_visible_to(request.user), request.user, "pitches.view_round", pk=pk)


def round_told(pk: int) -> dict[str, Any]:
    """Return a round as it stands now, for the answer to what changed it."""
    return dict(RoundSerializer(Round.objects.select_related("pool").get(pk=pk)).data)


def state_told(pitch: Pitch) -> dict[str, Any]:
    """Return a pitch's state, for the answer to what changed it."""
    return {"id": pitch.pk, "state": pitch.state}
