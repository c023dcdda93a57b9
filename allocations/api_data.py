"""The shapes of the metering API: what may be asked and said, and what is answered. Amounts are decimal strings."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from allocations.gateway.request import MOST_TAGS, TAG
from allocations.metering.bounds import MOST_OUTPUT
from allocations.metering.openai_bounds import MOST_CHOICES
from allocations.metering.types import Tokens
from allocations.metering.usage import MOST_TOKENS
from allocations.models import Outcome, OutsideCall, Quota
from allocations.outside.asking import SURFACES
from ledger.api_data import AmountField
from ledger.models import Dialect, SettleKind
from ledger.money import CURRENCY

EXPIRES_IN, LEAST_EXPIRES_IN, MOST_EXPIRES_IN = 900, 10, 86_400
DIALECTS = [Dialect.OPENAI.value, Dialect.ANTHROPIC.value]
SAID_KINDS = [SettleKind.EXACT.value, SettleKind.ESTIMATED.value, SettleKind.BOUND.value]


class Strict(serializers.Serializer[Any]):
    """Refuses names that it does not know, so that a misspelt one cannot pass for its default."""

    def to_internal_value(self, data: Any) -> Any:
        """Read what was sent. Raises ValidationError by field."""
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, dict) else []
        if unknown:
            raise serializers.ValidationError({name: ["There is no such field."] for name in unknown})
        return super().to_internal_value(data)


class TagsField(serializers.DictField):
    """Up to 16 tags that are kept with the usage record."""

    child = serializers.CharField()

    def to_internal_value(self, data: Any) -> Any:
        """Read the tags. Raises ValidationError."""
        tags = super().to_internal_value(data)
        if len(tags) > MOST_TAGS or not all(TAG.fullmatch(f"{name}={value}") for name, value in tags.items()):
            raise serializers.ValidationError(
                f"Up to {MOST_TAGS} tags: names of up to 40 letters, digits, dots, dashes and underscores, values of "
                "up to 120 ASCII characters."
            )
        return tags


def id_field() -> serializers.CharField:
    """Make the field of the caller's id."""
    words = "Yours: up to 120 visible ASCII characters, another one for each call of the key."
    return serializers.RegexField(r"^[!-~]{1,120}$", help_text=words)


class AdmitAsked(Strict):
    """A call that shall be held: a provider's request, or its bound."""

    id = id_field()
    model = serializers.CharField(max_length=120, help_text="A model, an alias, or tank/auto.")
    surface = serializers.ChoiceField(list(SURFACES), required=False, help_text="What `request` is sent to.")
    request = serializers.DictField(required=False, help_text="The request as the provider gets it; Tank bounds it.")
    input_tokens = serializers.IntegerField(
        required=False, min_value=0, max_value=MOST_TOKENS, help_text="Without `request`: the most that it can have."
    )
    output_cap = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=0,
        max_value=MOST_OUTPUT,
        help_text="With `input_tokens`: output tokens per choice; the largest that policy and budget allow without it.",
    )
    choices = serializers.IntegerField(default=1, min_value=1, max_value=MOST_CHOICES)
    streamed = serializers.BooleanField(default=False)
    translates = serializers.BooleanField(
        default=False, help_text="You can send `request` to a model of another dialect than that of `surface`."
    )
    expires_in = serializers.IntegerField(
        default=EXPIRES_IN,
        min_value=LEAST_EXPIRES_IN,
        max_value=MOST_EXPIRES_IN,
        help_text="Seconds until the hold of a call that was not ended shows as unsettled; it stays held.",
    )
    tags = TagsField(default=dict)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a call with no bound, or with two."""
        if ("request" in attrs) == ("input_tokens" in attrs):
            raise serializers.ValidationError({"request": "Give either `request` or `input_tokens`."})
        if "request" in attrs and "surface" not in attrs:
            raise serializers.ValidationError({"surface": "Say what the request is sent to."})
        if "request" in attrs and attrs.get("output_cap") is not None:
            raise serializers.ValidationError({"output_cap": "With `request` its own cap counts."})
        return attrs


class HeldData(serializers.Serializer[OutsideCall]):
    """A call that may be made, and what is held for it."""

    id = serializers.CharField(source="caller_id")
    hold = serializers.UUIDField(source="request_id", help_text="Also the id of the usage record.")
    outcome = serializers.ChoiceField(Outcome.choices, allow_null=True, help_text="Null while the call is held.")
    model = serializers.CharField(source="model.name", help_text="The model to call.")
    upstream_model = serializers.SerializerMethodField(help_text="What its provider calls it.")
    provider = serializers.CharField(source="model.provider.name")
    tier = serializers.CharField(source="model.tier")
    backups = serializers.ListField(child=serializers.CharField(), help_text="Models that may answer in its place.")
    because = serializers.CharField(source="served_because", help_text="Why it is not the model asked for: or empty.")
    fell_from = serializers.CharField(help_text="The tier that could not pay: or empty.")
    output_cap = serializers.IntegerField(help_text="Output tokens per choice that the hold covers; send no more.")
    output_cap_inserted = serializers.SerializerMethodField(help_text="The request named none: it has to get this one.")
    currency = serializers.SerializerMethodField()
    bound = AmountField(help_text="What is held.")
    tokens = serializers.IntegerField(help_text="Tokens held, input and output together.")
    remaining = AmountField(help_text="What the line had left after this hold.")
    expires_at = serializers.DateTimeField()

    def get_upstream_model(self, call: OutsideCall) -> str:
        """Return what the provider calls the model."""
        return call.model.upstream_name or call.model.name

    def get_output_cap_inserted(self, call: OutsideCall) -> bool:
        """Say whether the request named no cap."""
        return call.demand["output_cap"] is None

    def get_currency(self, call: OutsideCall) -> str:
        """Return the currency of the amounts."""
        return CURRENCY

    def to_representation(self, instance: OutsideCall) -> dict[str, Any]:
        """Return the answer; a call that has not ended has no outcome."""
        answer = super().to_representation(instance)
        return {**answer, "outcome": answer["outcome"] or None}


class TokensSaid(Strict):
    """Token counts in exclusive classes; reasoning is inside output."""

    input = serializers.IntegerField(default=0, min_value=0, max_value=MOST_TOKENS)
    cache_read = serializers.IntegerField(default=0, min_value=0, max_value=MOST_TOKENS)
    cache_write_5m = serializers.IntegerField(default=0, min_value=0, max_value=MOST_TOKENS)
    cache_write_1h = serializers.IntegerField(default=0, min_value=0, max_value=MOST_TOKENS)
    output = serializers.IntegerField(default=0, min_value=0, max_value=MOST_TOKENS)
    reasoning = serializers.IntegerField(default=0, min_value=0, max_value=MOST_TOKENS)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse more reasoning than output."""
        if attrs["reasoning"] > attrs["output"]:
            raise serializers.ValidationError({"reasoning": "Reasoning is a part of the output."})
        return attrs


class SettleSaid(Strict):
    """What became of a call."""

    id = id_field()
    tokens = TokensSaid(required=False)
    usage = serializers.DictField(required=False, help_text="In place of `tokens`: the provider's own usage block.")
    dialect = serializers.ChoiceField(DIALECTS, required=False, help_text="Of `usage`; that of the surface without it.")
    settle_kind = serializers.ChoiceField(
        SAID_KINDS,
        required=False,
        help_text="`exact` with tokens or usage, `bound` (charged at its worst case) with neither, unless you say "
        "`estimated`.",
    )
    output_bytes = serializers.IntegerField(
        default=0, min_value=0, max_value=MOST_TOKENS, help_text="Of an estimate: the bytes of output that were seen."
    )
    model = serializers.CharField(max_length=120, default="", help_text="The backup that answered.")
    model_returned = serializers.CharField(default="", allow_blank=True, help_text="The name in the answer.")
    service_tier = serializers.CharField(default="", allow_blank=True, help_text="As in the answer.")
    upstream_id = serializers.CharField(default="", allow_blank=True, help_text="The provider's own request id.")
    streamed = serializers.BooleanField(required=False)
    tags = TagsField(default=dict, help_text="Added to those of the admit.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse two counts for one call, and a kind that does not go with what is there."""
        counted = {"tokens", "usage"} & attrs.keys()
        if len(counted) > 1:
            raise serializers.ValidationError({"usage": "Give `tokens` or `usage`, not both."})
        kind = attrs.setdefault("settle_kind", SAID_KINDS[0] if counted else SAID_KINDS[2])
        if (kind == SettleKind.EXACT and not counted) or (kind == SettleKind.BOUND and counted):
            words = "An exact settle needs `tokens` or `usage`; one at the bound has neither."
            raise serializers.ValidationError({"settle_kind": words})
        return attrs


class VoidSaid(Strict):
    """A call that cost nothing: no provider took it."""

    id = id_field()


class EndData(serializers.Serializer[Any]):
    """How a call ended."""

    id = serializers.CharField()
    hold = serializers.UUIDField()
    outcome = serializers.ChoiceField(Outcome.choices)
    settle_kind = serializers.ChoiceField(SettleKind.choices, allow_null=True)
    model = serializers.CharField(help_text="Whose rate it was charged at.")
    tokens = serializers.SerializerMethodField()
    currency = serializers.CharField()
    cost = AmountField(help_text="Tokens at the rate.")
    charged = AmountField(help_text="What the line was charged.")
    overage = AmountField(help_text="What did not fit.")
    remaining = AmountField(help_text="What the line has left now.")

    @extend_schema_field(TokensSaid)
    def get_tokens(self, end: dict[str, Any]) -> dict[str, int]:
        """Return the tokens charged."""
        tokens: Tokens = end["tokens"]
        return tokens._asdict()


def remaining_of(call: OutsideCall) -> Any:
    """Return what a call's line has left now, in USD."""
    return Quota.objects.get(pk=call.quota_ids[0]).available
