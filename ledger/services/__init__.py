"""Every write of the ledger."""

from ledger.services.catalogue import ModelFacts, model_register, model_update, provider_update
from ledger.services.funding import (
    account_open,
    fiscal_year_open,
    pool_open,
    pool_return,
    year_fund,
)
from ledger.services.nightly import breaches_tell, usage_partitions_make, usage_post_open
from ledger.services.posting import IdempotencyClash, Leg, entry_post, entry_reverse
from ledger.services.rates import model_add, provider_add, rate_approve, rate_propose, rates_import
from ledger.services.usage import usage_post, usage_roll

__all__ = [
    "IdempotencyClash",
    "Leg",
    "ModelFacts",
    "account_open",
    "breaches_tell",
    "entry_post",
    "entry_reverse",
    "fiscal_year_open",
    "model_add",
    "model_register",
    "model_update",
    "pool_open",
    "pool_return",
    "provider_add",
    "provider_update",
    "rate_approve",
    "rate_propose",
    "rates_import",
    "usage_partitions_make",
    "usage_post",
    "usage_post_open",
    "usage_roll",
    "year_fund",
]
