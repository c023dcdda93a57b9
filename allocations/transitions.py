"""Which state may follow which, for allocations and keys."""

from allocations.models import AllocationState, KeyState

ALLOCATION: dict[AllocationState, frozenset[AllocationState]] = {
    AllocationState.SCHEDULED: frozenset({AllocationState.ACTIVE, AllocationState.CLOSED}),
    AllocationState.ACTIVE: frozenset(
        {AllocationState.SUSPENDED, AllocationState.EXHAUSTED, AllocationState.EXPIRED, AllocationState.CLOSED}
    ),
    AllocationState.SUSPENDED: frozenset({AllocationState.ACTIVE, AllocationState.EXPIRED, AllocationState.CLOSED}),
    AllocationState.EXHAUSTED: frozenset({AllocationState.ACTIVE, AllocationState.EXPIRED, AllocationState.CLOSED}),
    AllocationState.EXPIRED: frozenset({AllocationState.CLOSED}),
    AllocationState.CLOSED: frozenset(),
}

KEY: dict[KeyState, frozenset[KeyState]] = {
    KeyState.ACTIVE: frozenset({KeyState.SUSPENDED, KeyState.REVOKED}),
    KeyState.SUSPENDED: frozenset({KeyState.ACTIVE, KeyState.REVOKED}),
    KeyState.REVOKED: frozenset(),
}
