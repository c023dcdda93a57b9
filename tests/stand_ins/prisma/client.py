"""The client, where LiteLLM looks for it too."""

from . import Prisma
from .table import Row as TransactionManager

__all__ = ["Prisma", "TransactionManager"]
