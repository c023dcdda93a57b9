"""Chart of accounts, periods, journal entries, postings, stored balances and seals.

The rules are kept by the database, in `ledger/sql/journal.sql`; what stands here is their shape.
"""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from djmoney.money import Money

from ledger.money import CURRENCY, ExactAmountField, scale_check
from teams.models import BusinessUnit, Team


class AccountClass(models.TextChoices):
    """What an account stands for; routing rules are written in these."""

    AUTHORITY = "authority", "Budget authority"
    RESERVE = "reserve", "Reserve"
    POOL = "pool", "Pool"
    COMMITTED = "committed", "Committed"
    LINE = "line", "Allocation line"
    METERED = "metered", "Metered"
    BILLED = "billed", "Billed"
    VARIANCE = "variance", "Variance"
    ACCRUED = "accrued", "Accrued"
    TRADING = "trading", "Currency trading"


ENVELOPES = (AccountClass.RESERVE, AccountClass.POOL, AccountClass.COMMITTED, AccountClass.LINE)


class Account(models.Model):
    """An account of one class in one currency; envelopes may not be overdrawn."""

    code = models.CharField(max_length=80, unique=True, help_text="Readable and stable, such as line:A-0042:frontier.")
    name = models.CharField(max_length=160)
    account_class = models.CharField(max_length=12, choices=AccountClass)
    currency = models.CharField(max_length=3, default=CURRENCY)
    no_overdraft = models.BooleanField(help_text="Its balance (debits minus credits) may not go below zero.")
    team = models.ForeignKey(Team, models.PROTECT, null=True, blank=True, related_name="accounts")
    business_unit = models.ForeignKey(BusinessUnit, models.PROTECT, null=True, blank=True, related_name="accounts")
    provider = models.ForeignKey("ledger.Provider", models.PROTECT, null=True, blank=True, related_name="accounts")
    tier = models.CharField(max_length=10, blank=True)
    fiscal_year = models.ForeignKey(
        "ledger.FiscalYear",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="accounts",
        help_text="Whose budget the money in it is; blank for accounts that outlive a year.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["id", "currency"], name="account_currency_target"),
            models.CheckConstraint(condition=Q(account_class__in=AccountClass.values), name="account_class_known"),
            models.CheckConstraint(
                condition=Q(no_overdraft=True) | ~Q(account_class__in=ENVELOPES),
                name="account_envelope_no_overdraft",
            ),
        ]

    def __str__(self) -> str:
        return self.code


class AccountBalance(models.Model):
    """The stored balance of an account: one row, written only by the posting trigger."""

    account = models.OneToOneField(Account, models.PROTECT, primary_key=True, related_name="stored")
    currency = models.CharField(max_length=3)
    no_overdraft = models.BooleanField()
    debits = ExactAmountField(db_default=0)
    credits = ExactAmountField(db_default=0)
    version = models.BigIntegerField(db_default=0)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(no_overdraft=False) | Q(debits__gte=F("credits")), name="account_not_overdrawn"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account_id}: {self.balance}"

    @property
    def balance(self) -> Money:
        """Return debits minus credits."""
        return Money(self.debits - self.credits, self.currency)


class FiscalYear(models.Model):
    """A budget year."""

    name = models.CharField(max_length=20, unique=True)
    starts_on = models.DateField()
    ends_on = models.DateField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(ends_on__gt=F("starts_on")), name="fiscal_year_dates_in_order"),
        ]

    def __str__(self) -> str:
        return self.name


class PeriodState(models.TextChoices):
    """Where a period stands; only an open one takes entries."""

    OPEN = "open", "Open"
    CLOSING = "closing", "Closing"
    CLOSED = "closed", "Closed"


class Period(models.Model):
    """An accounting month. Periods do not overlap (exclusion constraint)."""

    fiscal_year = models.ForeignKey(FiscalYear, models.PROTECT, related_name="periods")
    starts_on = models.DateField(unique=True)
    ends_on = models.DateField()
    state = models.CharField(max_length=8, choices=PeriodState, default=PeriodState.OPEN)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(ends_on__gte=F("starts_on")), name="period_dates_in_order"),
            models.CheckConstraint(condition=Q(state__in=PeriodState.values), name="period_state_known"),
        ]

    def __str__(self) -> str:
        return f"{self.starts_on:%Y-%m}"


class EntryKind(models.TextChoices):
    """Why money moved; each kind may only touch certain account classes (routing)."""

    FUND = "fund", "Funding of the fiscal year"
    SUPPLEMENT = "supplement", "Supplementary funding"
    CUT = "cut", "Budget cut"
    LAPSE = "lapse", "Lapsed at year end"
    CONVERSION = "conversion", "Currency conversion"
    POOL_OPEN = "pool_open", "Pool opened"
    POOL_RETURN = "pool_return", "Pool returned to the reserve"
    AWARD = "award", "Award accepted"
    GRANT = "grant", "Grant out of the reserve"
    RELEASE = "release", "Tranche released"
    USAGE = "usage", "Metered usage"
    OVERAGE = "overage", "Usage beyond its hold"
    BILLED = "billed", "Provider's figure agreed"
    DIFFERENCE = "difference", "Difference attributed"
    RETURN = "return", "Unused budget returned"
    TRANSFER = "transfer", "Moved between lines"
    ACCRUAL = "accrual", "Accrual of usage not yet billed"
    ADJUSTMENT = "adjustment", "Adjustment"
    REVERSAL = "reversal", "Reversal"


# What a period that is closing still takes: what its close needs (also in `ledger_entry_begin`).
CLOSING_KINDS = frozenset(
    {
        EntryKind.USAGE,
        EntryKind.OVERAGE,
        EntryKind.BILLED,
        EntryKind.DIFFERENCE,
        EntryKind.ACCRUAL,
        EntryKind.ADJUSTMENT,
        EntryKind.REVERSAL,
    }
)


class Routing(models.Model):
    """One allowed pair: an entry of this kind may debit that class against that class."""

    kind = models.CharField(max_length=12, choices=EntryKind)
    debit_class = models.CharField(max_length=12, choices=AccountClass)
    credit_class = models.CharField(max_length=12, choices=AccountClass)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["kind", "debit_class", "credit_class"], name="routing_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.debit_class} / {self.credit_class}"


class JournalEntry(models.Model):
    """A balanced movement of money. Never changed; a correction is another entry."""

    kind = models.CharField(max_length=12, choices=EntryKind)
    source = models.CharField(max_length=40, help_text="The part of Tank that posted it; scope of the key.")
    key = models.CharField(max_length=160, help_text="Idempotency key within the source.")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the input, to tell a repeat from a clash.")
    period = models.ForeignKey(Period, models.PROTECT, related_name="entries")
    effective_on = models.DateField(help_text="The date of the fact; may lie before its period when it came late.")
    recorded_at = models.DateTimeField(db_default=Now(), editable=False)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    reason = models.TextField(blank=True)
    memo = models.CharField(max_length=300, blank=True)
    reverses = models.OneToOneField("self", models.PROTECT, null=True, related_name="reversed_by")
    # No column: true only of what `entry_post` has just posted, so that a repeated call writes no history twice.
    is_new = False

    class Meta:
        verbose_name_plural = "journal entries"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["source", "key"], name="entry_idempotency_key"),
            models.CheckConstraint(condition=Q(kind__in=EntryKind.values), name="entry_kind_known"),
            models.CheckConstraint(
                condition=Q(kind="reversal", reverses__isnull=False) | (~Q(kind="reversal") & Q(reverses=None)),
                name="entry_reversal_names_its_entry",
            ),
            models.CheckConstraint(
                condition=Q(approved_by=None) | ~Q(approved_by=F("actor")), name="entry_approver_is_another"
            ),
            # That the second person is there at all for these kinds is the trigger's to say: an accrual's own
            # reversal on the first day of the next period needs none.
            models.CheckConstraint(
                condition=~Q(kind__in=["adjustment", "reversal", "cut", "lapse"]) | ~Q(reason=""),
                name="entry_correction_has_a_reason",
            ),
            models.CheckConstraint(
                condition=~Q(kind="adjustment") | Q(approved_by__isnull=False),
                name="entry_adjustment_is_approved",
            ),
            # Its second person is whoever recorded the exchange rate.
            models.CheckConstraint(
                condition=~Q(kind="conversion") | Q(approved_by__isnull=False),
                name="entry_conversion_is_approved",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["effective_on", "id"], name="entry_by_date")]

    def __str__(self) -> str:
        return f"J-{self.pk}"


class Posting(models.Model):
    """One leg of an entry: positive is a debit, negative a credit."""

    entry = models.ForeignKey(JournalEntry, models.PROTECT, related_name="postings")
    account = models.ForeignKey(Account, models.PROTECT, related_name="postings")
    currency = models.CharField(max_length=3, help_text="The account's, by a composite foreign key.")
    amount = ExactAmountField()
    # Written by the trigger: the account's balance after this posting, and its running number on the account.
    balance_after = ExactAmountField(db_default=0, editable=False)
    account_version = models.BigIntegerField(db_default=0, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(amount=0), name="posting_amount_not_zero"),
            scale_check("amount", "posting_amount_scale"),
            models.UniqueConstraint(fields=["account", "account_version"], name="posting_account_version"),
        ]

    def __str__(self) -> str:
        return f"{self.entry_id}: {self.account_id} {self.amount}"

    @property
    def money(self) -> Money:
        """Return the signed amount as money."""
        return Money(self.amount, self.currency)


class Seal(models.Model):
    """One link of the hash chain over all entries: gap-free, written at commit by trigger."""

    seq = models.BigIntegerField(primary_key=True)
    entry = models.OneToOneField(JournalEntry, models.PROTECT, related_name="seal")
    prev_hash = models.BinaryField(max_length=32)
    hash = models.BinaryField(max_length=32)

    def __str__(self) -> str:
        return f"{self.seq}: {bytes(self.hash).hex()[:12]}"
