"""What a model must satisfy before it is written, in words for people; the database holds the same."""

from ledger.models import AiModel, Dialect, ModelAlias
from teams.errors import Refused

RESERVED = "tank/"


def require_model_name(name: str) -> None:
    """Refuse a new model's name that is reserved or an alias already. Raises Refused (name_reserved, name_taken)."""
    require_not_reserved(name)
    if ModelAlias.objects.filter(name=name).exists():
        raise Refused(f"{name} is an alias. Remove the alias first.", code="name_taken", field="name")


def require_not_reserved(name: str) -> None:
    """Refuse a name that callers may only use for what Tank chooses itself. Raises Refused (name_reserved)."""
    if name.lower().startswith(RESERVED):
        raise Refused(f"Names that begin with {RESERVED} are Tank's own.", code="name_reserved", field="name")


def require_backup(model: AiModel) -> None:
    """Refuse a backup that could not answer in its model's place. Raises Refused (backup_unfit)."""
    if model.backup_of_id is None:
        return
    main = AiModel.objects.select_for_update(of=("self",)).select_related("provider").get(pk=model.backup_of_id)
    if reason := _unfit(model, main):
        raise Refused(reason, code="backup_unfit", field="backup_of")


def _unfit(model: AiModel, main: AiModel) -> str:
    if model.pk == main.pk:
        return "A model is not its own backup."
    if main.backup_of_id is not None:
        return f"{main} is a backup itself; name the model that it stands in for."
    if model.pk is not None and model.backups.exists():
        return f"{model} has backups itself."
    if model.tier != main.tier:
        return f"A backup is of the same tier, and {main} is of the {main.get_tier_display().lower()} tier."
    if model.provider.dialect not in {main.provider.dialect, Dialect.SANDBOX}:
        return f"The provider of {main} speaks {main.provider.get_dialect_display()}; a backup's must too."
    return ""


def move_backups(model: AiModel) -> None:
    """Keep the backups of a model in its tier."""
    model.backups.exclude(tier=model.tier).update(tier=model.tier)
