from django.apps import AppConfig


class MarketplaceConfig(AppConfig):
    name = "marketplace"

    def ready(self) -> None:
        """Let tasks that any process sends go to our broker."""
        from marketplace import celery  # noqa: F401 - its import makes it the current one
