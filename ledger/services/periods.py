"""The close of a period: open, closing, closed; and its reopening by two people."""

from datetime import UTC, datetime
from decimal import Decimal

from django.db import transaction

from ledger.closing import checklist, clearing, item_of
from ledger.models import (
    Account,
    AccountClass,
    CloseAcceptance,
    EntryKind,
    JournalEntry,
    Period,
    PeriodReopening,
    PeriodState,
    ReopeningState,
)
from ledger.selectors.journal import today
from ledger.services.funding import account_open
from ledger.services.posting import Leg, accounts_lock, entry_post, entry_reverse
from teams.access import require
from teams.errors import Refused, WrongState, require_reason
from teams.models import User
from teams.services import audit_record

ONLY_FINANCE = "Only finance closes periods."


@transaction.atomic
def period_close_begin(*, actor: User, period: Period) -> Period:
    """Let a period that is over take nothing but what its close needs. Raises NotAllowed, WrongState, Refused."""
    require(actor, "ledger.close_period", message=ONLY_FINANCE)
    locked = _locked(period, PeriodState.OPEN)
    if today() <= locked.ends_on:
        raise Refused(f"Period {locked} runs until {locked.ends_on}.", code="period_not_over")
    return _move(actor, locked, PeriodState.CLOSING)


@transaction.atomic
def period_close_stop(*, actor: User, period: Period, reason: str) -> Period:
    """Open a period again that is only closing. Raises NotAllowed, WrongState, Refused (reason_missing)."""
    require(actor, "ledger.close_period", message=ONLY_FINANCE)
    require_reason(reason)
    return _move(actor, _locked(period, PeriodState.CLOSING), PeriodState.OPEN, reason)


@transaction.atomic
def period_accept(*, actor: User, period: Period, item: str, reason: str) -> CloseAcceptance:
    """Accept an open item of a closing period's checklist as it is found now.

    Raises NotAllowed, WrongState, Refused (unknown_item, not_acceptable, already_done, reason_missing).
    """
    require(actor, "ledger.close_period", message=ONLY_FINANCE)
    locked = _locked(period, PeriodState.CLOSING)
    known = item_of(item)
    if known is None:
        raise Refused(f"There is no checklist item {item!r}.", code="unknown_item")
    if not known.may_be_accepted:
        raise Refused(f"“{known.title}” has to be done; it cannot be accepted as it is.", code="not_acceptable")
    finding = known.look(locked)
    if finding.is_done:
        raise Refused(f"“{known.title}” is done.", code="already_done")
    require_reason(reason)
    audit_record(actor=actor, verb="period.accept", target=locked, reason=reason, details={"item": item})
    return CloseAcceptance.objects.create(
        period=locked, item=item, found=finding.words, reason=reason, accepted_by=actor
    )


@transaction.atomic
def period_accrue(*, actor: User, period: Period) -> list[JournalEntry]:
    """Accrue what a closing period metered and no provider billed yet: one entry per Metered account.

    Dated on the period's last day; the close reverses it on the day after. Raises NotAllowed, WrongState.
    """
    require(actor, "ledger.close_period", message=ONLY_FINANCE)
    _take_clearing_accounts()
    locked = _locked(period, PeriodState.CLOSING)
    return [_accrue(actor, locked, row.account, row.left) for row in clearing(locked)]


def _accrue(actor: User, period: Period, metered: Account, left: Decimal) -> JournalEntry:
    before = JournalEntry.objects.filter(kind=EntryKind.ACCRUAL, period=period, postings__account=metered).count()
    return entry_post(
        actor=actor,
        kind=EntryKind.ACCRUAL,
        source="accrual",
        key=f"{period}:{metered.code}:{before + 1}",
        legs=[Leg(accrued_account(metered), left), Leg(metered, -left)],
        effective_on=period.ends_on,
        memo=f"Usage of {period} not yet billed: {metered.name}",
    )


def accrued_account(metered: Account) -> Account:
    """Return the Accrued account beside a Metered one, opened when it is new."""
    name = metered.code.removeprefix("metered:")
    return account_open(
        code=f"accrued:{name}",
        name=f"Accrued: {name}",
        account_class=AccountClass.ACCRUED,
        currency=metered.currency,
        provider=metered.provider,
    )


@transaction.atomic
def period_close(*, actor: User, period: Period) -> Period:
    """Close a closing period whose checklist is done or accepted, and reverse its accruals on the day after.

    Raises NotAllowed, WrongState, Refused (checklist_open, no_open_period).
    """
    require(actor, "ledger.close_period", message=ONLY_FINANCE)
    _take_clearing_accounts()
    locked = _locked(period, PeriodState.CLOSING)
    open_ = [checked.item.title for checked in checklist(locked) if not checked.is_settled]
    if open_:
        raise Refused(f"Still open: {'; '.join(open_)}.", code="checklist_open")
    _reverse_accruals(actor, locked)
    return _move(actor, locked, PeriodState.CLOSED)


def _reverse_accruals(actor: User, period: Period) -> None:
    later = Period.objects.filter(starts_on__gt=period.ends_on, state=PeriodState.OPEN)
    following = later.order_by("starts_on").first()
    accruals = JournalEntry.objects.filter(kind=EntryKind.ACCRUAL, period=period, reversed_by=None)
    if following is None and accruals.exists():
        raise Refused(
            "The accruals are reversed in the next period, and none is open: open the next fiscal year first.",
            code="no_open_period",
        )
    for entry in accruals:
        reason = f"The accrual of {period} ends with the period."
        day = following.starts_on if following else None
        entry_reverse(actor=actor, entry=entry, reason=reason, approved_by=None, effective_on=day)


@transaction.atomic
def period_reopen_ask(*, actor: User, period: Period, reason: str) -> PeriodReopening:
    """Ask to reopen a closed period. Raises NotAllowed, WrongState, Refused (reason_missing, already_asked)."""
    require(actor, "ledger.close_period", message=ONLY_FINANCE)
    require_reason(reason)
    locked = _locked(period, PeriodState.CLOSED)
    if locked.reopenings.filter(state=ReopeningState.ASKED).exists():
        raise Refused("Somebody has asked already; it waits for a second person.", code="already_asked")
    asked = PeriodReopening.objects.create(period=locked, reason=reason, asked_by=actor)
    audit_record(actor=actor, verb="period.reopen_ask", target=locked, reason=reason)
    return asked


@transaction.atomic
def period_reopen_decide(*, actor: User, reopening: PeriodReopening, is_granted: bool) -> Period:
    """Grant or refuse what another person asked; granted, the period is open again.

    Raises NotAllowed (also for one's own request), WrongState.
    """
    locked = PeriodReopening.objects.select_for_update(of=("self",)).select_related("period").get(pk=reopening.pk)
    require(actor, "ledger.reopen_period", locked, message="A second person of finance decides on reopening.")
    if locked.state != ReopeningState.ASKED:
        raise WrongState(f"This request is {locked.get_state_display().lower()}.")
    locked.state = ReopeningState.GRANTED if is_granted else ReopeningState.REFUSED
    locked.decided_by, locked.decided_at = actor, datetime.now(UTC)
    locked.save(update_fields=["state", "decided_by", "decided_at"])
    audit_record(actor=actor, verb=f"period.reopen_{locked.state}", target=locked.period, reason=locked.reason)
    if not is_granted:
        return locked.period
    return _move(actor, _locked(locked.period, PeriodState.CLOSED), PeriodState.OPEN, locked.reason)


def _take_clearing_accounts() -> None:
    # Entries take their accounts before their period: in the other order a close and an hour's usage wait for each
    # other, and one of them is thrown out.
    accounts_lock(Account.objects.filter(account_class__in=[AccountClass.METERED, AccountClass.ACCRUED]))


def _locked(period: Period, state: PeriodState) -> Period:
    locked = Period.objects.select_for_update().get(pk=period.pk)
    if locked.state != state:
        raise WrongState(f"Period {locked} is {locked.get_state_display().lower()}.")
    return locked


def _move(actor: User, period: Period, state: PeriodState, reason: str = "") -> Period:
    period.state = state
    period.save(update_fields=["state"])
    audit_record(actor=actor, verb=f"period.{state.value}", target=period, reason=reason)
    return period
