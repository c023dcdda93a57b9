"""Tables that a choice reads where they exist: measured qualities, and links between pitches."""

from typing import Any

from django.apps import apps
from django.db.models import QuerySet


def rows_of(name: str) -> QuerySet[Any] | None:
    """Return every row of a model of pitches by its name; None where there is no such model."""
    try:
        found: QuerySet[Any] = apps.get_model("pitches", name)._default_manager.all()
    except LookupError:
        return None
    return found
