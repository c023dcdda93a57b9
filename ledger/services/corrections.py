"""Corrections: proposed by one person, decided by another, posted as an entry of their own."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

from django.db import transaction

from ledger.models import Correction, CorrectionLeg, CorrectionState, EntryKind, JournalEntry
from ledger.selectors.journal import today
from ledger.services.posting import Leg, entry_post, entry_reverse, require_balance
from teams.access import require
from teams.errors import Refused, WrongState, require_reason
from teams.models import User
from teams.services import audit_record

# What the subledger or a provider's figure stands behind is corrected there, not by turning the entry round.
NOT_REVERSIBLE = frozenset({EntryKind.USAGE, EntryKind.OVERAGE, EntryKind.REVERSAL})


@transaction.atomic
def adjustment_propose(
    *, actor: User, legs: Sequence[Leg], reason: str, memo: str = "", effective_on: date | None = None
) -> Correction:
    """Propose an adjustment; nothing is posted until another person approves it.

    Raises NotAllowed, Refused (reason_missing, unbalanced, future_date), InexactAmount.
    """
    require(actor, "ledger.propose_correction", message="Only finance proposes corrections.")
    require_reason(reason, "A correction needs a reason.")
    require_balance(legs)
    day = effective_on or today()
    if day > today():
        raise Refused(f"{day} lies in the future.", code="future_date", field="effective_on")
    correction = Correction.objects.create(reason=reason, memo=memo[:300], effective_on=day, proposed_by=actor)
    CorrectionLeg.objects.bulk_create(
        CorrectionLeg(correction=correction, account=leg.account, amount=leg.amount) for leg in legs
    )
    audit_record(actor=actor, verb="correction.propose", target=correction, reason=reason)
    return correction


@transaction.atomic
def reversal_propose(*, actor: User, entry: JournalEntry, reason: str) -> Correction:
    """Propose to reverse an entry; nothing is posted until another person approves it.

    Raises NotAllowed, Refused (reason_missing, already_reversed, not_reversible, already_proposed).
    """
    require(actor, "ledger.propose_correction", message="Only finance proposes corrections.")
    require_reason(reason, "A correction needs a reason.")
    if EntryKind(entry.kind) in NOT_REVERSIBLE:
        raise Refused(
            f"A {entry.get_kind_display().lower()} entry is not reversed; propose an adjustment.", code="not_reversible"
        )
    if JournalEntry.objects.filter(reverses=entry).exists():
        raise Refused(f"Entry {entry} is already reversed.", code="already_reversed")
    if Correction.objects.filter(reverses=entry, state=CorrectionState.PROPOSED).exists():
        raise Refused(f"A reversal of {entry} already waits for a decision.", code="already_proposed")
    correction = Correction.objects.create(
        reverses=entry, reason=reason, memo=f"Reverses {entry}", effective_on=today(), proposed_by=actor
    )
    audit_record(actor=actor, verb="correction.propose", target=correction, reason=reason)
    return correction


@transaction.atomic
def correction_approve(*, actor: User, correction: Correction) -> JournalEntry:
    """Approve a correction of somebody else and post it; returns the entry.

    Raises NotAllowed (also for one's own), WrongState, Refused (overdraft, no_open_period).
    """
    locked = _locked(correction)
    require(actor, "ledger.decide_correction", locked, message="A correction is decided by another person of finance.")
    entry = _post(locked, actor)
    _decide(locked, CorrectionState.APPROVED, actor, "", entry)
    return entry


@transaction.atomic
def correction_refuse(*, actor: User, correction: Correction, reason: str) -> Correction:
    """Refuse a correction of somebody else. Raises NotAllowed, WrongState, Refused (reason_missing)."""
    locked = _locked(correction)
    require(actor, "ledger.decide_correction", locked, message="A correction is decided by another person of finance.")
    require_reason(reason, "A correction needs a reason.")
    return _decide(locked, CorrectionState.REFUSED, actor, reason)


@transaction.atomic
def correction_withdraw(*, actor: User, correction: Correction) -> Correction:
    """Take back one's own correction before it is decided. Raises NotAllowed, WrongState."""
    locked = _locked(correction)
    require(actor, "ledger.withdraw_correction", locked, message="Only who proposed a correction takes it back.")
    return _decide(locked, CorrectionState.WITHDRAWN, actor, "")


def _post(correction: Correction, approver: User) -> JournalEntry:
    if correction.reverses is not None:
        return entry_reverse(
            actor=correction.proposed_by, entry=correction.reverses, reason=correction.reason, approved_by=approver
        )
    return entry_post(
        actor=correction.proposed_by,
        approved_by=approver,
        kind=EntryKind.ADJUSTMENT,
        source="correction",
        key=str(correction.pk),
        legs=[Leg(leg.account, leg.amount) for leg in correction.legs.select_related("account")],
        effective_on=correction.effective_on,
        reason=correction.reason,
        memo=correction.memo,
    )


def _locked(correction: Correction) -> Correction:
    rows = Correction.objects.select_for_update(of=("self",)).select_related("proposed_by", "reverses")
    locked = rows.get(pk=correction.pk)
    if locked.state != CorrectionState.PROPOSED:
        raise WrongState(f"{locked} is {locked.get_state_display().lower()}.")
    return locked


def _decide(
    correction: Correction, state: CorrectionState, actor: User, reason: str, entry: JournalEntry | None = None
) -> Correction:
    correction.state, correction.decided_by, correction.decided_at = state, actor, datetime.now(UTC)
    correction.decision_reason, correction.entry = reason, entry
    correction.save(update_fields=["state", "decided_by", "decided_at", "decision_reason", "entry"])
    details = {"entry": entry.pk} if entry else {}
    audit_record(actor=actor, verb=f"correction.{state.value}", target=correction, reason=reason, details=details)
    return correction
