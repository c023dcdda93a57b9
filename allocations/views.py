"""Pages of allocations and keys. Each translates the request and makes one service call."""

from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from allocations import selectors, services, tables
from allocations.forms import KeyForm, LimitsForm, LineTokensForm, ModelsForm, RotateForm, StopForm, SwitchForm
from allocations.models import Allocation, AllocationLine, AllocationState, KeyState, QuotaKey
from allocations.selectors import pages
from allocations.selectors.limits import key_limits as limits_now
from ledger.exports import csv_response
from ledger.models import AiModel
from ledger.money import plain
from teams.access import UserRequest, members_only, visible_or_404
from teams.acting import done, submitted
from teams.errors import Refused
from teams.forms import form_status
from teams.paging import page_mark
from teams.selectors import history_of

CALLS = 25
LIST = 50
MODELS_IDS = "models_%s"  # several forms of the key's page have a reason


@require_safe
@members_only
def allocation_list(request: UserRequest) -> HttpResponse:
    """Show the allocations that somebody may look into, as gauges, newest first."""
    rows = pages.with_figures(pages.allocations_visible_to(request.user))
    before = page_mark(request)
    if before is not None:
        rows = rows.filter(pk__lt=before)
    found = list(rows[: LIST + 1])
    context = {
        "allocations": found[:LIST],
        "older": found[LIST - 1].pk if len(found) > LIST else None,
        "before": before,
        "show_team": True,
    }
    return render(request, "allocations/list.html", context)


@require_safe
@members_only
def allocation_page(request: UserRequest, number: str) -> HttpResponse:
    """Show what is left of an allocation, how it burns down, its tiers and its keys."""
    allocation = _allocation(request, number)
    days = selectors.burn_down(allocation)
    rows = pages.key_rows(allocation)
    tiers = selectors.figures_by_tier(allocation)
    context = {
        "allocation": allocation,
        "figures": selectors.quota_figures(allocation),
        "tiers": tiers,
        "stop_words": pages.stop_words(allocation, tiers),
        "days": days,
        "plot": tables.burn_plot(days, f"Remaining budget of {allocation.name}"),
        "runs_out_on": pages.runs_out_on(days),
        "keys": rows,
        "usable": sum(row.key.state == KeyState.ACTIVE for row in rows),
        "may_issue": request.user.has_perm("allocations.issue_key", allocation),
        "may_suspend": request.user.has_perm("allocations.suspend_allocation", allocation),
        "may_limit": request.user.has_perm("allocations.limit_allocationline", allocation),
        "has_ended": allocation.state in {AllocationState.EXPIRED, AllocationState.CLOSED},
        "history": history_of("allocations.allocation", allocation.pk),
    }
    return render(request, "allocations/allocation.html", context)


SWITCHES = {
    "suspend": (services.allocation_suspend, AllocationState.ACTIVE, "is suspended"),
    "resume": (services.allocation_resume, AllocationState.SUSPENDED, "may be spent again"),
}


@members_only
def allocation_switch(request: UserRequest, number: str, action: str) -> HttpResponseBase:
    """Say in numbers what suspending or resuming an allocation does, and do it with a reason."""
    service, needed, words = SWITCHES[action]
    allocation = _allocation(request, number, "allocations.suspend_allocation")
    form = SwitchForm(request.POST or None)

    def work(data: dict[str, Any]) -> HttpResponseBase:
        service(actor=request.user, allocation=allocation, reason=data["reason"])
        return done(request, f"{allocation.number} {words}.", "allocations:allocation", number=allocation.number)

    answer = submitted(request, form, work)
    context = {
        "allocation": allocation,
        "action": action,
        "fits": allocation.state == needed,
        "load": pages.key_load(allocation),
        "figures": selectors.quota_figures(allocation),
        "form": form,
    }
    return answer or render(request, "allocations/allocation_switch.html", context, status=form_status(form))


@members_only
def line_tokens(request: UserRequest, number: str, tier: str) -> HttpResponseBase:
    """Limit a line of an allocation in tokens, or lift that limit, with a reason."""
    allocation = _allocation(request, number)
    line = get_object_or_404(AllocationLine.objects.select_related("quota"), allocation=allocation, tier=tier)
    visible_or_404(request.user, "allocations.limit_allocationline", line)
    form = LineTokensForm(request.POST or None, initial={"tokens": typed(line.quota.token_limit)})

    def work(data: dict[str, Any]) -> HttpResponseBase:
        services.line_tokens_set(actor=request.user, line=line, **data)
        words = f"The token limit of the {line.get_tier_display().lower()} line is changed."
        return done(request, words, "allocations:allocation", number=allocation.number)

    context = {"allocation": allocation, "line": line, "quota": line.quota, "form": form}
    return submitted(request, form, work) or render(
        request, "allocations/line_tokens.html", context, status=form_status(form)
    )


@require_safe
@members_only
def burn_down_csv(request: UserRequest, number: str) -> HttpResponseBase:
    """Send the burn-down as CSV."""
    allocation = _allocation(request, number)
    cells = tables.burn_cells(selectors.burn_down(allocation), allocation.committed_account.currency)
    return csv_response(f"burn-down-{allocation.number}.csv", tables.BURN_HEADER, cells)


@never_cache
@members_only
def key_new(request: UserRequest, number: str) -> HttpResponseBase:
    """Issue a key and show its secret, in this one answer and never again."""
    allocation = _allocation(request, number, "allocations.issue_key")
    form = KeyForm(request.POST or None, offered=pages.models_of(allocation))

    def work(data: dict[str, Any]) -> HttpResponseBase:
        key, secret = services.key_issue(
            actor=request.user,
            allocation=allocation,
            name=data["name"],
            limits=services.KeyLimits(cap=data["cap"]),
            expires_at=data["expires_on"],
            models=data["models"],
        )
        return _secret_shown(request, key, secret)

    answer = submitted(request, form, work)
    context = {"allocation": allocation, "figures": selectors.quota_figures(allocation), "form": form}
    return answer or render(request, "allocations/key_new.html", context, status=form_status(form))


@never_cache
@members_only
def key_page(request: UserRequest, number: str, pk: int) -> HttpResponse:
    """Show a key: how it stands, its secrets, what it was charged for, and what can be done with it."""
    return _key_page(request, _key(request, number, pk))


@never_cache
@require_POST
@members_only
def key_rotate(request: UserRequest, number: str, pk: int) -> HttpResponseBase:
    """Give a key a new secret and show it once; the old one works until its grace ends."""
    key = _key(request, number, pk, "allocations.rotate_key")
    form = RotateForm(request.POST)
    newest = key.secrets.order_by("-pk").values_list("pk", flat=True).first()
    if form.is_valid() and form.cleaned_data["newest"] != newest:
        # A reloaded answer would send the form again and end the secret that was just shown.
        form.add_error(None, "This key got a new secret a moment ago. Look at it again before you rotate.")

    def work(data: dict[str, Any]) -> HttpResponseBase:
        secret = services.key_rotate(actor=request.user, key=key, grace=data["grace"])
        return _secret_shown(request, key, secret, rotated=True)

    return submitted(request, form, work) or _key_page(request, key, rotate_form=form)


@members_only
def key_limits(request: UserRequest, number: str, pk: int) -> HttpResponseBase:
    """Set or lift a key's limits."""
    key = _key(request, number, pk, "allocations.issue_key")
    shown = {name: typed(value) for name, value in asdict(services.limits_of(key)).items()}
    form = LimitsForm(request.POST or None, initial=shown)

    def work(data: dict[str, Any]) -> HttpResponseBase:
        services.key_limits_set(actor=request.user, key=key, limits=form.limits(), reason=data["reason"])
        return _done_with(request, key, f"The limits of {key.name} are changed.")

    context = {"allocation": key.allocation, "key": key, "form": form}
    return submitted(request, form, work) or render(
        request, "allocations/key_limits.html", context, status=form_status(form)
    )


@require_POST
@members_only
def key_models(request: UserRequest, number: str, pk: int) -> HttpResponseBase:
    """Set which models a key may call."""
    key = _key(request, number, pk, "allocations.issue_key")
    form = ModelsForm(request.POST, offered=_offered(key), auto_id=MODELS_IDS)

    def work(data: dict[str, Any]) -> HttpResponseBase:
        services.key_models_set(actor=request.user, key=key, **data)
        return _done_with(request, key, f"What {key.name} may call is changed.")

    return submitted(request, form, work) or _key_page(request, key, models_form=form)


@members_only
def key_stop(request: UserRequest, number: str, pk: int) -> HttpResponseBase:
    """Say in numbers what stopping a key does, and suspend or revoke it with a reason."""
    key = _key(request, number, pk, "allocations.revoke_key")
    form = StopForm(request.POST or None)

    def work(data: dict[str, Any]) -> HttpResponseBase:
        change = services.key_suspend if request.POST.get("action") == "suspend" else services.key_revoke
        stopped = change(actor=request.user, key=key, reason=data["reason"])
        words = f"{stopped.name} is {stopped.get_state_display().lower()}."
        return done(request, words, "allocations:allocation", number=key.allocation.number)

    answer = submitted(request, form, work)
    row = pages.key_row(key)
    context = {"allocation": key.allocation, "row": row, "key": row.key, "form": form, "may_suspend": _is_active(key)}
    return answer or render(request, "allocations/key_stop.html", context, status=form_status(form))


@require_POST
@members_only
def key_resume(request: UserRequest, number: str, pk: int) -> HttpResponseBase:
    """Let a suspended key spend again, with a reason."""
    key = _key(request, number, pk, "allocations.revoke_key")
    form = StopForm(request.POST)

    def work(data: dict[str, Any]) -> HttpResponseBase:
        services.key_resume(actor=request.user, key=key, reason=data["reason"])
        return _done_with(request, key, f"{key.name} may spend again.")

    return submitted(request, form, work) or _key_page(request, key, resume_form=form)


def _done_with(request: UserRequest, key: QuotaKey, words: str) -> HttpResponseBase:
    return done(request, words, "allocations:key", number=key.allocation.number, pk=key.pk)


def _allocation(request: UserRequest, number: str, permission: str = "allocations.view_allocation") -> Allocation:
    try:
        allocation = selectors.allocation_by_number(number)
    except Refused as error:
        raise Http404 from error
    return visible_or_404(request.user, permission, allocation)


def _key(request: UserRequest, number: str, pk: int, permission: str = "allocations.view_quotakey") -> QuotaKey:
    allocation = _allocation(request, number)
    key = get_object_or_404(QuotaKey.objects.select_related("allocation__team"), allocation=allocation, pk=pk)
    return visible_or_404(request.user, permission, key)


def typed(limit: Decimal | int | None) -> str:
    """Write a limit as a field shows it; empty for none."""
    return "" if limit is None else plain(limit) if isinstance(limit, Decimal) else f"{limit:,}"


def _is_active(key: QuotaKey) -> bool:
    return key.state == KeyState.ACTIVE


def _offered(key: QuotaKey) -> QuerySet[AiModel]:
    """Return the models to choose among, those that the key may call already with them."""
    return (pages.models_of(key.allocation) | key.models.select_related("provider", "backup_of")).distinct()


def _key_page(request: UserRequest, key: QuotaKey, **forms: Any) -> HttpResponse:
    row = pages.key_row(key)
    before = page_mark(request)
    calls = pages.calls_of(key, before=before, limit=CALLS + 1)
    secrets = list(row.key.secrets.all())
    user, usable = request.user, row.key.state != KeyState.REVOKED
    context = {
        "allocation": key.allocation,
        "key": row.key,
        "row": row,
        "secrets": secrets,
        "now": datetime.now(UTC),
        "calls": calls[:CALLS],
        "older": calls[CALLS - 1].pk if len(calls) > CALLS else None,
        "before": before,
        "may_rotate": usable and user.has_perm("allocations.rotate_key", key),
        "may_limit": usable and user.has_perm("allocations.issue_key", key),
        "may_stop": usable and user.has_perm("allocations.revoke_key", key),
        "rotate_form": RotateForm(initial={"newest": secrets[0].pk if secrets else 0}),
        "models": list(key.models.order_by("name")),
        "models_form": ModelsForm(offered=_offered(key), initial={"models": key.models.all()}, auto_id=MODELS_IDS),
        "limits": limits_now(row.key),
        "resume_form": StopForm(),
        "history": history_of("allocations.quotakey", key.pk),
        **forms,
    }
    status = max((form_status(form) for form in forms.values()), default=200)
    return render(request, "allocations/key.html", context, status=status)


def _secret_shown(request: UserRequest, key: QuotaKey, secret: str, *, rotated: bool = False) -> HttpResponse:
    context = {
        "allocation": key.allocation,
        "key": key,
        "secret": secret,
        "rotated": rotated,
        "model": pages.callable_model(key),
        "base_url": f"{settings.TANK_URL}/v1",
        "root_url": settings.TANK_URL,
    }
    return render(request, "allocations/key_secret.html", context)
