"""What reconciliation asks of the hot path: what a line can still pay, what a crash left held, and to stop keys."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

from django.db import connection, transaction

from allocations.models import KeyState, QuotaKey
from allocations.selectors.unsettled import LostHold, lost_hold, lost_holds
from allocations.services.holds import hold_charge, hold_release
from allocations.services.keys import key_suspend
from ledger.models import Account, AiModel
from ledger.money import show
from ledger.reconciliation.above import HeldCalls
from teams.errors import Refused
from teams.models import Role, User
from teams.selectors import people_with_role
from teams.services import notification_send

ROOM = """
SELECT q."limit" - q.spent - q.held
  FROM allocations_quota q JOIN allocations_allocationline l ON l.id = q.line_id
 WHERE l.account_id = %s FOR NO KEY UPDATE OF q
"""


class HotPath:
    """The hot path as reconciliation sees it (`ledger.reconciliation.above.HotPath`)."""

    def room(self, account: Account) -> Decimal:
        """Return what a line can still pay, in its currency, and keep it so until the transaction ends."""
        with connection.cursor() as cursor:
            cursor.execute(ROOM, [account.pk])
            row = cursor.fetchone()
        return row[0] if row else Decimal(0)

    def held(self, days: Iterable[date]) -> Sequence[HeldCalls]:
        """Return the calls of these days that were lost in a crash and are still held."""
        wanted = set(days)
        return [_held(hold) for hold in lost_holds() if _day(hold.sent_at) in wanted]

    def settle(
        self, *, actor: User, held: HeldCalls, model: AiModel, cost: Decimal, tokens: Mapping[str, int], reason: str
    ) -> bool:
        """Settle lost calls from the provider's figures; says whether it could be done now."""

        def charge(hold: LostHold) -> object:
            return hold_charge(actor=actor, hold=hold, cost=cost, model=model, tokens=tokens, reason=reason)

        return _with_hold(held, charge)

    def release(self, *, actor: User, held: HeldCalls, reason: str) -> bool:
        """Give back what is held for lost calls that were never made; says whether it could be done now."""
        return _with_hold(held, lambda hold: hold_release(actor=actor, hold=hold, reason=reason))

    @transaction.atomic
    def overage(self, *, actor: User, account: Account, amount: Decimal, reason: str) -> None:
        """Suspend the keys of a line that could not pay a correction, and tell owner and finance."""
        keys = QuotaKey.objects.filter(allocation__lines__account=account, state=KeyState.ACTIVE)
        for key in keys.select_related("allocation__owner").order_by("pk"):
            key_suspend(actor=actor, key=key, reason=f"{reason} Over by {show(amount, account.currency)}.")
            _tell(key, account, amount, reason)


def _with_hold(held: HeldCalls, work: Callable[[LostHold], object]) -> bool:
    hold = lost_hold(*(int(part) for part in held.ref.split(":")))
    if hold is None:
        return False
    try:
        work(hold)
    except Refused as refused:
        # It may come back, or somebody was faster: the next run looks again.
        if refused.code in {"may_come_back", "hold_changed"}:
            return False
        raise
    return True


def _tell(key: QuotaKey, account: Account, amount: Decimal, reason: str) -> None:
    for person in {key.allocation.owner, *people_with_role(Role.FINANCE)}:
        notification_send(
            user=person,
            title=f"Key {key.name} of {key.allocation.number} is suspended",
            body=f"{reason} {account.name} lacked {show(amount, account.currency)}.",
            url=f"/allocations/{key.allocation.number}/",
        )


def _held(hold: LostHold) -> HeldCalls:
    return HeldCalls(
        ref=f"{hold.pk}:{hold.key_hold}",
        account_id=hold.line.account_id,
        tier=hold.line.tier,
        day=_day(hold.sent_at),
        amount=hold.amount,
        words=f"{show(hold.amount, hold.currency)} is held by {hold.held_by}, which went away",
    )


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()
