from django.apps import AppConfig


class AllocationsConfig(AppConfig):
    name = "allocations"

    def ready(self) -> None:
        from allocations.reports import REPORTS
        from allocations.waiting import of_allocations
        from ledger import waiting
        from ledger.reports.base import register

        register(*REPORTS)
        waiting.register(of_allocations)
