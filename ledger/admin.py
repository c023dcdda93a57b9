"""Providers, models and prices in the admin; what the ledger recorded can only be read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from ledger import services
from ledger.models import (
    AiModel,
    Dialect,
    FiscalYear,
    JournalEntry,
    ModelAlias,
    Period,
    Provider,
    Rate,
    RateSource,
    Tier,
    UsageRecord,
)
from ledger.money import show
from ledger.price_list import PriceStep
from teams.access import UserRequest
from teams.service_admin import ReadOnlyAdmin, ServiceAdmin

if TYPE_CHECKING:
    ProviderFormBase = forms.ModelForm[Provider]
else:
    ProviderFormBase = forms.ModelForm


class ProviderForm(ProviderFormBase):
    """An upstream; its credential can be set and never read back."""

    api_key = forms.CharField(
        max_length=500,
        required=False,
        strip=True,
        label="Credential",
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}),
        help_text="Encrypted at rest and never shown. Leave empty to keep the present one.",
    )

    class Meta:
        model = Provider
        fields = ("name", "dialect", "base_url", "is_enabled")


@admin.register(Provider)
class ProviderAdmin(ServiceAdmin):
    """Upstream accounts: where calls go, and whom the money is owed to."""

    form = ProviderForm
    list_display = ("name", "dialect", "base_url", "has_credential", "is_enabled")
    ordering = ("name",)
    fields = ("name", "dialect", "base_url", "api_key", "is_enabled")

    def get_readonly_fields(self, request: HttpRequest, obj: Provider | None = None) -> tuple[str, ...]:
        """Keep name and dialect: accounts and usage are filed under them."""
        return ("name", "dialect") if obj else ()

    @admin.display(description="Credential", boolean=True)
    def has_credential(self, provider: Provider) -> bool:
        """Say whether a credential is kept."""
        return bool(provider.credential_encrypted)

    def save_model(self, request: UserRequest, obj: Provider, form: ProviderForm, change: bool) -> None:
        """Add the provider or bring it to what was entered."""
        data = form.cleaned_data
        if not change:
            obj.pk = services.provider_add(
                actor=request.user,
                name=data["name"],
                dialect=Dialect(data["dialect"]),
                base_url=data["base_url"],
                api_key=data["api_key"],
            ).pk
        services.provider_update(
            actor=request.user,
            provider=Provider.objects.get(pk=obj.pk),
            base_url=data["base_url"],
            api_key=data["api_key"] if change else "",
            is_enabled=data["is_enabled"],
        )


@admin.register(AiModel)
class AiModelAdmin(ServiceAdmin):
    """Models that keys may call. A new one has no price and cannot be called until finance approves one."""

    list_display = ("name", "provider", "tier", "context_window", "backup_of", "is_enabled")
    list_filter = ("provider", "tier", "is_enabled")
    list_select_related = ("provider", "backup_of")
    search_fields = ("name",)
    autocomplete_fields = ("backup_of",)
    ordering = ("name",)
    fields = (
        "provider",
        "name",
        "tier",
        "context_window",
        "default_output_cap",
        "least_output_cap",
        "upstream_name",
        "backup_of",
        "backup_place",
        "is_enabled",
    )

    def get_readonly_fields(self, request: HttpRequest, obj: AiModel | None = None) -> tuple[str, ...]:
        """Keep provider and name: rates and usage point at them."""
        return ("provider", "name") if obj else ()

    def save_model(self, request: UserRequest, obj: AiModel, form: forms.ModelForm[Any], change: bool) -> None:
        """Add the model or bring it to what was entered."""
        data = form.cleaned_data
        facts = services.ModelFacts(
            tier=Tier(data["tier"]),
            context_window=data["context_window"],
            default_output_cap=data["default_output_cap"],
            least_output_cap=data["least_output_cap"],
            is_enabled=data["is_enabled"],
            upstream_name=data["upstream_name"],
            backup_of=data["backup_of"],
            backup_place=data["backup_place"] or 0,
        )
        if change:
            services.model_update(actor=request.user, model=AiModel.objects.get(pk=obj.pk), facts=facts)
        else:
            obj.pk = services.model_register(
                actor=request.user, provider=data["provider"], name=data["name"], facts=facts
            ).pk


@admin.register(ModelAlias)
class ModelAliasAdmin(ServiceAdmin):
    """Other names for models; a call by an alias says in its answer which model it was."""

    list_display = ("name", "model", "note")
    list_select_related = ("model",)
    search_fields = ("name", "model__name")
    autocomplete_fields = ("model",)
    ordering = ("name",)
    fields = ("name", "model", "note")

    def get_readonly_fields(self, request: HttpRequest, obj: ModelAlias | None = None) -> tuple[str, ...]:
        """Keep the name: it is what callers wrote down."""
        return ("name",) if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Say whether somebody may take aliases away: nothing points at them."""
        return request.user.has_perm("ledger.delete_modelalias")

    def save_model(self, request: UserRequest, obj: ModelAlias, form: forms.ModelForm[Any], change: bool) -> None:
        """Set the alias."""
        data = form.cleaned_data
        name = obj.name if change else data["name"]
        obj.pk = services.alias_set(actor=request.user, name=name, model=data["model"], note=data["note"]).pk

    def delete_model(self, request: UserRequest, obj: ModelAlias) -> None:
        """Remove the alias."""
        services.alias_remove(actor=request.user, alias=obj)

    def delete_queryset(self, request: UserRequest, queryset: QuerySet[ModelAlias]) -> None:
        """Remove aliases."""
        for alias in queryset:
            services.alias_remove(actor=request.user, alias=alias)


PRICES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


def price_field(field: Any, name: str) -> Any:
    """Take prices as text, so that none of their digits is lost on the way."""
    if name in PRICES:
        field.widget = UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"})
    return field


class FurtherStepInline(TabularInline):  # type: ignore[misc]  # the package has no types
    """Prices of longer calls, proposed and approved with the rate."""

    model = Rate
    fk_name = "base"
    fields = ("above_input_tokens", *PRICES)
    extra = 1
    ordering = ("above_input_tokens",)
    verbose_name = "price of longer calls"
    verbose_name_plural = "prices of longer calls"

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return False: a proposal stays as it was made."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return False: a proposal stays as it was made."""
        return False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Say whether steps can be added: only while the rate is being proposed."""
        return obj is None

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Take prices as text."""
        return price_field(super().formfield_for_dbfield(db_field, request, **kwargs), db_field.name)


@admin.register(Rate)
class RateAdmin(ServiceAdmin):
    """Prices: proposed here, approved by finance on the rate card's page, never changed."""

    list_display = (
        "model",
        "above_input_tokens",
        "valid_from",
        "input_words",
        "output_words",
        "source",
        "proposed_by",
        "approved_by",
    )
    list_filter = ("source", ("approved_at", admin.EmptyFieldListFilter))
    list_select_related = ("model", "proposed_by", "approved_by")
    search_fields = ("model__name",)
    autocomplete_fields = ("model",)
    ordering = ("-pk",)
    fields = ("model", "valid_from", *PRICES, "note")
    inlines = (FurtherStepInline,)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return False: a wrong proposal is left unapproved and another one made."""
        return False

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Take prices as text."""
        return price_field(super().formfield_for_dbfield(db_field, request, **kwargs), db_field.name)

    @admin.display(description="Input, USD per million", ordering="input")
    def input_words(self, rate: Rate) -> str:
        """Return the input price."""
        return show(rate.input)

    @admin.display(description="Output, USD per million", ordering="output")
    def output_words(self, rate: Rate) -> str:
        """Return the output price."""
        return show(rate.output)

    def save_model(self, request: UserRequest, obj: Rate, form: forms.ModelForm[Any], change: bool) -> None:
        """Wait for the steps: the rate is proposed with them."""

    def save_related(
        self, request: UserRequest, form: forms.ModelForm[Any], formsets: Iterable[Any], change: bool
    ) -> None:
        """Propose the price with its steps."""
        data, steps = form.cleaned_data, []
        for formset in formsets:
            steps += [
                PriceStep(**{name: row[name] for name in ("above_input_tokens", *PRICES)}) for row in _filled(formset)
            ]
            formset.new_objects, formset.changed_objects, formset.deleted_objects = [], [], []
        form.instance.pk = services.rate_propose(
            actor=request.user,
            model=data["model"],
            source=RateSource.NEGOTIATED,
            input_price=data["input"],
            output_price=data["output"],
            cache_read_price=data["cache_read"],
            cache_write_5m_price=data["cache_write_5m"],
            cache_write_1h_price=data["cache_write_1h"],
            further_steps=steps,
            valid_from=data["valid_from"],
            note=data["note"],
        ).pk


def _filled(formset: Any) -> list[dict[str, Any]]:
    return [row.cleaned_data for row in formset.forms if row.has_changed()]


@admin.register(JournalEntry)
class JournalEntryAdmin(ReadOnlyAdmin):
    """The journal, for auditors who work in the admin; the ledger's pages show more."""

    list_display = ("__str__", "kind", "effective_on", "recorded_at", "actor", "memo")
    list_filter = ("kind",)
    list_select_related = ("actor",)
    search_fields = ("memo", "reason", "key")
    ordering = ("-pk",)
    show_full_result_count = False


@admin.register(UsageRecord)
class UsageRecordAdmin(ReadOnlyAdmin):
    """Metered calls."""

    list_display = ("settled_at", "team", "model", "surface", "input_tokens", "output_tokens", "cost", "settle_kind")
    list_filter = ("settle_kind", "model__tier")
    list_select_related = ("team", "model")
    search_fields = ("=request_id", "=upstream_id")
    ordering = ("-pk",)
    show_full_result_count = False


@admin.register(FiscalYear)
class FiscalYearAdmin(ReadOnlyAdmin):
    """Budget years."""

    list_display = ("name", "starts_on", "ends_on")
    ordering = ("-starts_on",)


@admin.register(Period)
class PeriodAdmin(ReadOnlyAdmin):
    """Accounting months and whether they take entries."""

    list_display = ("__str__", "fiscal_year", "starts_on", "ends_on", "state")
    list_filter = ("fiscal_year", "state")
    list_select_related = ("fiscal_year",)
    ordering = ("-starts_on",)
