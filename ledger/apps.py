from django.apps import AppConfig


class LedgerConfig(AppConfig):
    name = "ledger"

    def ready(self) -> None:
        from ledger import checks, waiting
        from ledger.reports.base import register
        from ledger.reports.books import Journal, Statement
        from ledger.reports.clearing import Accruals, ProviderReconciliation
        from ledger.reports.invoices import InvoiceMatch
        from ledger.reports.savings import Savings, Unattributed
        from ledger.reports.trial import TrialBalance
        from ledger.reports.usage import Chargeback, TagShowback, TeamShowback, UnitEconomics, UsageRecords
        from ledger.verbs import VERBS
        from teams import verbs
        from teams import waiting as everybody

        register(Chargeback, TeamShowback, TagShowback, UnitEconomics, UsageRecords, Savings, Unattributed)
        register(TrialBalance, Journal, Statement, Accruals, ProviderReconciliation, InvoiceMatch)
        waiting.register(waiting.of_the_ledger)
        everybody.register(waiting.waiting_for)
        checks.register(checks.of_ledger)
        verbs.register(VERBS)
