from django.apps import AppConfig


class LedgerConfig(AppConfig):
    name = "ledger"

    def ready(self) -> None:
        from ledger.reports.base import register
        from ledger.reports.trial import TrialBalance

        register(TrialBalance)
