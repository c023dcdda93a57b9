"""Reads of the ledger: balances, statements, the rate card."""

from ledger.selectors.journal import (
    TrialRow,
    authority_account,
    available_in_reserve,
    balance,
    current_fiscal_year,
    reserve_account,
    statement,
    today,
    trial_balance,
)
from ledger.selectors.models import models_named
from ledger.selectors.rates import rate_card_version, rate_in_force, rates_at

__all__ = [
    "TrialRow",
    "authority_account",
    "available_in_reserve",
    "balance",
    "current_fiscal_year",
    "models_named",
    "rate_card_version",
    "rate_in_force",
    "rates_at",
    "reserve_account",
    "statement",
    "today",
    "trial_balance",
]
