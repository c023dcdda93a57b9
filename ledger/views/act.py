"""The page of one action: what it means, the form it needs, and the one service call that does it."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.http.response import HttpResponseBase
from django.shortcuts import render

from teams.access import UserRequest
from teams.acting import done, submitted
from teams.forms import form_status

Work = Callable[[dict[str, Any]], str]


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
