"""The one way to have lines judged again: whatever changed that a judgement rests on, the next run sees to them."""

from django.db.models import QuerySet

from ledger.models import Outcome, ReconciliationLine


def lines_ask_again(rows: QuerySet[ReconciliationLine]) -> int:
    """Have lines judged again by the next run, agreed ones too; returns how many.

    What was posted for them stays until then, and goes where it belongs with that run.
    """
    return rows.update(outcome=Outcome.NEW, is_agreed=False)
