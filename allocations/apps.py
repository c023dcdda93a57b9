from django.apps import AppConfig


class AllocationsConfig(AppConfig):
    name = "allocations"

    def ready(self) -> None:
        """Say what of this floor waits for finance, what it reports, and what the close of a period asks of it."""
        from allocations import closing  # noqa: F401 - its import registers them, once models are there
        from allocations.reports import REPORTS
        from allocations.waiting import of_allocations
        from ledger import waiting
        from ledger.reports.base import register

        register(*REPORTS)
        waiting.register(of_allocations)
