from django.apps import AppConfig


class MarketplaceConfig(AppConfig):
    name = "marketplace"

    def ready(self) -> None:
        """Let tasks that any process sends go to our broker."""
        from marketplace import celery  # noqa: F401
