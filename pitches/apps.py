from django.apps import AppConfig


class PitchesConfig(AppConfig):
    name = "pitches"

    def ready(self) -> None:
        from ledger.reports.base import register
        from pitches.reports import AwardRegister
        from pitches.verbs import VERBS
        from teams import verbs

        register(AwardRegister)
        verbs.register(VERBS)
