"""Pages of one's own API tokens: make one, see its secret once, revoke it."""

from datetime import UTC, datetime
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from teams import selectors, token_services
from teams.access import UserRequest, find_or_404, members_only
from teams.acting import done, submitted
from teams.forms import RemovalForm, TokenForm, form_status
from teams.models import ApiToken


@never_cache
@members_only
def tokens(request: UserRequest) -> HttpResponseBase:
    """Show somebody's tokens and make a new one; its secret is on the answer to that and nowhere else."""
    form = TokenForm(request.POST or None)

    def work(data: dict[str, Any]) -> HttpResponseBase:
        made, secret = token_services.token_create(actor=request.user, **data)
        return _page(request, TokenForm(), made, secret)

    return submitted(request, form, work) or _page(request, form)


def _page(request: UserRequest, form: TokenForm, made: ApiToken | None = None, secret: str = "") -> HttpResponse:
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

    def work(data: dict[str, Any]) -> HttpResponseBase:
        token_services.token_revoke(actor=request.user, token=token, reason=data["reason"])
        return done(request, f"The token {token.name} is revoked.", "teams:tokens")

    context = {"token": token, "form": form}
    return submitted(request, form, work) or render(
        request, "teams/token_revoke.html", context, status=form_status(form)
    )
