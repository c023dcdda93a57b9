"""The receipts of a round's ballots: which envelopes were counted, and whether one's own is among them."""

from django.http import Http404, HttpResponse
from django.shortcuts import render

from pitches.models import Round
from pitches.selectors.receipts import own_receipts, receipt_found, receipts_listed
from pitches.selectors.rounds import rounds_visible_to
from pitches.transitions import BALLOTS_REVEALED, DECISIONS_PUBLIC
from teams.access import UserRequest, find_or_404, members_only

LONGEST = 100


@members_only
def receipts(request: UserRequest, pk: int) -> HttpResponse:
    """Show the list, and whether the receipt in `?receipt` is in it; not there before the ballots are open."""
    round_: Round = find_or_404(rounds_visible_to(request.user), request.user, "pitches.view_round", pk=pk)
    listed = receipts_listed(request.user, round_)
    if round_.state not in BALLOTS_REVEALED or (not listed and round_.state not in DECISIONS_PUBLIC):
        raise Http404
    asked = request.GET.get("receipt", "")[:LONGEST].strip()
    context = {
        "round": round_,
        "listed": listed,
        "count": sum(len(one.receipts) for one in listed),
        "asked": asked,
        "found": receipt_found(listed, asked) if asked else None,
        "own": {receipt.sha256 for receipt in own_receipts(request.user, round_).values()},
    }
    return render(request, "pitches/receipts.html", context)
