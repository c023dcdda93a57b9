from django.apps import AppConfig


class PitchesConfig(AppConfig):
    name = "pitches"

    def ready(self) -> None:
        from ledger.reports.base import register
        from pitches.reports import AwardRegister
        from pitches.selectors.doors import closed_events, closed_lines
        from pitches.verbs import VERBS
        from pitches.waiting import waiting_for
        from teams import verbs, waiting, withheld

        register(AwardRegister)
        verbs.register(VERBS)
        waiting.register(waiting_for)
        withheld.register(lines=closed_lines, events=closed_events)
