"""Quotes: the rate card as pricing sees it, and what was asked for by tier."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

from ledger.models import AiModel, Rate, Tier
from ledger.selectors import rate_card_version, rates_at
from pitches import quotes
from pitches.models import PitchRevision, QuoteLine
from pitches.questions import Basis, Case
from pitches.quotes import Quote, Work


def rates_by_tier(version: int, at: datetime | None = None) -> dict[Tier, list[Rate]]:
    """Return the rates in force of the models that can be called, by tier, as known to a version of the card."""
    models = list(AiModel.objects.filter(is_enabled=True, provider__is_enabled=True).order_by("pk"))
    rates = rates_at(models, at or datetime.now(UTC), version)
    card: dict[Tier, list[Rate]] = defaultdict(list)
    for model in models:
        if model.pk in rates:
            card[Tier(model.tier)].append(rates[model.pk])
    return dict(card)


def quote_now(works: Iterable[Work], *, months: int) -> Quote:
    """Price work at the rate card of this moment; raises `quotes.NoModel`."""
    version = rate_card_version()
    return quotes.quote(list(works), rates_by_tier(version), months=months, rate_card_version=version)


def asked_by_tier(revision: PitchRevision) -> dict[Tier, Decimal]:
    """Return what a revision asks for on each tier over the period: expected, at target, in USD up to the cent."""
    lines = QuoteLine.objects.filter(revision=revision, basis=Basis.ASKED, case=Case.TARGET)
    asked = {line.tier: quotes.in_cents(line.expected) for line in lines}
    return {tier: asked[tier] for tier in Tier if asked.get(tier)}
