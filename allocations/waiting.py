"""What of allocations waits for a decision of finance."""

from collections.abc import Iterator

from django.urls import reverse

from allocations.selectors.unsettled import unsettled_count, unsettled_total
from allocations.selectors.year_end import years_over
from ledger.money import show
from ledger.waiting import Waiting, many


def of_allocations() -> Iterator[Waiting]:
    """Go through what calls still hold whose process went away, and what years that are over still have."""
    yield from _holds()
    yield from _years()


def _holds() -> Iterator[Waiting]:
    lines = unsettled_count()
    if lines:
        yield Waiting(
            f"{show(unsettled_total())} unsettled on {many(lines, 'line')}",
            "Held by calls whose process went away",
            reverse("allocations:unsettled"),
            "ledger.view_ledger",
        )


def _years() -> Iterator[Waiting]:
    for one in years_over():
        if one.allocations:
            left = " and ".join(show(amount, currency) for currency, amount in one.left.items())
            yield Waiting(
                f"Return {left} of {one.year}",
                f"The year is over; {many(one.allocations, 'allocation')} did not spend it",
                reverse("allocations:year_end", args=[one.year]),
                "ledger.view_ledger",
            )
