"""The shapes of the ledger's API: what may be asked, and what is answered. Amounts are decimal strings."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from ledger.models import Account, AccountClass, EntryKind, JournalEntry, Posting, Tier, UsageDay, UsageHour
from ledger.money import plain


@extend_schema_field(OpenApiTypes.DECIMAL)
class AmountField(serializers.Field[Any, Any, str, Any]):
    """An amount in the row's currency as a plain decimal string: no exponent, no trailing zeros."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"read_only": True, **kwargs})

    def to_representation(self, value: Any) -> str:
        """Return the amount as text."""
        return plain(value)


class Between(serializers.Serializer[Any]):
    """A range of days, both ends included."""

    def get_fields(self) -> dict[str, Any]:
        """Add `from` and `to`, which Python will not have as names."""
        days = {
            "from": serializers.DateField(required=False, help_text="First day, included."),
            "to": serializers.DateField(required=False, help_text="Last day, included."),
        }
        return days | super().get_fields()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a range that ends before it begins."""
        if "from" in attrs and "to" in attrs and attrs["to"] < attrs["from"]:
            raise serializers.ValidationError({"to": "The last day lies before the first."})
        return attrs


class AccountsAsked(serializers.Serializer[Any]):
    """Which accounts."""

    account_class = serializers.ChoiceField(AccountClass.choices, required=False)
    team = serializers.SlugField(required=False, help_text="A team's slug.")
    provider = serializers.SlugField(required=False, help_text="A provider's name.")
    tier = serializers.ChoiceField(Tier.choices, required=False)


class BalancesAsked(AccountsAsked):
    """Which accounts, and when."""

    as_of = serializers.DateField(required=False, help_text="At the end of this day by effective date; now without it.")


class EntriesAsked(Between):
    """Which entries, by effective date."""

    kind = serializers.ChoiceField(EntryKind.choices, required=False)
    account = serializers.CharField(required=False, help_text="Entries with a posting on the account of this code.")


class StatementAsked(Between):
    """Which postings of an account, by effective date."""


class UsageAsked(Between):
    """Which usage, by day (UTC)."""

    account = serializers.CharField(required=False, help_text="The code of the allocation line charged.")
    team = serializers.SlugField(required=False, help_text="A team's slug.")
    provider = serializers.SlugField(required=False, help_text="A provider's name.")
    model = serializers.CharField(required=False, help_text="A model's name.")
    tier = serializers.ChoiceField(Tier.choices, required=False)
    key = serializers.IntegerField(required=False, help_text="A quota key's id.")
    tag = serializers.CharField(required=False, help_text="A tag's name; with `tag_value` also its value.")
    tag_value = serializers.CharField(required=False)


class AccountData(serializers.ModelSerializer[Account]):
    """An account with what it belongs to."""

    team = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    business_unit = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    provider = serializers.SlugRelatedField[Any](slug_field="name", read_only=True)

    class Meta:
        model = Account
        fields: ClassVar = [
            "code",
            "name",
            "account_class",
            "currency",
            "no_overdraft",
            "team",
            "business_unit",
            "provider",
            "tier",
        ]


class BalanceData(serializers.ModelSerializer[Account]):
    """An account's totals; `balance` is debits minus credits, in its currency."""

    debits = AmountField()
    credits = AmountField()
    balance = serializers.SerializerMethodField()
    as_of = serializers.SerializerMethodField()

    class Meta:
        model = Account
        fields: ClassVar = ["code", "account_class", "currency", "debits", "credits", "balance", "as_of"]

    def get_balance(self, account: Any) -> str:
        """Return debits minus credits."""
        return plain(account.debits - account.credits)

    def get_as_of(self, account: Account) -> str:
        """Return the day asked for, or the time of the answer."""
        on = self.context.get("on")
        return str(on) if on else f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


class PostingData(serializers.ModelSerializer[Posting]):
    """One leg of an entry: a debit is positive."""

    account = serializers.SlugRelatedField[Any](slug_field="code", read_only=True)
    amount = AmountField()
    balance_after = AmountField()

    class Meta:
        model = Posting
        fields: ClassVar = ["account", "currency", "amount", "balance_after"]


class EntryData(serializers.ModelSerializer[JournalEntry]):
    """A journal entry with its postings and its seal."""

    number = serializers.CharField(source="__str__", read_only=True)
    period = serializers.CharField(read_only=True)
    actor = serializers.SlugRelatedField[Any](slug_field="email", read_only=True)
    approved_by = serializers.SlugRelatedField[Any](slug_field="email", read_only=True)
    postings = PostingData(many=True, read_only=True)
    seal = serializers.SerializerMethodField()

    class Meta:
        model = JournalEntry
        fields: ClassVar = [
            "id",
            "number",
            "kind",
            "effective_on",
            "period",
            "recorded_at",
            "actor",
            "approved_by",
            "reason",
            "memo",
            "reverses",
            "seal",
            "postings",
        ]

    def get_seal(self, entry: JournalEntry) -> str | None:
        """Return the hash that seals the entry, in hexadecimal digits."""
        seal = getattr(entry, "seal", None)
        return bytes(seal.hash).hex() if seal else None


class StatementData(serializers.ModelSerializer[Posting]):
    """One line of an account's statement; `number` counts the account's postings without a gap."""

    number = serializers.IntegerField(source="account_version", read_only=True)
    entry = serializers.CharField(read_only=True)
    kind = serializers.CharField(source="entry.kind", read_only=True)
    effective_on = serializers.DateField(source="entry.effective_on", read_only=True)
    recorded_at = serializers.DateTimeField(source="entry.recorded_at", read_only=True)
    actor = serializers.CharField(source="entry.actor.email", read_only=True)
    memo = serializers.CharField(source="entry.memo", read_only=True)
    reason = serializers.CharField(source="entry.reason", read_only=True)
    amount = AmountField()
    balance = AmountField(source="balance_after")

    class Meta:
        model = Posting
        fields: ClassVar = [
            "number",
            "entry",
            "kind",
            "effective_on",
            "recorded_at",
            "actor",
            "memo",
            "reason",
            "currency",
            "amount",
            "balance",
        ]


SUMS = [
    "account",
    "team",
    "key",
    "provider",
    "model",
    "rate",
    "tags",
    "records",
    "estimated",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
    "currency",
    "cost",
    "charged",
    "overage",
]


class UsageData(serializers.ModelSerializer[Any]):
    """A sum of usage per line, key, model, rate and tags; reasoning tokens are inside output."""

    account = serializers.SlugRelatedField[Any](slug_field="code", read_only=True)
    team = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    provider = serializers.SlugRelatedField[Any](slug_field="name", read_only=True)
    model = serializers.SlugRelatedField[Any](slug_field="name", read_only=True)
    key = serializers.IntegerField(source="key_id", read_only=True)
    cost = AmountField()
    charged = AmountField()
    overage = AmountField()


class DayData(UsageData):
    """The usage of one day (UTC) per line, key, model, rate and tags."""

    class Meta:
        model = UsageDay
        fields: ClassVar = ["day", *SUMS]


class HourData(UsageData):
    """The usage of one hour (UTC) per line, key, model, rate and tags."""

    class Meta:
        model = UsageHour
        fields: ClassVar = ["hour", *SUMS]


class ReportInList(serializers.Serializer[Any]):
    """A report that the caller may open, and the names of its filters."""

    slug = serializers.CharField()
    title = serializers.CharField()
    purpose = serializers.CharField()
    group = serializers.CharField()
    filters = serializers.ListField(child=serializers.CharField())
    url = serializers.CharField()


class ReportColumn(serializers.Serializer[Any]):
    """A column: its name in the rows, and what it holds."""

    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # the framework has an attribute of this name
    kind = serializers.CharField()
    unit = serializers.CharField()


class ReportTie(serializers.Serializer[Any]):
    """A total of the report beside the ledger's own figure."""

    label = serializers.CharField()  # type: ignore[assignment]  # the framework has an attribute of this name
    currency = serializers.CharField()
    reported = AmountField()
    in_ledger = AmountField()
    difference = AmountField()
    accounts = serializers.CharField()
    explained = serializers.CharField()


class ReportData(serializers.Serializer[Any]):
    """A whole report: what it is, its columns, the totals that tie to the ledger, and all rows by column name."""

    report = serializers.CharField()
    title = serializers.CharField()
    as_of = serializers.DateTimeField()
    currency = serializers.CharField(allow_null=True)
    filters = serializers.DictField(child=serializers.CharField())
    notes = serializers.ListField(child=serializers.CharField())
    columns = ReportColumn(many=True)
    ties = ReportTie(many=True)
    rows = serializers.ListField(child=serializers.DictField())
