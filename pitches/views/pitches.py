"""Pitches: the list, a new one, one of them, its revisions; withdraw and carry over."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from pitches import services
from pitches.forms.answers import WhyForm
from pitches.forms.copying import BeginForm, typed_last
from pitches.models import Decision, Pitch, PitchRevision
from pitches.selectors.earlier import earlier_shown
from pitches.selectors.folder import thread_shown
from pitches.selectors.lists import next_step, with_ask
from pitches.selectors.offers import offer_of
from pitches.selectors.pitches import (
    history_shown,
    pitches_of_teams,
    pitches_visible_to,
    revision_whole,
    revisions_of,
)
from pitches.selectors.results import result_of_pitch
from pitches.selectors.revisions import accountable_of, answers_of, changes_between, checklist_of, quote_kept
from pitches.selectors.rounds import open_rounds
from pitches.selectors.similar import LONGEST_SEARCH, pitches_found, titles_shown
from pitches.transitions import (
    CONTINUABLE_PITCH,
    DECISIONS_PUBLIC,
    EDITABLE_PITCH,
    WITHDRAWABLE_PITCH,
    PitchState,
    RoundState,
)
from teams.access import UserRequest, find_or_404, members_only
from teams.acting import done, submitted
from teams.errors import Refused
from teams.forms import form_status
from teams.selectors import Person, is_lead, is_member, leads_of, teams_of
from teams.typed import whole_in


def pitch_or_404(request: UserRequest, pk: int, permission: str = "pitches.view_pitch") -> Pitch:
    """Return a pitch that the reader may see; raises Http404 for everybody else's."""
    return find_or_404(pitches_visible_to(request.user), request.user, permission, pk=pk)


@members_only
def pitch_list(request: UserRequest) -> HttpResponse:
    """Show the pitches of the reader's teams; with `?all`, or without a team, everything that they may see.

    With `?q` it shows what holds those words, of everything that the reader may know.
    """
    if request.GET.get("q", "").strip():
        return _search(request, request.GET["q"].strip()[:LONGEST_SEARCH])
    has_team = teams_of(request.user).exists()
    everything = "all" in request.GET or not has_team
    pitches = with_ask((pitches_visible_to if everything else pitches_of_teams)(request.user))
    context = {
        "rows": [(pitch, next_step(pitch)) for pitch in pitches],
        "everything": everything,
        "sees_more": pitches_visible_to(request.user).exclude(team__in=teams_of(request.user)).exists(),
        "has_team": has_team,
        "open_rounds": open_rounds(),
    }
    return render(request, "pitches/pitches.html", context)


def _search(request: UserRequest, text: str) -> HttpResponse:
    context = {"q": text, "matches": pitches_found(request.user, text)}
    return render(request, "pitches/search.html", context)


@members_only
def pitch_new(request: UserRequest) -> HttpResponseBase:
    """Begin a draft, empty or from an earlier pitch."""
    initial = {name: request.GET.get(name, "") for name in ("round", "source", "how") if request.GET.get(name)}
    form = BeginForm(request.POST or None, user=request.user, initial={"how": "copy", **initial})

    def work(said: dict[str, Any]) -> HttpResponseBase:
        return redirect("pitches:edit", _begin(request, said).pk)

    return submitted(request, form, work) or render(
        request, "pitches/new.html", {"form": form}, status=form_status(form)
    )


def _begin(request: UserRequest, said: dict[str, Any]) -> Pitch:
    source: Pitch | None = said.get("source")
    where = {"round_": said["round"], "team": said["team"], "title": said["title"]}
    if source is None:
        return services.pitch_create(actor=request.user, **where)
    return services.pitch_copy(
        actor=request.user,
        source=source,
        typed=typed_last(source),
        is_continuation=said.get("how") == "continue",
        **where,
    )


@members_only
def pitch_page(request: UserRequest, pk: int) -> HttpResponse:
    """Show one pitch: how it stands, what it says, what happened."""
    return _page(request, pitch_or_404(request, pk), WhyForm())


def _page(request: UserRequest, pitch: Pitch, form: WhyForm) -> HttpResponse:
    leads = is_lead(request.user, pitch.team)
    inside = is_member(request.user, pitch.team)
    revision = revision_whole(pitch)
    context = {
        "pitch": pitch,
        "next": next_step(pitch),
        "offer": offer_of(pitch),
        "decision": _published(pitch),
        "result": result_of_pitch(pitch) if pitch.round.state in DECISIONS_PUBLIC else None,
        "revisions": revisions_of(pitch),
        "history": history_shown(pitch),
        "can_edit": pitch.state in EDITABLE_PITCH and request.user.has_perm("pitches.write_pitch", pitch),
        "can_withdraw": leads and pitch.state in WITHDRAWABLE_PITCH,
        "can_answer": leads,
        "leads": [] if leads else list(leads_of(pitch.team)),
        "onward": list(open_rounds().exclude(pk=pitch.round_id)) if inside and is_too_late(pitch) else [],
        "form": form,
        "can_begin": inside and pitch.current_id is not None and open_rounds().exists(),
        "earlier": earlier_shown(request.user, pitch),
        **_thread(request, pitch),
        **(revision_context(request.user, revision) if revision else {}),
    }
    return render(request, "pitches/pitch.html", context, status=form_status(form))


def _thread(request: UserRequest, pitch: Pitch) -> dict[str, Any]:
    thread = thread_shown(request.user, pitch) if pitch.current_id is not None else None
    answers = request.user.has_perm("pitches.answer_question", pitch) and pitch.round.state not in DECISIONS_PUBLIC
    open_count = sum(1 for question in thread or [] if question.is_open)
    return {"thread": thread, "may_answer": answers, "open_count": open_count}


def _published(pitch: Pitch) -> Decision | None:
    decision: Decision | None = getattr(pitch, "decision", None)
    return decision if decision is not None and decision.published_at is not None else None


def revision_context(user: Person, revision: PitchRevision) -> dict[str, Any]:
    """Return what the part of a page that shows a revision needs."""
    quote = quote_kept(revision)
    return {
        "revision": revision,
        "quote": quote,
        "worth": quote.worth_per_dollar(revision.value_p50),
        "worths": quote.worth_by_tier([revision.value_p10, revision.value_p50, revision.value_p90]),
        "checklist": checklist_of(revision),
        "accountable": accountable_of(revision),
        "answers": [fact for _, fact in answers_of(revision)],
        "titled": titles_shown(user, [link.other_id for link in revision.links.all()]),
    }


def is_too_late(pitch: Pitch) -> bool:
    """Say whether a pitch that can go on in another round has missed its own, or was deferred by it."""
    if pitch.state == PitchState.DEFERRED:
        return True
    takes = {RoundState.OPEN} if pitch.current_id is None else {RoundState.OPEN, RoundState.REVIEWING}
    return pitch.state in CONTINUABLE_PITCH and pitch.round.state not in takes


@members_only
def pitch_revision(request: UserRequest, pk: int, number: int) -> HttpResponse:
    """Show one revision, and what it says differently from the one before it or from `?against`."""
    pitch = pitch_or_404(request, pk)
    revision = revision_whole(pitch, number)
    if revision is None:
        raise Http404
    others = [other for other in revisions_of(pitch) if other.number != number]
    before = revision_whole(pitch, _against(request, number))
    context = {
        "pitch": pitch,
        "others": others,
        "before": before,
        "changes": changes_between(before, revision) if before else [],
        **revision_context(request.user, revision),
    }
    return render(request, "pitches/revision.html", context)


def _against(request: UserRequest, number: int) -> int:
    return whole_in(request.GET.get("against", ""), number - 1, digits=4)


@members_only
@require_POST
def pitch_withdraw(request: UserRequest, pk: int) -> HttpResponseBase:
    """Take a pitch out of its round."""
    pitch = pitch_or_404(request, pk)
    form = WhyForm(request.POST)

    def work(said: dict[str, Any]) -> HttpResponseBase:
        services.pitch_withdraw(actor=request.user, pitch=pitch, reason=said["reason"])
        return done(request, f"{pitch} was withdrawn.", "pitches:pitch", pk=pitch.pk)

    return submitted(request, form, work) or _page(request, pitch, form)


@members_only
@require_POST
def pitch_carry_over(request: UserRequest, pk: int) -> HttpResponse:
    """Take a draft that missed its round to an open one."""
    pitch = pitch_or_404(request, pk, "pitches.change_pitch")
    target = get_object_or_404(open_rounds(), pk=whole_in(request.POST.get("round", ""), 0))
    try:
        onward = services.pitch_carry_over(actor=request.user, pitch=pitch, round_=target)
    except Refused as error:
        messages.error(request, error.message)
        return redirect("pitches:pitch", pitch.pk)
    messages.success(request, f"{onward} is in {target} now.")
    return redirect("pitches:edit", onward.pk)
