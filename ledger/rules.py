"""Permissions of the ledger: finance and auditors read all of it, a team the accounts that are its own."""

from typing import Any

from rules.predicates import Predicate, is_authenticated

from ledger.models import Account, Rate
from teams.rules import allow, is_auditor, is_finance, is_member, is_platform_admin, is_system, is_unit_head
from teams.selectors import Person, standing


@Predicate
def heads_unit_of(user: Person, account: Any) -> bool:
    """Say whether somebody heads the business unit whose pool an account is."""
    return isinstance(account, Account) and account.business_unit_id in standing(user).units


@Predicate
def proposed_it(user: Person, rate: Any) -> bool:
    """Say whether somebody proposed a rate."""
    return isinstance(rate, Rate) and rate.proposed_by_id == user.pk


@Predicate
def began_it(user: Person, target: Any) -> bool:
    """Say whether somebody proposed a correction, asked to reopen a period, or entered an invoice."""
    return user.pk in {getattr(target, f"{what}_by_id", None) for what in ("proposed", "asked", "entered")}


reads_ledger = is_finance | is_auditor

allow("ledger", is_platform_admin | is_auditor)
allow("ledger.view_ledger", reads_ledger)
allow("ledger.view_journalentry", reads_ledger)
allow("ledger.view_account", reads_ledger | is_member | is_unit_head | heads_unit_of)
allow("ledger.view_rate", Predicate(is_authenticated))
allow("ledger.add_rate", is_platform_admin | is_finance | is_system)
# Two pairs of eyes: nobody approves the price that they proposed.
allow("ledger.approve_rate", (is_finance & ~proposed_it) | is_system)
allow("ledger.fund_year", is_finance | is_system)
allow("ledger.close_period", is_finance)
allow("ledger.propose_correction", is_finance)
allow("ledger.withdraw_correction", is_finance & began_it)
# What one person of finance began another decides.
allow("ledger.decide_correction", is_finance & ~began_it)
allow("ledger.reopen_period", is_finance & ~began_it)
allow("ledger.enter_invoice", is_finance)
allow("ledger.withdraw_invoice", is_finance & began_it)
allow("ledger.decide_invoice", is_finance & ~began_it)
allow("ledger.fetch_feed", is_finance | is_platform_admin | is_system)
allow("ledger.change_feed", is_finance | is_platform_admin | is_system)
allow("ledger.import_feed_file", is_finance)
allow("ledger.reconcile", is_finance | is_system)
allow("ledger.judge_reconciliation", is_finance)
allow("ledger.decide_line", is_finance & ~began_it)
allow("ledger.withdraw_line_decision", is_finance & began_it)
allow("ledger.record_exchange_rate", is_finance | is_system)
allow("ledger.delete_modelalias", is_platform_admin | is_system)
for model in ("feed", "providerkey"):
    allow(f"ledger.view_{model}", is_platform_admin | reads_ledger)
for model in ("provider", "aimodel", "modelalias"):
    allow(f"ledger.view_{model}", is_platform_admin | reads_ledger)
    allow(f"ledger.add_{model}", is_platform_admin | is_system)
    allow(f"ledger.change_{model}", is_platform_admin | is_system)
for model in ("fiscalyear", "period", "usagerecord"):
    allow(f"ledger.view_{model}", is_platform_admin | reads_ledger)
