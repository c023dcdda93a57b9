"""Every write of the ledger."""

from ledger.services.catalogue import (
    ModelFacts,
    alias_remove,
    alias_set,
    model_register,
    model_update,
    provider_update,
)
from ledger.services.corrections import (
    adjustment_propose,
    correction_approve,
    correction_refuse,
    correction_withdraw,
    reversal_propose,
)
from ledger.services.currency import exchange_rate_on, exchange_rate_record, reserve_convert, reserve_in
from ledger.services.funding import (
    account_open,
    fiscal_year_open,
    pool_delegate,
    pool_open,
    pool_return,
    year_cut,
    year_fund,
    year_lapse,
)
from ledger.services.invoices import invoice_agree, invoice_enter, invoice_refuse, invoice_withdraw
from ledger.services.nightly import breaches_tell, usage_partitions_make, usage_post_open
from ledger.services.periods import (
    period_accept,
    period_accrue,
    period_close,
    period_close_begin,
    period_close_stop,
    period_reopen_ask,
    period_reopen_decide,
)
from ledger.services.posting import IdempotencyClash, Leg, entry_post, entry_reverse
from ledger.services.rates import model_add, provider_add, rate_approve, rate_propose, rates_import
from ledger.services.usage import usage_post, usage_roll

__all__ = [
    "IdempotencyClash",
    "Leg",
    "ModelFacts",
    "account_open",
    "adjustment_propose",
    "alias_remove",
    "alias_set",
    "breaches_tell",
    "correction_approve",
    "correction_refuse",
    "correction_withdraw",
    "entry_post",
    "entry_reverse",
    "exchange_rate_on",
    "exchange_rate_record",
    "fiscal_year_open",
    "invoice_agree",
    "invoice_enter",
    "invoice_refuse",
    "invoice_withdraw",
    "model_add",
    "model_register",
    "model_update",
    "period_accept",
    "period_accrue",
    "period_close",
    "period_close_begin",
    "period_close_stop",
    "period_reopen_ask",
    "period_reopen_decide",
    "pool_delegate",
    "pool_open",
    "pool_return",
    "provider_add",
    "provider_update",
    "rate_approve",
    "rate_propose",
    "rates_import",
    "reserve_convert",
    "reserve_in",
    "reversal_propose",
    "usage_partitions_make",
    "usage_post",
    "usage_post_open",
    "usage_roll",
    "year_cut",
    "year_fund",
    "year_lapse",
]
