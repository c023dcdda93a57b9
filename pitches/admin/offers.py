"""Offers from the committee's side: who waits for whom, answer a counter-offer, the order of the waitlist."""

from django.http import Http404
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_POST

from pitches import services
from pitches.access import may
from pitches.admin.pages import page, pitch_or_404, round_or_404
from pitches.forms.offers import CounterAnswerForm
from pitches.models import Counter, Offer
from pitches.selectors.offers import (
    counter_waiting,
    latest_date,
    lines_of,
    offers_table,
    offers_whole,
    room_of,
    thread_of,
    waitlist_table,
)
from pitches.transitions import DECISIONS_PUBLIC, OfferState
from pitches.views.offers import tier_rows, together
from teams.access import UserRequest
from teams.acting import done, pressed, submitted
from teams.forms import form_status

OFFERS = "admin:pitches_round_offers"


def offers(request: UserRequest, pk: int) -> HttpResponseBase:
    """Show the offers of a round, counter-offers that wait first, and its waitlist."""
    round_ = round_or_404(request, pk)
    is_public = round_.state in DECISIONS_PUBLIC
    room = room_of(round_)
    rows = offers_table(request.user, round_)
    context = {
        "round": round_,
        "tab": "offers",
        "rows": rows,
        "to_answer": sum(1 for row in rows if row.waits_for == "committee"),
        "with_teams": sum(1 for row in rows if row.waits_for == "team"),
        "hidden": sum(1 for row in rows if row.hidden),
        "room": room,
        "waitlist": waitlist_table(request.user, round_, room) if is_public else [],
        "is_public": is_public,
        "sits": may(request.user, "pitches.sit_round", round_),
    }
    return page(request, "offers.html", f"{round_}: offers", context)


def offer(request: UserRequest, pk: int) -> HttpResponseBase:
    """Show the exchange about one pitch; answer the counter-offer that waits."""
    pitch = pitch_or_404(request, pk)
    newest = offers_whole(Offer.objects.filter(pitch=pitch)).order_by("-pk").first()
    # An exchange is closed to members with a conflict about its pitch, as reviews are.
    if newest is None or not may(request.user, "pitches.view_review", pitch):
        raise Http404
    counter = counter_waiting(newest)
    form = _form(request, newest, counter) if counter is not None else None
    if counter is not None and form is not None:
        answer = submitted(
            request, form, lambda _: done(request, _answer(request, counter, form), OFFERS, pk=pitch.round_id)
        )
        if answer is not None:
            return answer
    rows = tier_rows(newest, lines_of(counter.lines.all()) if counter is not None else None)
    context = {
        "round": pitch.round,
        "tab": "offers",
        "pitch": pitch,
        "offer": newest,
        "counter": counter,
        "is_open": newest.state == OfferState.OPEN,
        "rows": rows,
        "sums": together(rows),
        "room": room_of(pitch.round, without=newest if newest.state == OfferState.OPEN else None),
        "thread": thread_of(pitch),
        "form": form,
        "may_decide": may(request.user, "pitches.decide_pitch", pitch),
    }
    title = f"{newest.revision.title}: offer"
    return page(request, "offer.html", title, context, form_status(form) if form is not None else 200)


def _form(request: UserRequest, newest: Offer, counter: Counter) -> CounterAnswerForm:
    return CounterAnswerForm(
        request.POST or None,
        countered=lines_of(counter.lines.all()),
        zone=newest.pitch.round.time_zone,
        latest=latest_date(newest),
    )


def _answer(request: UserRequest, counter: Counter, form: CounterAnswerForm) -> str:
    actor, said = request.user, form.cleaned_data
    if said["answer"] == form.ACCEPT:
        services.counter_accept(actor=actor, counter=counter, reason=said["reason"], until=said["until"])
        return "Accepted: the team has a new offer with its amounts."
    if said["answer"] == form.REFUSE:
        services.counter_refuse(actor=actor, counter=counter, reason=said["reason"], until=said["until"])
        return "Refused: the offer stays open as it is."
    services.counter_answer(
        actor=actor, counter=counter, lines=form.lines(), message=said["reason"], until=said["until"]
    )
    return "Answered: the team has a new offer with your amounts."


@require_POST
def waitlist_raise(request: UserRequest, pk: int) -> HttpResponseBase:
    """Move a pitch one place up on the waitlist."""
    pitch = pitch_or_404(request, pk)

    def work() -> str:
        services.waitlist_raise(actor=request.user, pitch=pitch)
        return f"{pitch.submitted.title} moved up."

    return pressed(request, work, "admin:pitches_round_decide", pk=pitch.round_id)
