"""What `manage.py verify` can prove about the ledger on a live database."""

from collections.abc import Iterable

from ledger.checks import guards, journal, reconciliation, usage
from ledger.checks.base import PROMISES, Breach, Check, Progress, all_checks, breaches, prove, register

CHECKS = journal.CHECKS + guards.CHECKS + usage.CHECKS + reconciliation.CHECKS


def of_ledger() -> Iterable[Check]:
    """Return the checks of the ledger: those that are always there, and one per month that was detached."""
    return (*CHECKS, *usage.of_archives())


__all__ = [
    "CHECKS",
    "PROMISES",
    "Breach",
    "Check",
    "Progress",
    "all_checks",
    "breaches",
    "of_ledger",
    "prove",
    "register",
]
