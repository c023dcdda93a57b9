"""Pages of one's own API tokens: make one, see its secret once, revoke it."""

from datetime import UTC, datetime

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from teams import selectors, token_services
from teams.access import UserRequest, find_or_404, members_only
from teams.errors import Refused
from teams.forms import RemovalForm, TokenForm, form_refuse, form_status
from teams.models import ApiToken


@never_cache
@members_only
def tokens(request: UserRequest) -> HttpResponse:
    """Show somebody's tokens and make a new one; its secret is on the answer to that and nowhere else."""
    form = TokenForm(request.POST or None)
    secret, made = "", None
    if request.method == "POST" and form.is_valid():
        try:
            made, secret = token_services.token_create(actor=request.user, **form.cleaned_data)
        except Refused as error:
            form_refuse(form, error)
        else:
            form = TokenForm()
    context = {
        "form": form,
        "tokens": selectors.tokens_of(request.user),
        "made": made,
        "secret": secret,
        "now": datetime.now(UTC),
    }
    return render(request, "teams/tokens.html", context, status=form_status(form))


@members_only
def token_revoke(request: UserRequest, pk: int) -> HttpResponseBase:
    """Say what revoking a token means, and revoke it."""
    token = find_or_404(ApiToken.objects.filter(revoked_at=None), request.user, "teams.change_apitoken", pk=pk)
    form = RemovalForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        token_services.token_revoke(actor=request.user, token=token, reason=form.cleaned_data["reason"])
        messages.success(request, f"The token {token.name} is revoked.")
        return redirect("teams:tokens")
    context = {"token": token, "form": form}
    return render(request, "teams/token_revoke.html", context, status=form_status(form))
