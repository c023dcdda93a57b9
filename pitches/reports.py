"""The award register: every offer that was made, what became of it, and the entry that moved the money."""

from collections.abc import Iterator, Sequence
from datetime import UTC
from decimal import Decimal
from typing import Any, ClassVar

from django.db.models import CharField, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Cast, Coalesce, Concat, TruncDate
from django.urls import reverse

from ledger.models import AccountClass, EntryKind, JournalEntry, Posting
from ledger.money import CURRENCY
from ledger.reports.base import Choice, Column, Filter, Kind, Report, Row, Tie
from ledger.reports.links import entry_url
from pitches.models import Offer
from pitches.transitions import OfferState
from teams.models import User

ZERO = Decimal(0)
# An accepted offer is awarded with this source and key, so register and journal find each other.
SOURCE, KEY = "award", "offer:"


class AwardRegister(Report):
    """Round, pitch, team, what was asked, offered and accepted, who decided, and the journal entry."""

    slug = "award-register"
    title = "Award register"
    purpose = "Which pitches were offered how much, who decided so, and which entry moved the money?"
    group = "Budget"
    filters: ClassVar = frozenset({Filter.PERIOD, Filter.UNIT, Filter.TEAM})

    def columns(self, choice: Choice) -> Sequence[Column]:
        """Return the columns."""
        return [
            Column("on", "Date", Kind.DATE, unit="UTC"),
            Column("round", "Round", drill="round"),
            Column("pitch", "Pitch", drill="pitch"),
            Column("title", "Title"),
            Column("team", "Team"),
            Column("state", "Offer"),
            Column("asked", "Asked", Kind.MONEY, unit=CURRENCY),
            Column("offered", "Offered", Kind.MONEY, unit=CURRENCY),
            Column("accepted", "Accepted", Kind.MONEY, unit=CURRENCY),
            Column("entry", "Entry", drill="entry"),
            Column("allocation", "Allocation", drill="allocation"),
            Column("decided_by", "Decided by"),
            Column("answered_by", "Answered by"),
        ]

    def rows(self, choice: Choice, viewer: User) -> Iterator[Row]:
        """Go through the offers of the days, by date and number."""
        for offer in _offers(choice).order_by("on", "pk").iterator():
            yield _row(offer)

    def ties(self, choice: Choice) -> list[Tie]:
        """Return what was accepted beside what award entries put into Committed accounts on these days."""
        accepted = _offers(choice).filter(state=OfferState.ACCEPTED).values_list("offered", flat=True)
        total = sum(accepted, ZERO)
        return [Tie("Accepted", CURRENCY, total, _committed(choice), "the award entries on Committed accounts")]

    def notes(self, choice: Choice) -> list[str]:
        """Say which date a row stands under."""
        return ["A row stands under the day of its entry; without one, under the day of the answer or of the offer."]


def _offers(choice: Choice) -> QuerySet[Any]:
    """Return the offers of the days, each with its sums, its entry and `on`, the day that it stands under."""
    entry = JournalEntry.objects.filter(source=SOURCE, key=Concat(Value(KEY), Cast(OuterRef("pk"), CharField())))
    offers: QuerySet[Any] = Offer.objects.select_related(
        "pitch__round", "pitch__team", "revision", "decision__decided_by", "answered_by", "allocation"
    ).annotate(
        asked=Sum("lines__asked"),
        offered=Sum("lines__awarded"),
        entry=Subquery(entry.values("pk")[:1]),
        on=Coalesce(
            Subquery(entry.values("effective_on")[:1]),
            TruncDate("answered_at", tzinfo=UTC),
            TruncDate("created_at", tzinfo=UTC),
        ),
    )
    offers = offers.filter(on__gte=choice.starts_on, on__lte=choice.ends_on)
    if choice.unit is not None:
        offers = offers.filter(pitch__team__business_unit=choice.unit)
    return offers.filter(pitch__team=choice.team) if choice.team is not None else offers


def _committed(choice: Choice) -> Decimal:
    awards = Posting.objects.filter(
        entry__kind=EntryKind.AWARD,
        entry__effective_on__gte=choice.starts_on,
        entry__effective_on__lte=choice.ends_on,
        account__account_class=AccountClass.COMMITTED,
        currency=CURRENCY,
    )
    if choice.unit is not None:
        awards = awards.filter(account__team__business_unit=choice.unit)
    if choice.team is not None:
        awards = awards.filter(account__team=choice.team)
    total: Decimal = awards.aggregate(sum=Sum("amount", default=ZERO))["sum"]
    return total


def _row(offer: Any) -> Row:
    pitch, allocation = offer.pitch, offer.allocation
    is_accepted = offer.state == OfferState.ACCEPTED
    cells = (
        offer.on,
        pitch.round.name,
        pitch.number,
        offer.revision.title,
        pitch.team.name,
        offer.get_state_display(),
        offer.asked,
        offer.offered,
        offer.offered if is_accepted else None,
        f"J-{offer.entry}" if offer.entry else "",
        allocation.number if allocation else "",
        str(offer.decision.decided_by),
        str(offer.answered_by) if offer.answered_by else "",
    )
    links = {
        "round": reverse("pitches:round", args=[pitch.round_id]),
        "pitch": reverse("pitches:pitch", args=[pitch.pk]),
    }
    if allocation:
        links["allocation"] = reverse("allocations:allocation", args=[allocation.number])
    if offer.entry:
        links["entry"] = entry_url(offer.entry)
    return Row(cells, links)
