"""Making allocations, and moving them through their states."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from django.db import connection, transaction

from allocations.models import Allocation, AllocationLine, AllocationState, Quota, StopBehaviour
from allocations.transitions import ALLOCATION
from ledger.models import Account, AccountClass, EntryKind, JournalEntry, Tier
from ledger.money import exact, show
from ledger.selectors import balance, today
from ledger.services import Leg, account_open, entry_post
from teams.access import require
from teams.errors import Refused, WrongState, require_reason
from teams.models import Team, User
from teams.services import audit_record, notification_send


@transaction.atomic
def allocation_create(
    *,
    actor: User,
    team: Team,
    owner: User,
    name: str,
    lines: Mapping[Tier, Decimal],
    funded_from: Account,
    kind: EntryKind,
    starts_on: date,
    ends_on: date,
    stop_behaviour: StopBehaviour,
    reason: str,
    key: str,
) -> Allocation:
    """Give a team budget: commit it out of a pool or the reserve, release it to one line per tier, open quotas.

    Amounts are in the currency of `funded_from`. `key` is the award's idempotency key in the ledger. Everything
    happens in one transaction. Raises Refused (no_lines, amount_not_positive, dates, overdraft).
    """
    amounts = {tier: exact(lines[tier]) for tier in Tier if lines.get(tier)}
    _require_sense(amounts, starts_on, ends_on)
    number = _next_number()
    committed = account_open(
        code=f"committed:A-{number:04d}",
        name=f"Committed: A-{number:04d} {name}",
        account_class=AccountClass.COMMITTED,
        currency=funded_from.currency,
        team=team,
        business_unit_id=team.business_unit_id,
        fiscal_year=funded_from.fiscal_year,
    )
    allocation = Allocation.objects.create(
        pk=number,
        name=name[:160],
        team=team,
        owner=owner,
        state=AllocationState.SCHEDULED if starts_on > today() else AllocationState.ACTIVE,
        stop_behaviour=stop_behaviour,
        starts_on=starts_on,
        ends_on=ends_on,
        committed_account=committed,
        funded_from=funded_from,
    )
    total = sum(amounts.values(), Decimal(0))
    entry_post(
        actor=actor,
        kind=kind,
        source="award",
        key=key,
        legs=[Leg(committed, total), Leg(funded_from, -total)],
        reason=reason,
        memo=f"{kind.label}: {allocation.number} {name}",
    )
    _release(actor, allocation, amounts)
    audit_record(actor=actor, verb="allocation.create", target=allocation, reason=reason)
    return allocation


def _require_sense(amounts: Mapping[Tier, Decimal], starts_on: date, ends_on: date) -> None:
    if not amounts:
        raise Refused("An allocation needs an amount in at least one tier.", code="no_lines", field="amount")
    if any(amount <= 0 for amount in amounts.values()):
        raise Refused("The amount must be more than zero.", code="amount_not_positive", field="amount")
    if ends_on < starts_on:
        raise Refused("The end lies before the start.", code="dates", field="ends_on")


def _next_number() -> int:
    # The number is in the names of the accounts, which exist before the row does.
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('allocations_allocation', 'id'))")
        number: int = cursor.fetchone()[0]
    return number


def _release(actor: User, allocation: Allocation, amounts: Mapping[Tier, Decimal]) -> None:
    lines = [_line_open(allocation, tier) for tier in amounts]
    total = sum(amounts.values(), Decimal(0))
    # The release itself raises the limits, by trigger: a limit is never set beside the ledger.
    Quota.objects.bulk_create(Quota(line=line, currency=line.account.currency, limit=0) for line in lines)
    entry_post(
        actor=actor,
        kind=EntryKind.RELEASE,
        source="release",
        key=f"{allocation.number}:1",
        legs=[
            *(Leg(line.account, amounts[Tier(line.tier)]) for line in lines),
            Leg(allocation.committed_account, -total),
        ],
        memo=f"Released at once: {allocation.number}",
    )


def _line_open(allocation: Allocation, tier: Tier) -> AllocationLine:
    account = account_open(
        code=f"line:{allocation.number}:{tier.value}",
        name=f"{allocation.number} {allocation.name[:120]}, {tier.label}",
        account_class=AccountClass.LINE,
        currency=allocation.committed_account.currency,
        team=allocation.team,
        business_unit_id=allocation.team.business_unit_id,
        tier=tier.value,
        fiscal_year=allocation.committed_account.fiscal_year,
    )
    return AllocationLine.objects.create(allocation=allocation, tier=tier, account=account)


@transaction.atomic
def allocation_suspend(*, actor: User, allocation: Allocation, reason: str) -> Allocation:
    """Stop every key of an allocation until it is resumed, and tell its owner; calls in flight finish.

    Raises NotAllowed, WrongState, Refused (reason_missing).
    """
    _require_may_stop(actor, allocation)
    suspended = _move(actor, allocation, AllocationState.SUSPENDED, "allocation.suspend", reason)
    _tell_owner(suspended, "is suspended", reason)
    return suspended


@transaction.atomic
def allocation_resume(*, actor: User, allocation: Allocation, reason: str) -> Allocation:
    """Let the keys of a suspended allocation spend again, and tell its owner.

    Raises NotAllowed, WrongState unless it is suspended, Refused (reason_missing).
    """
    _require_may_stop(actor, allocation)
    if Allocation.objects.select_for_update().get(pk=allocation.pk).state != AllocationState.SUSPENDED:
        raise WrongState(f"{allocation.number} is not suspended.")
    resumed = _move(actor, allocation, AllocationState.ACTIVE, "allocation.resume", reason)
    _tell_owner(resumed, "may be spent again", reason)
    return resumed


def _require_may_stop(actor: User, allocation: Allocation) -> None:
    words = "Only finance and platform admins suspend and resume an allocation."
    require(actor, "allocations.suspend_allocation", allocation, message=words)


def _tell_owner(allocation: Allocation, what: str, reason: str) -> None:
    notification_send(
        user=allocation.owner,
        title=f"{allocation.number} {allocation.name} {what}",
        body=reason,
        url=f"/allocations/{allocation.number}/",
    )


def allocation_activate(*, actor: User, allocation: Allocation) -> Allocation:
    """Start a scheduled allocation whose first day has come. Raises WrongState."""
    return _move(actor, allocation, AllocationState.ACTIVE, "allocation.activate", "Its first day has come.")


def allocation_expire(*, actor: User, allocation: Allocation) -> Allocation:
    """End an allocation whose last day has passed. Raises WrongState."""
    return _move(actor, allocation, AllocationState.EXPIRED, "allocation.expire", "Its last day has passed.")


@transaction.atomic
def allocation_return(*, actor: User, allocation: Allocation, reason: str) -> JournalEntry | None:
    """Return what an ended allocation did not spend to where it came from; None when nothing is left.

    The limits of its lines go down to what was spent. Raises NotAllowed, Refused (reason_missing, still_held),
    WrongState unless it has expired.
    """
    require(actor, "allocations.grant_budget", message="Only finance returns unused budget.")
    require_reason(reason)
    locked = Allocation.objects.select_for_update().get(pk=allocation.pk)
    if locked.state != AllocationState.EXPIRED:
        raise WrongState(f"{locked.number} is {locked.get_state_display().lower()}; it has to end first.")
    legs = [Leg(account, -left) for account, left in _unspent(locked)]
    if not legs:
        return None
    total = -sum((leg.amount for leg in legs), Decimal(0))
    entry = entry_post(
        actor=actor,
        kind=EntryKind.RETURN,
        source="return",
        key=f"{locked.number}:{JournalEntry.objects.filter(source='return').count()}",
        legs=[Leg(locked.funded_from, total), *legs],
        reason=reason,
        memo=f"Unspent of {locked.number}",
    )
    audit_record(actor=actor, verb="allocation.return", target=locked, reason=reason, details={"entry": entry.pk})
    return entry


def _unspent(allocation: Allocation) -> list[tuple[Account, Decimal]]:
    # In id order, as the metering functions lock them.
    rows = Quota.objects.select_for_update().filter(line__allocation=allocation).order_by("pk")
    quotas = {quota.line_id: quota for quota in rows}
    held = sum((quota.held for quota in quotas.values()), Decimal(0))
    if held:
        currency = allocation.committed_account.currency
        raise Refused(
            f"{show(held, currency)} of {allocation.number} is still held; settle or release it first.",
            code="still_held",
        )
    lines = allocation.lines.select_related("account").order_by("pk")
    found = [(line.account, (quotas[line.pk].limit or Decimal(0)) - quotas[line.pk].spent) for line in lines]
    found.append((allocation.committed_account, balance(allocation.committed_account).amount))
    return [(account, left) for account, left in found if left]


@transaction.atomic
def _move(actor: User, allocation: Allocation, state: AllocationState, verb: str, reason: str) -> Allocation:
    require_reason(reason)
    locked = Allocation.objects.select_for_update().get(pk=allocation.pk)
    if state not in ALLOCATION[AllocationState(locked.state)]:
        raise WrongState(f"{locked.number} is {locked.get_state_display().lower()}.")
    locked.state = state
    locked.save(update_fields=["state"])
    # Closed quotas refuse in the database, whatever a gateway may still have in memory.
    quotas = Quota.objects.filter(line__allocation=locked)
    list(quotas.select_for_update(of=("self",), no_key=True).order_by("pk"))  # in the meter's order
    quotas.update(is_open=state == AllocationState.ACTIVE)
    audit_record(actor=actor, verb=verb, target=locked, reason=reason)
    return locked
