from django.apps import AppConfig


class AllocationsConfig(AppConfig):
    name = "allocations"

    def ready(self) -> None:
        from allocations.checks import of_quotas
        from ledger.checks import register

        register(of_quotas)
