"""What time does to allocations, keys, workers and outside calls. Every step looks at rows and may run twice."""

from django.db import connection, transaction

from allocations.metering import LAPSE_AFTER_SECONDS
from allocations.models import Allocation, AllocationState, KeyState, QuotaKey
from allocations.services.allocation import allocation_activate, allocation_expire
from allocations.services.keys import key_suspend
from ledger.selectors import today
from teams.models import Role, User
from teams.selectors import people_with_role
from teams.services import notification_send

OUTSIDE_KEPT_DAYS = 7
OVERAGE = "A call cost more than it could have: the provider counted more tokens than the request allowed."


def sweep_run(*, actor: User) -> dict[str, int]:
    """Do what is due and say how much of each that was."""
    return {
        "workers_lapsed": workers_lapse(),
        "allocations_started": allocations_start(actor=actor),
        "allocations_expired": allocations_end(actor=actor),
        "keys_suspended": overage_keys_suspend(actor=actor),
        "outside_calls_forgotten": outside_calls_forget(),
    }


def workers_lapse() -> int:
    """Mark processes without a heartbeat as lapsed and their holds as unsettled; returns how many processes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT allocations_lapse(make_interval(secs => %s))", [LAPSE_AFTER_SECONDS])
        lapsed: int = cursor.fetchone()[0]
    return lapsed


def outside_calls_forget() -> int:
    """Forget calls from outside that ended a week ago, and with them what their callers' ids stand for."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT allocations_outside_forget(make_interval(days => %s))", [OUTSIDE_KEPT_DAYS])
        forgotten: int = cursor.fetchone()[0]
    return forgotten


def allocations_start(*, actor: User) -> int:
    """Start scheduled allocations whose first day has come; returns how many."""
    due = list(Allocation.objects.filter(state=AllocationState.SCHEDULED, starts_on__lte=today()))
    for allocation in due:
        allocation_activate(actor=actor, allocation=allocation)
    return len(due)


def allocations_end(*, actor: User) -> int:
    """End allocations whose last day has passed; returns how many."""
    states = [AllocationState.ACTIVE, AllocationState.SUSPENDED, AllocationState.EXHAUSTED]
    due = list(Allocation.objects.filter(state__in=states, ends_on__lt=today()))
    for allocation in due:
        allocation_expire(actor=actor, allocation=allocation)
    return len(due)


def overage_keys_suspend(*, actor: User) -> int:
    """Suspend keys that the metering hook closed because of overage, and tell the owner and finance."""
    closed = QuotaKey.objects.filter(state=KeyState.ACTIVE, quota__is_open=False)
    keys = list(closed.select_related("allocation__owner"))
    for key in keys:
        _suspend_and_tell(actor, key)
    return len(keys)


@transaction.atomic
def _suspend_and_tell(actor: User, key: QuotaKey) -> None:
    key_suspend(actor=actor, key=key, reason=OVERAGE)
    owner = key.allocation.owner
    for person in {owner, *people_with_role(Role.FINANCE)}:
        notification_send(
            user=person,
            title=f"Key {key.name} of {key.allocation.number} is suspended",
            body=OVERAGE,
            url=f"/allocations/{key.allocation.number}/",
        )
