"""The ledger's data: journal, rate card and usage subledger.

Sign convention: a posting's amount is positive for a debit and negative for a credit, so the postings of an
entry sum to zero and an account's balance is debits minus credits. Envelopes (reserve, pool, committed, line)
hold what may still be spent as a debit balance; the budget authority is the credit behind them.
"""

from ledger.models.closing import (
    CloseAcceptance,
    Correction,
    CorrectionLeg,
    CorrectionState,
    ExchangeRate,
    PeriodReopening,
    ReopeningState,
)
from ledger.models.invoices import InvoiceState, ProviderInvoice
from ledger.models.journal import (
    Account,
    AccountBalance,
    AccountClass,
    EntryKind,
    FiscalYear,
    JournalEntry,
    Period,
    PeriodState,
    Posting,
    Routing,
    Seal,
)
from ledger.models.rates import AiModel, Dialect, ModelAlias, Provider, Rate, RateSource, Tier
from ledger.models.usage import ServedBecause, SettleKind, UsageArchive, UsageDay, UsageHour, UsagePosting, UsageRecord

__all__ = [
    "Account",
    "AccountBalance",
    "AccountClass",
    "AiModel",
    "CloseAcceptance",
    "Correction",
    "CorrectionLeg",
    "CorrectionState",
    "Dialect",
    "EntryKind",
    "ExchangeRate",
    "FiscalYear",
    "InvoiceState",
    "JournalEntry",
    "ModelAlias",
    "Period",
    "PeriodReopening",
    "PeriodState",
    "Posting",
    "Provider",
    "ProviderInvoice",
    "Rate",
    "RateSource",
    "ReopeningState",
    "Routing",
    "Seal",
    "ServedBecause",
    "SettleKind",
    "Tier",
    "UsageArchive",
    "UsageDay",
    "UsageHour",
    "UsagePosting",
    "UsageRecord",
]
