from django.apps import AppConfig


class AllocationsConfig(AppConfig):
    name = "allocations"

    def ready(self) -> None:
        """Say what of this floor waits for finance, what it reports and proves, what a close asks, what verbs mean."""
        from allocations import closing  # noqa: F401 - its import registers them, once models are there
        from allocations.checks import of_quotas
        from allocations.reports import REPORTS
        from allocations.sandbox.feed import here as sandbox_answer
        from allocations.services.reconciled import HotPath
        from allocations.verbs import DETAILS, VERBS
        from allocations.waiting import of_allocations
        from ledger import checks, waiting
        from ledger.providers import sandbox as sandbox_feed
        from ledger.reconciliation import above
        from ledger.reports import base as reports
        from teams import verbs

        reports.register(*REPORTS)
        checks.register(of_quotas)
        waiting.register(of_allocations)
        verbs.register(VERBS, DETAILS)
        above.register(HotPath())
        sandbox_feed.register(sandbox_answer)
