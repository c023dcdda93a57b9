"""Everything behind one line: both sides by token class, the provider's own rows, decisions, entries and revisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q

from ledger.models import (
    TOKEN_CLASSES,
    AttributionRule,
    Cause,
    DecidedLine,
    FeedFigure,
    KeyStanding,
    LineAttribution,
    LineRevision,
    Outcome,
    ProviderKey,
    ProviderModelName,
    Rate,
    ReconciliationLine,
    ReconciliationPosting,
)
from ledger.providers.base import Span
from ledger.selectors.rates import rate_in_force

MILLION = Decimal(1_000_000)
MOST_FIGURES = 200
CLASS_WORDS = {
    "input": "Uncached input",
    "cache_read": "Cached input",
    "cache_write_5m": "Cache writes, 5 min",
    "cache_write_1h": "Cache writes, 1 h",
    "output": "Output",
}


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class of tokens on both sides; the price is per million tokens, None without a rate."""

    words: str
    metered: int
    reported: int
    price: Decimal | None

    @property
    def more(self) -> int:
        """Return how many tokens the provider counts more."""
        return self.reported - self.metered

    @property
    def more_costs(self) -> Decimal | None:
        """Return what these cost at our rate."""
        return None if self.price is None else self.more * self.price / MILLION


def classes_of(line: ReconciliationLine, rate: Rate | None) -> list[ClassRow]:
    """Return both sides of a line token class by token class."""
    return [
        ClassRow(
            CLASS_WORDS[name],
            getattr(line, f"metered_{name}"),
            getattr(line, f"reported_{name}"),
            getattr(rate, name) if rate else None,
        )
        for name in TOKEN_CLASSES
    ]


def rate_of(line: ReconciliationLine) -> Rate | None:
    """Return the rate that was in force at the end of a line's day."""
    ends = Span(line.day, line.day).ends_at - timedelta(microseconds=1)
    return rate_in_force(line.model, ends) if line.model else None


@dataclass(frozen=True, slots=True)
class Why:
    """One explanation as it was written down."""

    cause: str
    amount: Decimal
    evidence: str
    rule: str


def whys_of(line: ReconciliationLine) -> list[Why]:
    """Return what explains a line's difference, in words."""
    return [
        Why(
            str(Cause(one["cause"]).label),
            Decimal(one["amount"]),
            one["evidence"],
            str(AttributionRule(one["rule"]).label),
        )
        for one in line.explanations
    ]


def attributions_of(line: ReconciliationLine) -> list[LineAttribution]:
    """Return who takes the difference, by account."""
    return list(line.attributions.select_related("account").order_by("account__code", "rule"))


def decided_of(line: ReconciliationLine) -> list[DecidedLine]:
    """Return the decisions about a line, the latest first."""
    rows = line.decided.select_related("decision__proposed_by", "decision__decided_by")
    return list(rows.order_by("-decision_id"))


def postings_of(line: ReconciliationLine) -> list[ReconciliationPosting]:
    """Return what was posted for a line's provider and day, in the order of posting."""
    rows = ReconciliationPosting.objects.filter(provider=line.provider_id, day=line.day)
    return list(rows.select_related("entry", "account").order_by("entry_id", "account__code"))


@dataclass(frozen=True, slots=True)
class FigureRow:
    """A row of the provider's own, and how its name of the model was found to be ours."""

    figure: FeedFigure
    name: ProviderModelName | None


def figures_of(line: ReconciliationLine) -> list[FigureRow]:
    """Return the provider's rows behind a line, current ones first, then those that later fetches replaced."""
    names = ProviderModelName.objects.filter(provider=line.provider_id)
    meant = names.filter(model=line.model_id) if line.model_id else names.filter(name=line.model_name)
    rows = FeedFigure.objects.filter(
        _of_names(line, [name.name for name in meant]),
        _of_key(line),
        feed__provider=line.provider_id,
        feed__is_enabled=True,
        day=line.day,
        charge=line.charge,
    )
    found = rows.select_related("feed__provider", "fetch", "superseded_by")
    by_name = {name.name: name for name in meant}
    latest = sorted(found.order_by("-pk")[:MOST_FIGURES], key=lambda one: (one.superseded_by_id is not None, -one.pk))
    return [FigureRow(one, by_name.get(one.model_name)) for one in latest]


def _of_names(line: ReconciliationLine, names: Sequence[str]) -> Q:
    return Q(model_name__in=[*names, *([] if line.model_id else [line.model_name])])


def _of_key(line: ReconciliationLine) -> Q:
    if line.provider_key is not None:
        return Q(provider_key=line.provider_key.external_id)
    others = ProviderKey.objects.filter(provider=line.provider_id).exclude(standing=KeyStanding.GATEWAY)
    return ~Q(provider_key__in=others.values("external_id"))


@dataclass(frozen=True, slots=True)
class Past:
    """A line as it was before a re-read; amounts in the line's currency."""

    revision: LineRevision
    metered: Decimal
    reported: Decimal
    metered_tokens: int
    reported_tokens: int
    outcome: str

    @property
    def difference(self) -> Decimal:
        """Return what was reported more than metered then."""
        return self.reported - self.metered


def past_of(line: ReconciliationLine) -> list[Past]:
    """Return a line's earlier figures, the latest first."""
    return [_past(revision) for revision in line.revisions.order_by("-revision")]


def _past(revision: LineRevision) -> Past:
    figures: dict[str, Any] = revision.figures

    def tokens(side: str) -> int:
        return sum(int(figures[f"{side}_{name}"]) for name in TOKEN_CLASSES)

    return Past(
        revision,
        Decimal(str(figures["metered"])),
        Decimal(str(figures["reported"])),
        tokens("metered"),
        tokens("reported"),
        str(Outcome(figures["outcome"]).label),
    )
