from django.apps import AppConfig


class PitchesConfig(AppConfig):
    name = "pitches"

    def ready(self) -> None:
        from ledger.reports.base import register
        from pitches.reports import AwardRegister

        register(AwardRegister)
