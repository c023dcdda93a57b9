"""What a team or finance may say about a line besides its money, which is the ledger's."""

from django.db import transaction

from allocations.models import Allocation, AllocationLine, AllocationState, Quota
from teams.access import require
from teams.errors import Refused, WrongState, require_reason
from teams.models import User
from teams.services import audit_record


@transaction.atomic
def line_tokens_set(*, actor: User, line: AllocationLine, tokens: int | None, reason: str) -> AllocationLine:
    """Limit a line in tokens, input and output together, or lift that limit with None; its money stays the ledger's.

    Raises NotAllowed, WrongState for an allocation that has ended, or Refused (reason_missing, limit_not_positive,
    limit_below_use).
    """
    require(actor, "allocations.limit_allocationline", line, message="Only leads and finance limit a line's tokens.")
    require_reason(reason)
    allocation = Allocation.objects.select_for_update().get(pk=line.allocation_id)
    if allocation.state in {AllocationState.EXPIRED, AllocationState.CLOSED}:
        raise WrongState(f"{allocation.number} is {allocation.get_state_display().lower()}.")
    quota = Quota.objects.select_for_update().get(line=line)
    _require_room(quota, tokens)
    Quota.objects.filter(pk=quota.pk).update(token_limit=tokens)
    details = {"tier": line.tier, "tokens": [quota.token_limit, tokens]}
    audit_record(actor=actor, verb="line.tokens_set", target=allocation, reason=reason, details=details)
    return line


def _require_room(quota: Quota, tokens: int | None) -> None:
    if tokens is None:
        return
    if tokens <= 0:
        raise Refused("A limit must be more than zero.", code="limit_not_positive", field="tokens")
    used = quota.tokens_spent + quota.tokens_held
    if tokens < used:
        message = f"The line has used and holds {used:,} tokens: its limit cannot be lower."
        raise Refused(message, code="limit_below_use", field="tokens")
