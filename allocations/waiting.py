"""What of allocations waits for a decision of finance."""

from collections.abc import Iterator

from django.urls import reverse

from allocations.selectors.pages import unsettled_count, unsettled_total
from ledger.money import show
from ledger.waiting import Waiting, many


def of_allocations() -> Iterator[Waiting]:
    """Go through what calls still hold whose process went away."""
    lines = unsettled_count()
    if lines:
        yield Waiting(
            f"{show(unsettled_total())} unsettled on {many(lines, 'line')}",
            "Held by calls whose process went away",
            reverse("allocations:unsettled"),
            "ledger.view_ledger",
        )
