"""The rate card as it stood at a time or at a version."""

from collections.abc import Iterable
from datetime import datetime

from django.db.models import Max, QuerySet

from ledger.models import AiModel, Rate


def rate_in_force(model: AiModel, at: datetime) -> Rate | None:
    """Return the approved rate of a model at a time, the base of its steps, or None: such a model cannot be called."""
    return _bases_at(at).filter(model=model).order_by("-valid_from").first()


def rate_card_version() -> int:
    """Return the rate card's version: the highest id of an approved rate, 0 when there is none."""
    return Rate.objects.exclude(approved_at=None).aggregate(version=Max("id"))["version"] or 0


def rates_at(models: Iterable[AiModel], at: datetime, version: int | None = None) -> dict[int, Rate]:
    """Return the approved rates in force at a time by model id, with their steps, as known to a version of the card."""
    rates = _bases_at(at).filter(model__in=list(models)).prefetch_related("further_steps")
    if version is not None:
        rates = rates.filter(id__lte=version)
    latest = rates.order_by("model_id", "-valid_from").distinct("model_id")
    return {rate.model_id: rate for rate in latest}


def _bases_at(at: datetime) -> QuerySet[Rate]:
    return Rate.objects.filter(base=None, valid_from__lte=at).exclude(approved_at=None)
