"""What a platform admin changes about providers and models: everything but the prices, which finance approves."""

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from ledger.models import AiModel, Dialect, Provider, Tier
from ledger.services.rates import provider_add
from teams.access import require
from teams.errors import Refused
from teams.models import User
from teams.services import audit_record


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model is, but for its provider, name and price. Sizes are in tokens."""

    tier: Tier
    context_window: int
    default_output_cap: int
    least_output_cap: int
    is_enabled: bool


@transaction.atomic
def provider_update(*, actor: User, provider: Provider, base_url: str, api_key: str, is_enabled: bool) -> Provider:
    """Change where calls to a provider go, its credential where one is given, and whether it is called at all.

    Raises NotAllowed or Refused (bad_base_url).
    """
    require(actor, "ledger.change_provider", provider, message="Only a platform admin changes providers.")
    stored = Provider.objects.get(pk=provider.pk)
    changed = provider_add(
        actor=actor, name=stored.name, dialect=Dialect(stored.dialect), base_url=base_url, api_key=api_key
    )
    if changed.is_enabled != is_enabled:
        changed.is_enabled = is_enabled
        changed.save(update_fields=["is_enabled"])
        audit_record(actor=actor, verb="provider.enable" if is_enabled else "provider.disable", target=changed)
    return changed


@transaction.atomic
def model_register(*, actor: User, provider: Provider, name: str, facts: ModelFacts) -> AiModel:
    """Add a model without a price: it cannot be called until finance approves a rate.

    Raises NotAllowed, or Refused for a name that is taken or sizes that make no sense.
    """
    require(actor, "ledger.add_aimodel", message="Only a platform admin adds models.")
    return _model_saved(actor, AiModel(provider=provider, name=name.strip()), facts, "model.add")


@transaction.atomic
def model_update(*, actor: User, model: AiModel, facts: ModelFacts) -> AiModel:
    """Change what a model is; its name, provider and rates stay.

    Raises NotAllowed, or Refused for sizes that make no sense.
    """
    require(actor, "ledger.change_aimodel", model, message="Only a platform admin changes models.")
    return _model_saved(actor, AiModel.objects.select_for_update().get(pk=model.pk), facts, "model.set")


def _model_saved(actor: User, model: AiModel, facts: ModelFacts, verb: str) -> AiModel:
    details: dict[str, Any] = {}
    for name in ModelFacts.__slots__:
        details[name] = getattr(facts, name)
        setattr(model, name, details[name])
    try:
        model.full_clean()
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise Refused(messages[0], code="model_invalid", field=field) from error
    model.save()
    audit_record(actor=actor, verb=verb, target=model, details=details)
    return model
