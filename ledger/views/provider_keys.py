"""Providers' keys past Tank, providers' names of models, and what finance lets pass."""

from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from ledger.forms.reconciliation import KeyForm, NameForm, PolicyForm
from ledger.models import KeyStanding, Provider, ProviderKey, ProviderModelName, ReconciliationPolicy
from ledger.money import plain
from ledger.reconciliation.judging import policy_default, policy_of
from ledger.reconciliation.names import name_settle
from ledger.selectors.provider_keys import key_rows, name_rows
from ledger.selectors.reconciliation import provider_currencies
from ledger.services.feed_keys import key_stand
from ledger.services.reconciliation import policy_set
from ledger.views.act import act
from teams.access import UserRequest, allowed_only
from teams.acting import done, submitted
from teams.forms import form_status

NEXT_RUN = "The days concerned are judged again by the next run, which is every hour."


@require_safe
@allowed_only("ledger.view_providerkey")
def provider_keys(request: UserRequest) -> HttpResponse:
    """Show the providers' keys, unknown ones first, with what each cost past Tank."""
    rows = key_rows()
    context = {
        "rows": rows,
        "unknown": sum(row.key.standing == KeyStanding.UNKNOWN for row in rows),
        "may_say": request.user.has_perm("ledger.judge_reconciliation"),
    }
    return render(request, "ledger/reconciliation/keys.html", context)


@allowed_only("ledger.view_providerkey")
def provider_key(request: UserRequest, pk: int) -> HttpResponseBase:
    """Show a key day by day, and let finance say whose it is."""
    rows = ProviderKey.objects.select_related("provider", "owner", "account")
    key = get_object_or_404(rows, pk=pk)
    may_say = request.user.has_perm("ledger.judge_reconciliation")
    begin = {
        "standing": key.standing,
        "owner": key.owner.email if key.owner else "",
        "account": key.account.code if key.account else "",
    }
    form = KeyForm(request.POST if request.method == "POST" else None, initial=begin)

    def work(data: dict[str, Any]) -> HttpResponseBase:
        said = data | {"standing": KeyStanding(data["standing"])}
        stands = key_stand(actor=request.user, key=key, **said)
        words = f"{stands}: {stands.get_standing_display()}. {NEXT_RUN}"
        return done(request, words, "ledger:provider_keys")

    context = {"key": key, "row": key_rows([key])[0], "form": form, "may_say": may_say}
    answer = submitted(request, form, work)
    return answer or render(request, "ledger/reconciliation/key.html", context, status=form_status(form))


@require_safe
@allowed_only("ledger.view_ledger")
def model_names(request: UserRequest) -> HttpResponse:
    """Show what providers' names of models mean here, and how that was found; those that mean nothing first."""
    context = {"rows": name_rows(), "may_say": request.user.has_perm("ledger.judge_reconciliation")}
    return render(request, "ledger/reconciliation/names.html", context)


@allowed_only("ledger.judge_reconciliation")
def model_name(request: UserRequest, pk: int) -> HttpResponseBase:
    """Say which model a provider's name means."""
    name = get_object_or_404(ProviderModelName.objects.select_related("provider", "model"), pk=pk)

    def work(data: dict[str, Any]) -> str:
        settled = name_settle(actor=request.user, name=name, **data)
        return f"{settled} means {settled.model}. {NEXT_RUN}"

    posted = request.POST if request.method == "POST" else None
    return act(
        request,
        NameForm(posted, provider=name.provider, initial={"model": name.model}),
        title=f"What does {name} mean?",
        button="Say so",
        words=f"{name.provider.name} writes {name}: {name.get_how_display().lower()}. {NEXT_RUN}",
        back=reverse("ledger:model_names"),
        work=work,
    )


@require_safe
@allowed_only("ledger.view_ledger")
def policies(request: UserRequest) -> HttpResponse:
    """Show what finance lets pass, provider by provider."""
    providers = Provider.objects.select_related("reconciliation_policy").order_by("name")
    rows = [(one, getattr(one, "reconciliation_policy", None)) for one in providers]
    currencies = provider_currencies()
    context = {
        "rows": [(*_policy_row(one, policy), currencies[one.name]) for one, policy in rows],
        "may_set": request.user.has_perm("ledger.judge_reconciliation"),
    }
    return render(request, "ledger/reconciliation/policies.html", context)


def _policy_row(
    provider: Provider, policy: ReconciliationPolicy | None
) -> tuple[Provider, ReconciliationPolicy, str, bool]:
    """Return a provider's policy, its share in words, and whether finance has set it."""
    shown = policy or policy_default(provider)
    return provider, shown, f"{plain(shown.tolerance_share * 100)} %", policy is not None


@allowed_only("ledger.judge_reconciliation")
def policy(request: UserRequest, name: str) -> HttpResponseBase:
    """Set what finance lets pass for a provider."""
    provider = get_object_or_404(Provider, name=name)
    form = PolicyForm(request.POST if request.method == "POST" else None, initial=PolicyForm.of(policy_of(provider)))

    def work(data: dict[str, Any]) -> str:
        policy_set(actor=request.user, policy=form.policy(provider), reason=data["reason"])
        return f"The policy of {provider.name} is set."

    return act(
        request,
        form,
        title=f"What may pass at {provider.name}?",
        button="Set it",
        words="Lines that are not agreed are judged again by the next run, which is every hour.",
        back=reverse("ledger:policies"),
        work=work,
    )
