from django.apps import AppConfig


class AllocationsConfig(AppConfig):
    name = "allocations"

    def ready(self) -> None:
        """Add this floor's items to the close checklist."""
        from allocations import closing  # noqa: F401 - its import registers them, once models are there
