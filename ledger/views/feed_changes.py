"""Adding a feed to a provider, changing where it is read from, and switching it on and off."""

from typing import Any

from django.http import Http404
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse

from ledger.forms import ConfirmForm
from ledger.forms.feeds import FeedChangeForm, FeedForm
from ledger.models import Feed
from ledger.services.feeds import feed_add, feed_change, feed_switch
from ledger.views.act import act
from teams.access import UserRequest, allowed_only, find_or_404
from teams.acting import done, submitted
from teams.forms import form_status


@allowed_only("ledger.change_feed")
def feed_new(request: UserRequest) -> HttpResponseBase:
    """Add a feed."""
    form = FeedForm(request.POST if request.method == "POST" else None)

    def work(data: dict[str, Any]) -> HttpResponseBase:
        feed = feed_add(actor=request.user, **data)
        return done(request, f"{feed} is added. It is read within the hour, or now.", "ledger:feed", pk=feed.pk)

    context = {
        "form": form,
        "title": "Add a feed",
        "button": "Add it",
        "words": "The schedule reads it every hour; lines come once it has covered a day.",
        "back": reverse("ledger:feeds"),
    }
    return submitted(request, form, work) or render(request, "ledger/act.html", context, status=form_status(form))


@allowed_only("ledger.change_feed")
def feed_edit(request: UserRequest, pk: int) -> HttpResponseBase:
    """Change where a feed is read from, and with which credential."""
    found = _feed(request, pk)

    def work(data: dict[str, Any]) -> str:
        return f"{feed_change(actor=request.user, feed=found, **data)} is changed."

    return act(
        request,
        FeedChangeForm(request.POST if request.method == "POST" else None, initial=FeedChangeForm.of(found)),
        title=f"Change {found}",
        button="Change it",
        words="What it has brought stays; the next fetch is as you say here.",
        back=reverse("ledger:feed", args=[pk]),
        work=work,
    )


SWITCHES = {
    "on": (True, "Switch on", "It is read every hour from then on, and what it has brought counts again."),
    "off": (False, "Switch off", "It is not read any more, and what it has brought stays but does not count."),
}


@allowed_only("ledger.change_feed")
def feed_turn(request: UserRequest, pk: int, way: str) -> HttpResponseBase:
    """Switch a feed on or off."""
    if way not in SWITCHES:
        raise Http404
    found = _feed(request, pk)
    is_enabled, title, words = SWITCHES[way]

    def work(_: dict[str, Any]) -> str:
        return f"{feed_switch(actor=request.user, feed=found, is_enabled=is_enabled)} is switched {way}."

    return act(
        request,
        ConfirmForm(request.POST if request.method == "POST" else None),
        title=f"{title} {found}?",
        button=title,
        words=words,
        back=reverse("ledger:feed", args=[pk]),
        work=work,
    )


def _feed(request: UserRequest, pk: int) -> Feed:
    return find_or_404(Feed.objects.select_related("provider"), request.user, "ledger.change_feed", pk=pk)
