"""Classes that LiteLLM names and does not look into."""

from .table import Row


def __getattr__(name: str) -> type[Row]:
    if name.startswith("__"):
        raise AttributeError(name)
    return Row
