"""Make a round, form its committee, move it through its calendar."""

from typing import Any

from django.contrib import messages
from django.http import Http404
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from ledger.selectors import available_in_reserve
from pitches import services
from pitches.admin.pages import page, round_or_404
from pitches.forms.committee import JudgeForm, ReasonForm, RescheduleForm, RoundForm, SeatForm, UnscreenedForm
from pitches.models import Aspect, CommitteeSeat, Pitch, Recusal, Round
from pitches.selectors.conflicts import conflicted_ids, declared_at, judged_by, recusals_of
from pitches.selectors.desk import Desk, desk_of
from pitches.selectors.folder import open_questions
from pitches.selectors.progress import reviews_progress
from pitches.selectors.rounds import committee_of, round_money, seat_of
from pitches.selectors.screening import unscreened
from pitches.selectors.seals import sealed_ids
from pitches.transitions import COMMITTEE_AT_WORK, PitchState, RoundState
from teams.access import UserRequest, visible_or_404
from teams.acting import done, pressed, submitted
from teams.errors import Refused
from teams.forms import form_refuse, form_status

DESK = "admin:pitches_round_desk"
COMMITTEE = "admin:pitches_round_committee"
NEW_ROUND = {
    "reserve_percent": "10",
    "hurdle": "1",
    "quorum": "3",
    "months": "6",
    "reviews_per_pitch": "3",
    "time_zone": "UTC",
}


def round_new(request: UserRequest) -> HttpResponseBase:
    """Prepare a round."""
    visible_or_404(request.user, "pitches.add_round", None)
    form = RoundForm(request.POST or None, initial=NEW_ROUND)

    def work(said: dict[str, Any]) -> HttpResponseBase:
        round_ = services.round_create(actor=request.user, **form.values())
        return done(request, f"{round_} is prepared. Name its committee, then open it.", COMMITTEE, pk=round_.pk)

    answer = submitted(request, form, work)
    return answer or page(request, "round_new.html", "New round", {"form": form}, form_status(form))


def desk(request: UserRequest, pk: int) -> HttpResponseBase:
    """Show a round's pitches, what waits for the reader, and the next step."""
    return _desk(request, round_or_404(request, pk), ReasonForm())


def _desk(request: UserRequest, round_: Round, form: ReasonForm, wrong: str = "") -> HttpResponseBase:
    seat = seat_of(request.user, round_)
    desk = desk_of(request.user, round_)
    # Of a pitch that the reader is recused from, not even the number of questions is read.
    open_ones = open_questions(row.pitch.pk for row in desk.rows if not row.recused and seat is not None)
    context = {
        "round": round_,
        "tab": "desk",
        "desk": desk,
        "open_questions": open_ones,
        "open_count": sum(open_ones.values()),
        "money": round_money(round_),
        "reserve": available_in_reserve().amount if round_.state == "draft" else None,
        "seat": seat,
        "runs": seat is not None and seat.is_chair,
        "organises": request.user.has_perm("pitches.change_round"),
        "audits": request.user.has_perm("pitches.audit_lane"),
        "form": form,
        "wrong": wrong,
        "progress": reviews_progress(request.user, round_) if seat and round_.state == RoundState.REVIEWING else None,
        "vote_form": form if wrong == "vote" else UnscreenedForm(),
        "unscreened": _unscreened(desk) if round_.state == RoundState.REVIEWING else [],
    }
    return page(request, "desk.html", round_.name, context, form_status(form))


def _unscreened(desk: Desk) -> list[tuple[Pitch, list[Aspect]]]:
    """Return what was not screened by both, with what it lacks; nothing of what the reader is recused from."""
    in_review = [row.pitch for row in desk.rows if row.pitch.state == PitchState.IN_REVIEW and not row.recused]
    return unscreened(in_review)


def _open(request: UserRequest, round_: Round, reason: str) -> str:
    services.round_open(actor=request.user, round_=round_, reason=reason)
    return "The round is open and its money is in the pool."


def _close_lane(request: UserRequest, round_: Round, reason: str) -> str:
    services.lane_close(actor=request.user, round_=round_, reason=reason)
    return "The fast lane is closed: it takes no more pitches, and its seed is shown."


def _stop_recurring(request: UserRequest, round_: Round, reason: str) -> str:
    services.round_recur(actor=request.user, round_=round_, months=None, reason=reason)
    return "It does not come again by itself."


def _review(request: UserRequest, round_: Round, reason: str) -> str:
    services.review_start(actor=request.user, round_=round_)
    return "Closed for pitches; the reviews begin."


def _vote(request: UserRequest, round_: Round, reason: str) -> str:
    services.voting_open(actor=request.user, round_=round_, reason=reason)
    return "The vote is open; ballots stay sealed until you close it."


def _close(request: UserRequest, round_: Round, reason: str) -> str:
    services.voting_close(actor=request.user, round_=round_)
    return "The vote is closed and every ballot is open."


def _publish(request: UserRequest, round_: Round, reason: str) -> str:
    services.round_publish(actor=request.user, round_=round_)
    return "Published: every team has its answer."


def _settle(request: UserRequest, round_: Round, reason: str) -> str:
    services.round_settle(actor=request.user, round_=round_)
    return "Settled: what was left is back in the reserve."


def _cancel(request: UserRequest, round_: Round, reason: str) -> str:
    services.round_cancel(actor=request.user, round_=round_, reason=reason)
    return "Cancelled: the money is back in the reserve, the pitches with their teams."


STEPS = {
    "open": _open,
    "close-lane": _close_lane,
    "stop-recurring": _stop_recurring,
    "review": _review,
    "vote": _vote,
    "close": _close,
    "publish": _publish,
    "settle": _settle,
    "cancel": _cancel,
}


@require_POST
def step(request: UserRequest, pk: int, name: str) -> HttpResponseBase:
    """Take the next step of a round."""
    round_ = round_or_404(request, pk)
    if name not in STEPS:
        raise Http404
    try:
        messages.success(request, STEPS[name](request, round_, request.POST.get("reason", "")))
    except Refused as error:
        if error.field != "reason":
            messages.error(request, error.message)
            return redirect("admin:pitches_round_decide" if name == "publish" else DESK, round_.pk)
        form = (UnscreenedForm if name == "vote" else ReasonForm)(request.POST)
        form.is_valid()
        form.errors.pop("reason", None)
        form_refuse(form, error)
        return _desk(request, round_, form, wrong=name)
    return redirect(DESK, round_.pk)


def schedule(request: UserRequest, pk: int) -> HttpResponseBase:
    """Set other deadlines."""
    round_ = round_or_404(request, pk)
    visible_or_404(request.user, "pitches.change_round", round_)
    form = RescheduleForm(request.POST or None, round_=round_)

    def work(said: dict[str, Any]) -> HttpResponseBase:
        calendar = form.calendar(round_.time_zone)
        services.round_reschedule(actor=request.user, round_=round_, calendar=calendar, reason=said["reason"])
        return done(request, "The deadlines are changed.", DESK, pk=round_.pk)

    context = {"round": round_, "form": form, "tab": ""}
    answer = submitted(request, form, work)
    return answer or page(request, "schedule.html", f"{round_}: calendar", context, form_status(form))


def committee(request: UserRequest, pk: int) -> HttpResponseBase:
    """Show who sits in the committee and who has which conflict; give a seat."""
    round_ = round_or_404(request, pk)
    form = SeatForm(request.POST or None)

    def work(said: dict[str, Any]) -> HttpResponseBase:
        services.seat_set(actor=request.user, round_=round_, user=said["user"], is_chair=said["is_chair"])
        return done(request, f"{said['user']} has a seat.", COMMITTEE, pk=round_.pk)

    answer = submitted(request, form, work)
    if answer is not None:
        return answer
    context = {**_committee_context(request, round_), "form": form}
    return page(request, "committee.html", f"{round_}: committee", context, form_status(form))


def _committee_context(request: UserRequest, round_: Round) -> dict[str, Any]:
    hidden = conflicted_ids(request.user, round_) | sealed_ids(request.user, round_)
    judged = judged_by(request.user, round_)
    found = recusals_of(round_, hidden=hidden)
    return {
        "round": round_,
        "tab": "committee",
        "seats": committee_of(round_),
        "sits": seat_of(request.user, round_) is not None,
        # A conflict about a pitch that the reader is recused from is the others' business; their own they may see.
        "recusals": [
            (recusal, recusal.pitch_id in judged and recusal.member_id != request.user.pk) for recusal in found
        ],
        "own": [recusal for recusal in recusals_of(round_) if recusal.member_id == request.user.pk],
        "organises": request.user.has_perm("pitches.change_round"),
        "declared": declared_at(round_),
        "takes_declarations": round_.state in COMMITTEE_AT_WORK,
        "judge_form": JudgeForm(),
        "is_fixed": round_.state not in {"draft", "open", "reviewing"},
    }


@require_POST
def seat_remove(request: UserRequest, pk: int, seat: int) -> HttpResponseBase:
    """Take a seat away."""
    round_ = round_or_404(request, pk)
    found = get_object_or_404(CommitteeSeat.objects.select_related("user", "round"), round=round_, pk=seat)
    reason = request.POST.get("reason", "")

    def work() -> str:
        services.seat_remove(actor=request.user, seat=found, reason=reason)
        return f"{found.user} has no seat any more."

    return pressed(request, work, COMMITTEE, pk=round_.pk)


@require_POST
def recusal_judge(request: UserRequest, pk: int, recusal: int) -> HttpResponseBase:
    """Waive a declared conflict with a plan, or dismiss it."""
    round_ = round_or_404(request, pk)
    hidden = conflicted_ids(request.user, round_)
    rows = Recusal.objects.select_related("pitch", "member").exclude(pitch__in=hidden)
    found = get_object_or_404(rows, pitch__round=round_, pk=recusal)
    judge = services.recusal_waive if request.POST.get("judgement") == "waive" else services.recusal_dismiss
    plan = request.POST.get("plan", "")

    def work() -> str:
        judge(actor=request.user, recusal=found, plan=plan)
        return f"{found.member} may take part again."

    return pressed(request, work, COMMITTEE, pk=round_.pk)
