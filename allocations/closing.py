"""What the close of a period asks of this floor: no hold of the period is left unsettled."""

from allocations.models import Hold, HoldState
from ledger.closing import Finding, Item, moments, register
from ledger.models import Period


def _holds_settled(period: Period) -> Finding:
    _, after = moments(period)
    left = Hold.objects.filter(
        state=HoldState.UNSETTLED, amount__gt=0, quota__line__isnull=False, worker__heartbeat_at__lt=after
    ).count()
    if not left:
        return Finding(True, "No hold of the period is unsettled.")
    return Finding(False, f"{left} lines carry holds of calls whose end nobody saw.", "/allocations/unsettled/")


register(Item("holds_settled", "Holds are settled", _holds_settled, may_be_accepted=True))
