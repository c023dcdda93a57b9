"""What the committee's pages share: who may open them and how they are drawn."""

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from pitches.access import may
from pitches.models import Pitch, Round
from teams.access import UserRequest

TABS = (
    ("desk", "Pitches", "admin:pitches_round_desk"),
    ("assignments", "Assignments", "admin:pitches_round_assignments"),
    ("ballot", "Vote", "admin:pitches_round_ballot"),
    ("board", "Board", "admin:pitches_round_board"),
    ("decide", "Decide", "admin:pitches_round_decide"),
    ("offers", "Offers", "admin:pitches_round_offers"),
    ("minutes", "Minutes", "admin:pitches_round_minutes"),
    ("committee", "Committee and conflicts", "admin:pitches_round_committee"),
    ("questions", "What is asked", "admin:pitches_round_questions"),
    ("declare", "Declare", "admin:pitches_round_declare"),
)

FAST_LANE_TABS = tuple(tab for tab in TABS if tab[0] in {"desk", "committee"})
"""A fast lane has no assignments, no vote, and no decisions to publish together."""


def round_or_404(request: UserRequest, pk: int, permission: str = "pitches.desk_round") -> Round:
    """Return a round that the reader works on; raises Http404 for others."""
    round_ = get_object_or_404(Round.objects.select_related("pool"), pk=pk)
    if not may(request.user, permission, round_):
        raise Http404
    return round_


def pitch_or_404(request: UserRequest, pk: int) -> Pitch:
    """Return a submitted pitch of a round in whose committee the reader sits; raises Http404 for others.

    A pitch that the reader must stay away from is not there: their own team's page is another one.
    """
    pitches = Pitch.objects.select_related("team__business_unit", "round__pool", "owner", "current")
    pitch = get_object_or_404(pitches, pk=pk)
    # Asked of the rule itself: running the platform breaks no seal.
    if pitch.current_id is None or not may(request.user, "pitches.read_pitch", pitch):
        raise Http404
    return pitch


def page(request: UserRequest, template: str, title: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    """Draw a page inside the admin."""
    shell = admin.site.each_context(request)
    round_ = context.get("round")
    tabs = FAST_LANE_TABS if isinstance(round_, Round) and round_.is_fast_lane else TABS
    everything = {**shell, "title": title, "tabs": tabs, **context}
    return TemplateResponse(request, f"admin/pitches/{template}", everything, status=status)
