"""Calls lost in a crash: what the provider has of them is charged, and what it does not have goes back."""

from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet

from ledger.models import AiModel, Cause, FeedDay, Outcome, Provider, ReconciliationLine
from ledger.money import exact
from ledger.providers.base import Span
from ledger.reconciliation.above import HeldCalls, hot_path
from ledger.reconciliation.causes import allocate, at_prices
from ledger.reconciliation.judging import policy_of
from ledger.selectors.journal import today
from ledger.selectors.rates import rate_in_force
from teams.models import User

SETTLED = "Settled from the provider's figures by reconciliation."
UNUSED = "By the providers' figures, which agree with what was metered that day, nothing more was used."
GAP = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


def lost_settle(*, actor: User, provider: Provider, span: Span) -> int:
    """Settle lost calls that the provider's figures show; returns how many lines brought that about."""
    lines = ReconciliationLine.objects.filter(
        provider=provider, day__range=(span.first, span.last), causes__contains=[Cause.UNSETTLED], is_agreed=False
    ).exclude(outcome=Outcome.MATCHED)
    return sum(_settle_line(actor, line) for line in lines.select_related("model").order_by("day", "pk"))


@transaction.atomic
def _settle_line(actor: User, line: ReconciliationLine) -> bool:
    model = line.model
    rate = rate_in_force(model, Span(line.day, line.day).ends_at - timedelta(microseconds=1)) if model else None
    if model is None or rate is None:
        return False
    held = [one for one in hot_path().held([line.day]) if one.tier == model.tier]
    gap = {name: getattr(line, f"reported_{name}") - getattr(line, f"metered_{name}") for name in GAP}
    prices = {name: getattr(rate, name) for name in GAP}
    if min(gap.values()) < 0 or at_prices(gap, prices) > sum(one.amount for one in held):
        return False  # what the line says of lost calls is of others, which were settled before
    done = []
    for one, tokens in _split(gap, held):
        cost = at_prices(tokens, prices)
        if cost > 0:
            done.append(hot_path().settle(actor=actor, held=one, model=model, cost=cost, tokens=tokens, reason=SETTLED))
    return any(done)


def _split(tokens: dict[str, int], held: list[HeldCalls]) -> list[tuple[HeldCalls, dict[str, int]]]:
    """Split tokens over lost calls by what is held for each; whole tokens, without a remainder."""
    parts: list[dict[str, int]] = [{} for _one in held]
    for name, count in tokens.items():
        left = count
        shares = allocate(exact(count), {n: one.amount for n, one in enumerate(held)})
        for n in range(len(held)):
            take = left if n == len(held) - 1 else min(left, int(shares.get(n, 0)))
            parts[n][name], left = take, left - take
    return list(zip(held, parts, strict=True))


def unused_release(*, actor: User, provider: Provider, span: Span) -> int:
    """Give back what is held for lost calls that no provider has; returns how many holds that were.

    Sure is it when every provider of the tier has told of the whole day, finance waits for it no longer, and all of its
    lines are agreed.
    """
    last = min(span.last, today() - timedelta(days=policy_of(provider).days_to_wait + 1))
    days = [span.first + timedelta(days=number) for number in range((last - span.first).days + 1)]
    held = [one for one in hot_path().held(days) if is_settled_day(one)] if days else []
    return sum(hot_path().release(actor=actor, held=one, reason=UNUSED) for one in held)


def is_settled_day(held: HeldCalls) -> bool:
    """Say whether every provider that serves the tier has told of the day, and nothing of it is left to judge."""
    models = AiModel.objects.filter(tier=held.tier)
    providers = set(models.values_list("provider_id", flat=True))
    told = FeedDay.objects.filter(
        day=held.day, is_complete=True, feed__provider__in=providers, feed__is_enabled=True, feed__gives_tokens=True
    )
    return set(told.values_list("feed__provider_id", flat=True)) == providers and not _left(models, held).exists()


def _left(models: QuerySet[AiModel], held: HeldCalls) -> QuerySet[ReconciliationLine]:
    return ReconciliationLine.objects.filter(model__in=models, day=held.day, provider_key=None, is_agreed=False)
