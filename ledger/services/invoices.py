"""Providers' invoices: entered by one person of finance, agreed or refused by another.

Agreeing brings what is billed to the month to what its agreed invoices say. What was metered and is then still in
the clearing account is the difference to explain: by reconciliation, or by an adjustment with two people.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.db import connection, transaction
from djmoney.money import Money

from ledger.models import Account, EntryKind, InvoiceState, JournalEntry, Period, PeriodState, Provider, ProviderInvoice
from ledger.money import exact, exact_money
from ledger.months import month_of
from ledger.selectors.invoices import COUNTED, match_of
from ledger.selectors.journal import today
from ledger.services.posting import Leg, entry_post
from teams.access import require
from teams.errors import Refused, WrongState, require_reason
from teams.models import User
from teams.services import audit_record

ANOTHER = "An invoice is decided by another person of finance."


@transaction.atomic
def invoice_enter(
    *,
    actor: User,
    provider: Provider,
    number: str,
    month: date,
    issued_on: date,
    amount: Money,
    tax: Decimal = Decimal(0),
    note: str = "",
) -> ProviderInvoice:
    """Enter an invoice for the usage of `month` (any day of it); nothing is posted until another person agrees.

    `amount` is without tax, in the currency of the provider's accounts; below zero it is a credit note. Raises
    NotAllowed, Refused (amount_zero, currency_differs, future_date, issued_too_early, number_known), InexactAmount.
    """
    require(actor, "ledger.enter_invoice", message="Only finance enters invoices.")
    first, asked = month.replace(day=1), exact_money(amount)
    for fault in invoice_faults(metered_account(provider), asked.amount, str(asked.currency), first, issued_on):
        raise fault
    invoices_lock([provider.pk])
    if ProviderInvoice.objects.filter(provider=provider, number=number, state__in=COUNTED).exists():
        raise number_known(provider, number)
    invoice = ProviderInvoice.objects.create(
        provider=provider,
        number=number,
        month=first,
        issued_on=issued_on,
        currency=str(asked.currency),
        amount=asked.amount,
        tax=exact(tax),
        note=note,
        entered_by=actor,
    )
    audit_record(actor=actor, verb="invoice.enter", target=invoice, details={"amount": str(asked.amount)})
    return invoice


def invoice_faults(
    metered: Account | None, amount: Decimal | None, currency: str, first: date | None, issued_on: date | None
) -> Iterator[Refused]:
    """Go through what is wrong with an invoice's facts; what is None or blank is not known, and not judged."""
    if amount is not None and not amount:
        yield Refused("An invoice over nothing need not be entered.", code="amount_zero", field="amount")
    if metered and currency and currency != metered.currency:
        words = f"{metered.name} is kept in {metered.currency}; enter the amount in that."
        yield Refused(words, code="currency_differs", field="currency")
    if issued_on and issued_on > today():
        yield Refused(f"{issued_on} lies in the future.", code="future_date", field="issued_on")
    if issued_on and first and issued_on < first:
        yield Refused("It was issued before its month began.", code="issued_too_early", field="issued_on")


def number_known(provider: Provider, number: str) -> Refused:
    """Return the refusal of an invoice that is entered already, and neither refused nor withdrawn."""
    return Refused(f"{provider.name}'s invoice {number} is entered already.", code="number_known", field="number")


@transaction.atomic
def invoice_agree(*, actor: User, invoice: ProviderInvoice) -> ProviderInvoice:
    """Agree to another person's invoice and post what its month is not billed yet, or was billed too much.

    Raises NotAllowed (also for one's own), WrongState, Refused (no_open_period).
    """
    locked = _locked(invoice)
    require(actor, "ledger.decide_invoice", locked, message=ANOTHER)
    return _decide(locked, InvoiceState.AGREED, actor, entry=_post(locked, actor))


@transaction.atomic
def invoice_refuse(*, actor: User, invoice: ProviderInvoice, reason: str) -> ProviderInvoice:
    """Refuse another person's invoice; it counts nowhere. Raises NotAllowed, WrongState, Refused (reason_missing)."""
    locked = _locked(invoice)
    require(actor, "ledger.decide_invoice", locked, message=ANOTHER)
    require_reason(reason)
    return _decide(locked, InvoiceState.REFUSED, actor, reason)


@transaction.atomic
def invoice_withdraw(*, actor: User, invoice: ProviderInvoice) -> ProviderInvoice:
    """Take back one's own invoice before it is decided. Raises NotAllowed, WrongState."""
    locked = _locked(invoice)
    require(actor, "ledger.withdraw_invoice", locked, message="Only who entered an invoice takes it back.")
    return _decide(locked, InvoiceState.WITHDRAWN, actor)


def metered_account(provider: Provider) -> Account:
    """Return a provider's Metered account, which says what currency its invoices are in."""
    return Account.objects.get(code=f"metered:{provider.name}")


def _post(invoice: ProviderInvoice, approver: User) -> JournalEntry | None:
    """Post the difference between what is billed to the month and its agreed invoices with this one."""
    found = match_of(invoice)
    due = found.agreed + invoice.amount - found.billed
    if not due:
        return None
    metered, billed = metered_account(invoice.provider), Account.objects.get(code=f"billed:{invoice.provider.name}")
    return entry_post(
        actor=invoice.entered_by,
        approved_by=approver,
        kind=EntryKind.BILLED,
        source="invoice",
        key=str(invoice.pk),
        legs=[Leg(billed, due), Leg(metered, -due)],
        effective_on=_fact_day(invoice),
        memo=f"Invoice {invoice.number} of {invoice.provider.name} for {invoice.month:%Y-%m}",
    )


def _fact_day(invoice: ProviderInvoice) -> date:
    """Return the month's last day while its period takes it; else the day of issue, after the accrual has ended."""
    last = month_of(invoice.month)[1]
    period = Period.objects.filter(starts_on__lte=last, ends_on__gte=last).exclude(state=PeriodState.CLOSED)
    if period.exclude(entries__kind=EntryKind.ACCRUAL).exists():
        return min(last, today())
    return max(invoice.issued_on, last + timedelta(days=1))


def invoices_lock(provider_ids: Iterable[int]) -> None:
    """Let one invoice at a time per provider be entered or decided: two would both post what the month lacks."""
    with connection.cursor() as cursor:
        for pk in sorted(set(provider_ids)):
            cursor.execute("SELECT pg_advisory_xact_lock(7246885, %s)", [pk % 2**31])


def _locked(invoice: ProviderInvoice) -> ProviderInvoice:
    invoices_lock([invoice.provider_id])
    rows = ProviderInvoice.objects.select_for_update(of=("self",)).select_related("provider", "entered_by")
    locked = rows.get(pk=invoice.pk)
    if locked.state != InvoiceState.ENTERED:
        raise WrongState(f"{locked} is {locked.get_state_display().lower()}.")
    return locked


def _decide(
    invoice: ProviderInvoice, state: InvoiceState, actor: User, reason: str = "", entry: JournalEntry | None = None
) -> ProviderInvoice:
    invoice.state, invoice.decided_by, invoice.decided_at = state, actor, datetime.now(UTC)
    invoice.decision_reason, invoice.entry = reason, entry
    invoice.save(update_fields=["state", "decided_by", "decided_at", "decision_reason", "entry"])
    details = {"entry": entry.pk} if entry else {}
    audit_record(actor=actor, verb=f"invoice.{state.value}", target=invoice, reason=reason, details=details)
    return invoice
