"""What a provider's names of models mean here: aliases, dated snapshots and prefixes, and how each was found."""

import re
from dataclasses import dataclass, field

from django.db import connection, transaction

from ledger.models import (
    AiModel,
    FeedFigure,
    ModelAlias,
    NameFound,
    Provider,
    ProviderModelName,
    ReconciliationLine,
)
from ledger.providers.base import Span
from ledger.reconciliation.again import lines_ask_again
from teams.access import require
from teams.errors import require_reason
from teams.models import User
from teams.services import audit_record

# "-2026-04-14", "-20260414" and "@20260414" at the end of a name are the day of a snapshot.
SNAPSHOT = re.compile(r"[-@](20\d\d-?[01]\d-?[0-3]\d)$")
RETURNED = """
SELECT DISTINCT model_returned, model_id FROM ledger_usagerecord
 WHERE provider_id = %s AND model_returned = ANY (%s)
"""


@dataclass
class Names:
    """The names by which a provider's models are known."""

    own: dict[str, AiModel] = field(default_factory=dict)
    upstream: dict[str, AiModel] = field(default_factory=dict)
    aliases: dict[str, AiModel] = field(default_factory=dict)

    def find(self, name: str) -> tuple[AiModel | None, NameFound]:
        """Return the model that a name means and how it was found; the surest way first."""
        for plain, how in _ways(name.lower()):
            for names, direct in (
                (self.own, NameFound.SAME),
                (self.upstream, NameFound.UPSTREAM),
                (self.aliases, NameFound.ALIAS),
            ):
                if plain in names:
                    return names[plain], how or direct
        return None, NameFound.NONE


def _ways(name: str) -> list[tuple[str, NameFound | None]]:
    """Return the forms of a name to look for: as it is, without its snapshot's day, without its prefix, or both."""
    bare = name.rpartition("/")[2]
    ways: list[tuple[str, NameFound | None]] = [(name, None), (SNAPSHOT.sub("", name), NameFound.SNAPSHOT)]
    if bare != name:
        ways += [(bare, NameFound.PREFIX), (SNAPSHOT.sub("", bare), NameFound.PREFIX)]
    return ways


def names_of(provider: Provider) -> Names:
    """Return the names by which a provider's models are known."""
    models = list(AiModel.objects.filter(provider=provider))
    aliases = ModelAlias.objects.filter(model__provider=provider).select_related("model")
    return Names(
        own={model.name.lower(): model for model in models},
        upstream={model.upstream_name.lower(): model for model in models if model.upstream_name},
        aliases={alias.name.lower(): alias.model for alias in aliases},
    )


@transaction.atomic
def names_resolve(provider: Provider, span: Span) -> int:
    """Find what each name means that the provider's figures of a span use; returns how many mean another model now.

    What finance said stays; what was found by rule, or not found, is looked for again, as models and aliases change.
    """
    figures = FeedFigure.objects.filter(feed__provider=provider, day__range=(span.first, span.last), superseded_by=None)
    used = sorted(set(figures.exclude(model_name="").values_list("model_name", flat=True).distinct()))
    rows = {row.name: row for row in ProviderModelName.objects.filter(provider=provider, name__in=used)}
    asked = [name for name in used if name not in rows or rows[name].how != NameFound.BY_HAND]
    known = names_of(provider)
    found = {name: known.find(name) for name in asked}
    found |= _returned(provider, [name for name, (model, _how) in found.items() if model is None])
    return sum(_note(provider, rows.get(name), name, *found[name]) for name in asked)


def _note(provider: Provider, row: ProviderModelName | None, name: str, model: AiModel | None, how: NameFound) -> bool:
    if row and (row.model_id, row.how) == (model.pk if model else None, how):
        return False
    row = row or ProviderModelName(provider=provider, name=name)
    row.model, row.how = model, how
    row.save()
    return True


def _returned(provider: Provider, names: list[str]) -> dict[str, tuple[AiModel | None, NameFound]]:
    """Return what metered answers have called their models, where a name was used for one model alone."""
    if not names:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(RETURNED, [provider.pk, names])
        models: dict[str, set[int]] = {}
        for name, model in cursor.fetchall():
            models.setdefault(name, set()).add(model)
    sure = {name: ids.pop() for name, ids in models.items() if len(ids) == 1}
    rows = AiModel.objects.in_bulk(set(sure.values()))
    return {name: (rows[model], NameFound.RETURNED) for name, model in sure.items()}


@transaction.atomic
def name_settle(*, actor: User, name: ProviderModelName, model: AiModel, reason: str) -> ProviderModelName:
    """Say which model a provider's name means; the days that use it are matched again by the next run.

    Raises NotAllowed, Refused (reason_missing).
    """
    require(actor, "ledger.judge_reconciliation", message="Only finance says what a name means.")
    require_reason(reason)
    locked = ProviderModelName.objects.select_for_update().get(pk=name.pk)
    locked.model, locked.how = model, NameFound.BY_HAND
    locked.save(update_fields=["model", "how"])
    used = FeedFigure.objects.filter(feed__provider=locked.provider_id, model_name=locked.name, superseded_by=None)
    lines_ask_again(ReconciliationLine.objects.filter(provider=locked.provider_id, day__in=used.values("day")))
    audit_record(actor=actor, verb="model_name.settle", target=locked, reason=reason, details={"model": model.name})
    return locked
