"""The page of one action: what it means, the form it needs, and the one service call that does it.

What one person of finance began another decides: `decide` is the page of each such decision.
"""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import Http404
from django.http.response import HttpResponseBase
from django.shortcuts import render

from teams.access import UserRequest, find_or_404
from teams.acting import done, submitted
from teams.forms import form_status

Work = Callable[[dict[str, Any]], str]
# By the decision's name: its title, what it means, the form, and the permission of whoever may take it.
Decisions = Mapping[str, tuple[str, str, type[forms.Form], str]]


def act(
    request: UserRequest,
    form: forms.Form,
    *,
    title: str,
    button: str,
    words: str,
    back: str,
    work: Work,
    aside: str = "",
) -> HttpResponseBase:
    """Show what an action means, and do it: `work` calls the service and returns what to say afterwards.

    `aside` is a template that says where else to go.
    """
    answer = submitted(request, form, lambda data: done(request, work(data), back))
    context = {"form": form, "title": title, "button": button, "words": words, "back": back, "aside": aside}
    return answer or render(request, "ledger/act.html", context, status=form_status(form))


def decide(
    request: UserRequest,
    decision: str,
    known: Decisions,
    rows: QuerySet[Any],
    pk: int,
    *,
    services: ModuleType,
    noun: str,
    argument: str,
    back: str,
) -> HttpResponseBase:
    """Show what deciding about a row means; the service `<noun>_<decision>` does it, with the row as `argument`."""
    if decision not in known:
        raise Http404
    title, words, form_class, permission = known[decision]
    found = find_or_404(rows, request.user, permission, pk=pk)

    def work(data: dict[str, Any]) -> str:
        getattr(services, f"{noun}_{decision}")(actor=request.user, **{argument: found}, **data)
        found.refresh_from_db()
        return f"{found}: {found.get_state_display().lower()}."

    form = form_class(request.POST if request.method == "POST" else None)
    button = title.removesuffix(" to")
    return act(request, form, title=f"{title} {found}?", button=button, words=words, back=back, work=work)
