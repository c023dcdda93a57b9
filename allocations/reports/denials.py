"""The log of calls that a quota or a key refused."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import ClassVar

import plotly.graph_objects as go
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet, Sum
from django.db.models.functions import TruncDate
from django.urls import reverse

from allocations.models import Allocation, Denial, DenialReason, QuotaKey
from allocations.reports.lines import span_of
from allocations.selectors import allocation_by_number
from ledger.models import AiModel
from ledger.reports.base import Choice, Column, Filter, Kind, Report, Row
from teams.errors import Refused
from teams.models import User

HALF_A_DAY = timedelta(hours=12)


class AllocationField(forms.CharField):
    """The number of an allocation, read as the allocation itself."""

    def clean(self, value: object) -> Allocation | None:
        """Return the allocation, None for nothing; raises ValidationError for a number that was never given."""
        number = super().clean(value)
        try:
            return allocation_by_number(number) if number else None
        except Refused as error:
            raise ValidationError(error.message, code=error.code) from error


class KeyNameField(forms.CharField):
    """The name of a key, of whichever allocation."""

    def clean(self, value: object) -> str:
        """Return the name; raises ValidationError for one that no key has."""
        name = str(super().clean(value))
        if name and not QuotaKey.objects.filter(name__iexact=name).exists():
            raise ValidationError("No key has this name.", code="unknown")
        return name


class DenialLog(Report):
    """Refused calls by hour, key, reason and model, with the first of each as an example."""

    slug = "denials"
    title = "Denial log"
    purpose = "Which calls did a quota or a key refuse, and why?"
    group = "Control"
    filters: ClassVar = frozenset({Filter.PERIOD, Filter.UNIT, Filter.TEAM, Filter.MODEL, Filter.TIER})

    def own_filters(self, viewer: User) -> dict[str, forms.Field]:
        """Return what only refused calls have: a reason, and the key and allocation that they came with."""
        reasons = [("", "All reasons"), *DenialReason.choices]
        return {
            "reason": forms.ChoiceField(label="Reason", required=False, choices=reasons),
            "allocation": AllocationField(label="Allocation", required=False, max_length=20),
            "key": KeyNameField(label="Key", required=False, max_length=80),
        }

    def columns(self, choice: Choice) -> Sequence[Column]:
        """Return the columns."""
        return [
            Column("hour", "Hour", Kind.TIME),
            Column("key", "Key", drill="key"),
            Column("allocation", "Allocation", drill="allocation"),
            Column("team", "Team"),
            Column("reason", "Reason"),
            Column("model", "Model"),
            Column("count", "Calls", Kind.COUNT),
            Column("last_at", "Last one", Kind.TIME),
            Column("example_asked", "Example asked for"),
            Column("example_bytes", "Example", Kind.COUNT, unit="bytes"),
            Column("example_bound", "Example could cost", Kind.MONEY, unit="USD"),
        ]

    def rows(self, choice: Choice, viewer: User) -> Iterator[Row]:
        """Go through the log, newest hour first, most calls in front."""
        rows = _denials(choice).select_related("key__allocation__team").order_by("-hour", "-count", "pk")
        for denial in rows.iterator():
            yield _row(denial)

    def notes(self, choice: Choice) -> list[str]:
        """Say how exact the counts are."""
        return [
            "Gateways write their counts every few seconds and when they stop; a crash loses the last seconds.",
            "A call that falls to a cheaper tier is not refused, and is not in the log.",
        ]

    def plot(self, choice: Choice, viewer: User) -> go.Figure | None:
        """Draw refused calls by day and reason."""
        rows = _denials(choice).annotate(day=TruncDate("hour")).values("reason", "day").order_by("reason", "day")
        # A day's bar stands around its midnight: half a day more on each side shows the first and the last whole.
        first, after = span_of(choice)
        span = [(first - HALF_A_DAY).isoformat(), (after - HALF_A_DAY).isoformat()]
        axes = {"xaxis": {"type": "date", "range": span}, "yaxis": {"title": "calls a day"}}
        figure = go.Figure(layout={"barmode": "stack", **axes})
        points: dict[str, list[tuple[str, int]]] = {}
        for row in rows.annotate(calls=Sum("count")):
            points.setdefault(row["reason"], []).append((row["day"].isoformat(), row["calls"]))
        for reason, found in points.items():
            days, calls = zip(*found, strict=True)
            figure.add_trace(go.Bar(name=DenialReason(reason).label, x=list(days), y=list(calls)))
        return figure if points else None


def _denials(choice: Choice) -> QuerySet[Denial]:
    first, after = span_of(choice)
    rows = Denial.objects.filter(hour__gte=first, hour__lt=after)
    if choice.unit is not None:
        rows = rows.filter(key__allocation__team__business_unit=choice.unit)
    if choice.team is not None:
        rows = rows.filter(key__allocation__team=choice.team)
    if choice.model is not None:
        rows = rows.filter(model=choice.model.name)
    if choice.tier is not None:
        rows = rows.filter(model__in=AiModel.objects.filter(tier=choice.tier).values("name"))
    own = {"reason": "reason", "allocation": "key__allocation", "key": "key__name__iexact"}
    chosen = {column: choice.own.get(name) for name, column in own.items()}
    return rows.filter(**{column: value for column, value in chosen.items() if value})


def _row(denial: Denial) -> Row:
    key = denial.key
    number = key.allocation.number if key else ""
    links = (
        {
            "key": reverse("allocations:key", args=[number, key.pk]),
            "allocation": reverse("allocations:allocation", args=[number]),
        }
        if key
        else {}
    )
    cells = (
        denial.hour,
        key.name if key else "",
        number,
        key.allocation.team.name if key else "",
        denial.get_reason_display(),
        denial.model,
        denial.count,
        denial.last_at,
        denial.example_asked,
        denial.example_bytes,
        denial.example_bound,
    )
    return Row(cells, links)
