"""Allocations, keys and the metering's rows in the admin: read only, but for stopping a key that leaked."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from allocations import services
from allocations.models import Allocation, BudgetAlert, Hold, KeyState, MeterWorker, OutsideCall, QuotaKey
from allocations.selectors.told import key_of
from ledger.money import show
from teams.access import UserRequest
from teams.errors import Refused
from teams.service_admin import ReadOnlyAdmin


@admin.register(Allocation)
class AllocationAdmin(ReadOnlyAdmin):
    """What teams were given; the allocation's own page shows how it stands."""

    list_display = ("number", "name", "team", "state", "starts_on", "ends_on", "owner")
    list_filter = ("state", "team__business_unit")
    list_select_related = ("team", "owner")
    search_fields = ("name", "team__name")
    ordering = ("-pk",)


@admin.register(QuotaKey)
class QuotaKeyAdmin(ReadOnlyAdmin):
    """Quota keys, found by name or by the few characters that a leak shows."""

    list_display = ("name", "allocation", "state", "expires_at", "created_by", "created_at")
    list_filter = ("state",)
    list_select_related = ("allocation", "created_by")
    search_fields = ("name", "secrets__hint")
    ordering = ("-pk",)
    actions = ("revoke",)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Say whether somebody may stop keys of every team."""
        return request.user.has_perm("allocations.revoke_key")

    @admin.action(description="Revoke for good: every call with these keys is refused", permissions=["revoke"])
    def revoke(self, request: UserRequest, keys: QuerySet[QuotaKey]) -> None:
        """Revoke keys; the reason says who did it and where."""
        for key in keys.exclude(state=KeyState.REVOKED):
            try:
                services.key_revoke(actor=request.user, key=key, reason=f"Revoked in the admin by {request.user}.")
            except Refused as refusal:
                messages.error(request, f"{key}: {refusal.message}")


@admin.register(MeterWorker)
class MeterWorkerAdmin(ReadOnlyAdmin):
    """Gateway processes and when they were last seen."""

    list_display = ("__str__", "state", "started_at", "heartbeat_at")
    list_filter = ("state",)
    ordering = ("-heartbeat_at",)


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin):
    """What each process holds of each quota."""

    list_display = ("worker", "quota", "amount_words", "calls", "state")
    list_filter = ("state",)
    list_select_related = ("worker", "quota")
    ordering = ("-pk",)

    @admin.display(description="Held", ordering="amount")
    def amount_words(self, hold: Hold) -> str:
        """Return what is held."""
        return show(hold.amount, hold.quota.currency)


@admin.register(OutsideCall)
class OutsideCallAdmin(ReadOnlyAdmin):
    """Calls that were not made through our gateway, while they are held and for a week after their end."""

    list_display = ("caller_id", "key", "model", "bound_words", "sent_at", "expires_at", "outcome", "ended_at")
    list_filter = ("outcome",)
    list_select_related = ("key", "model")
    search_fields = ("caller_id", "request_id", "key__name")
    ordering = ("-pk",)

    @admin.display(description="Held", ordering="bound")
    def bound_words(self, call: OutsideCall) -> str:
        """Return what was held."""
        return show(call.bound)


@admin.register(BudgetAlert)
class BudgetAlertAdmin(ReadOnlyAdmin):
    """What people were told about budgets that run low, and at which figures."""

    list_display = ("created_at", "kind", "percent", "quota_words", "spent", "limit", "currency", "rearmed_at")
    list_filter = ("kind", "percent")
    list_select_related = ("quota__line__account", "quota__key", "quota__window_of")
    ordering = ("-pk",)

    @admin.display(description="Line or key")
    def quota_words(self, alert: BudgetAlert) -> str:
        """Return the line's account or the key's name."""
        return str(alert.quota.line or key_of(alert.quota))
