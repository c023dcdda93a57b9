from django.apps import AppConfig


class AllocationsConfig(AppConfig):
    name = "allocations"

    def ready(self) -> None:
        from allocations.waiting import of_allocations
        from ledger import waiting

        waiting.register(of_allocations)
