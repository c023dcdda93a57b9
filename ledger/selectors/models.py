"""Models by name."""

from collections.abc import Iterable

from ledger.models import AiModel, ModelAlias
from teams.errors import Refused


def models_named(names: Iterable[str]) -> list[AiModel]:
    """Return the models with these names, each once. Raises Refused (no_such_model) for the first that is none."""
    found = {name: AiModel.objects.filter(name=name).first() for name in names}
    for name, model in found.items():
        if model is None:
            raise Refused(_no_such_model(name), code="no_such_model", field="models")
    return [model for model in found.values() if model is not None]


def _no_such_model(name: str) -> str:
    alias = ModelAlias.objects.filter(name=name).select_related("model").first()
    return f"{name!r} is an alias: name the model {alias.model} itself." if alias else f"There is no model {name!r}."
