"""Errors by the names that LiteLLM catches."""


class PrismaError(Exception):
    """A statement failed."""


class UniqueViolationError(PrismaError):
    """A row is there already."""


class ClientNotConnectedError(PrismaError):
    """A statement was asked for before there was a connection."""


def __getattr__(name: str) -> type[PrismaError]:
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (PrismaError,), {})
