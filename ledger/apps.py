from django.apps import AppConfig


class LedgerConfig(AppConfig):
    name = "ledger"

    def ready(self) -> None:
        from ledger import waiting
        from ledger.reports.base import register
        from ledger.reports.trial import TrialBalance

        register(TrialBalance)
        waiting.register(waiting.of_the_ledger)
