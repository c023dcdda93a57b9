"""What providers invoice: entered by one person of finance, decided by another, matched to its service month."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from djmoney.money import Money

from ledger.models.journal import JournalEntry
from ledger.models.rates import Provider
from ledger.money import CURRENCY, ExactAmountField, scale_check


class InvoiceState(models.TextChoices):
    """Where an invoice stands; one that was refused or withdrawn counts nowhere."""

    ENTERED = "entered", "Waits for a second person"
    AGREED = "agreed", "Agreed"
    REFUSED = "refused", "Refused"
    WITHDRAWN = "withdrawn", "Withdrawn"


class ProviderInvoice(models.Model):
    """A provider's invoice, or credit note, for the usage of one month. Agreed, the month's Billed is what it says."""

    provider = models.ForeignKey(Provider, models.PROTECT, related_name="invoices")
    number = models.CharField(max_length=80, help_text="As printed on it.")
    month = models.DateField(help_text="First day of the month whose usage it is for.")
    issued_on = models.DateField()
    currency = models.CharField(max_length=3, default=CURRENCY)
    amount = ExactAmountField(help_text="Without tax; below zero for a credit note.")
    tax = ExactAmountField(db_default=0, help_text="Tax on it, which no budget pays.")
    note = models.CharField(max_length=300, blank=True)
    state = models.CharField(max_length=10, choices=InvoiceState, default=InvoiceState.ENTERED)
    entered_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    entered_at = models.DateTimeField(db_default=Now(), editable=False)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    decision_reason = models.TextField(blank=True)
    entry = models.OneToOneField(
        JournalEntry,
        models.PROTECT,
        null=True,
        related_name="invoice",
        help_text="What agreeing to it posted; none when that much was billed already.",
    )

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=InvoiceState.values), name="invoice_state_known"),
            models.CheckConstraint(condition=Q(month__day=1), name="invoice_month_is_a_first_day"),
            models.CheckConstraint(condition=Q(issued_on__gte=F("month")), name="invoice_issued_after_its_month_began"),
            models.CheckConstraint(condition=~Q(amount=0), name="invoice_amount_not_zero"),
            scale_check("amount", "invoice_amount_scale"),
            scale_check("tax", "invoice_tax_scale"),
            models.CheckConstraint(
                condition=~Q(state__in=["agreed", "refused"])
                | (Q(decided_by__isnull=False) & ~Q(decided_by=F("entered_by"))),
                name="invoice_decided_by_another",
            ),
            models.CheckConstraint(condition=Q(state="agreed") | Q(entry=None), name="invoice_posted_when_agreed"),
            models.CheckConstraint(
                condition=~Q(state="refused") | ~Q(decision_reason=""), name="invoice_refused_for_a_reason"
            ),
            models.UniqueConstraint(
                fields=["provider", "number"],
                condition=Q(state__in=["entered", "agreed"]),
                name="invoice_number_once_a_provider",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["provider", "month"], name="invoice_by_month")]

    def __str__(self) -> str:
        return f"{self.provider.name} {self.number}"

    @property
    def money(self) -> Money:
        """Return the invoiced amount without tax."""
        return Money(self.amount, self.currency)
