from django.apps import AppConfig


class AllocationsConfig(AppConfig):
    name = "allocations"

    def ready(self) -> None:
        """Say what of this floor waits for finance, and what the close of a period asks of it."""
        from allocations import closing  # noqa: F401 - its import registers them, once models are there
        from allocations.waiting import of_allocations
        from ledger import waiting

        waiting.register(of_allocations)
        from allocations.checks import of_quotas
        from ledger.checks import register

        register(of_quotas)
