from django.apps import AppConfig


class LedgerConfig(AppConfig):
    name = "ledger"

    def ready(self) -> None:
        from ledger import waiting

        waiting.register(waiting.of_the_ledger)
