"""What a round funded and why, as everybody who sees the round may read it; as CSV and JSON too."""

from typing import Any

from django.http import Http404, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from ledger.exports import csv_response
from pitches.selectors.pitches import pitches_visible_to
from pitches.selectors.results import HEADER, Published, as_json, cells, results_published
from pitches.selectors.rounds import rounds_visible_to
from teams.access import UserRequest, find_or_404, members_only


def _published(request: UserRequest, pk: int) -> Published:
    round_ = find_or_404(rounds_visible_to(request.user), request.user, "pitches.view_round", pk=pk)
    published = results_published(round_)
    if published is None:
        raise Http404
    return published


@require_safe
@members_only
def results(request: UserRequest, pk: int) -> HttpResponse:
    """Show every result of a round with its figures put into the formula."""
    published = _published(request, pk)
    shown = pitches_visible_to(request.user).filter(round=pk)
    context: dict[str, Any] = {
        "round": published.selection.round,
        "published": published,
        "visible": frozenset(shown.values_list("pk", flat=True)),
    }
    return render(request, "pitches/results.html", context)


@require_safe
@members_only
def results_csv(request: UserRequest, pk: int) -> HttpResponseBase:
    """Send the results as a CSV file."""
    return csv_response(f"round-{pk}-results.csv", HEADER, cells(_published(request, pk)))


@require_safe
@members_only
def results_json(request: UserRequest, pk: int) -> HttpResponseBase:
    """Send the results as JSON, with the hashes of what they were computed from."""
    answer = JsonResponse(as_json(_published(request, pk)))
    answer["Content-Disposition"] = f'attachment; filename="round-{pk}-results.json"'
    return answer
