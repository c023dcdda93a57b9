"""What a platform admin changes about providers and models: everything but the prices, which finance approves."""

from dataclasses import dataclass, fields
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from ledger.models import AiModel, Dialect, ModelAlias, Provider, Tier
from ledger.services.model_checks import move_backups, require_backup, require_model_name, require_not_reserved
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
    upstream_name: str = ""
    """What the provider calls it; empty: the same name."""
    backup_of: AiModel | None = None
    backup_place: int = 0


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

    Raises NotAllowed, or Refused for a name that is taken or reserved, sizes that make no sense, or an unfit backup.
    """
    require(actor, "ledger.add_aimodel", message="Only a platform admin adds models.")
    require_model_name(name.strip())
    return _model_saved(actor, AiModel(provider=provider, name=name.strip()), facts, "model.add")


@transaction.atomic
def model_update(*, actor: User, model: AiModel, facts: ModelFacts) -> AiModel:
    """Change what a model is; its name, provider and rates stay, and its backups keep to its tier.

    Raises NotAllowed, or Refused for sizes that make no sense or an unfit backup.
    """
    require(actor, "ledger.change_aimodel", model, message="Only a platform admin changes models.")
    return _model_saved(actor, AiModel.objects.select_for_update().get(pk=model.pk), facts, "model.set")


def _model_saved(actor: User, model: AiModel, facts: ModelFacts, verb: str) -> AiModel:
    details: dict[str, Any] = {}
    for field in fields(facts):
        details[field.name] = value = getattr(facts, field.name)
        setattr(model, field.name, value)
    require_backup(model)
    try:
        model.full_clean()
    except ValidationError as error:
        name, messages = next(iter(error.message_dict.items()))
        raise Refused(messages[0], code="model_invalid", field=name) from error
    model.save()
    move_backups(model)
    details["backup_of"] = facts.backup_of and facts.backup_of.name
    audit_record(actor=actor, verb=verb, target=model, details=details)
    return model


@transaction.atomic
def alias_set(*, actor: User, name: str, model: AiModel, note: str = "") -> ModelAlias:
    """Give a model another name, or point that name to another model from now on.

    Raises NotAllowed, or Refused (name_missing, name_reserved, name_taken).
    """
    require(actor, "ledger.add_modelalias", message="Only a platform admin names aliases.")
    name = name.strip()
    _require_alias_name(name)
    alias = ModelAlias.objects.select_for_update().filter(name=name).first() or ModelAlias(name=name)
    alias.model, alias.note = model, note[:200]
    alias.save()
    audit_record(actor=actor, verb="alias.set", target=alias, details={"name": name, "model": model.name})
    return alias


def _require_alias_name(name: str) -> None:
    if not name or len(name) > 120 or not name.isprintable():
        message = "An alias needs a name of 1 to 120 printable characters."
        raise Refused(message, code="name_missing", field="name")
    require_not_reserved(name)
    if AiModel.objects.filter(name=name).exists():
        message = f"{name} is a model: an alias never stands before a model."
        raise Refused(message, code="name_taken", field="name")


@transaction.atomic
def alias_remove(*, actor: User, alias: ModelAlias) -> None:
    """Take an alias away: calls by that name are refused. Raises NotAllowed."""
    require(actor, "ledger.delete_modelalias", alias, message="Only a platform admin removes aliases.")
    audit_record(actor=actor, verb="alias.remove", target=alias, details={"name": alias.name})
    ModelAlias.objects.filter(pk=alias.pk).delete()
