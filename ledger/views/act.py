"""The page of one action: what it means, the form it needs, and the one service call that does it."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render

from teams.access import UserRequest
from teams.errors import Refused
from teams.forms import form_refuse, form_status

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
    if request.method == "POST" and form.is_valid():
        try:
            done = work(form.cleaned_data)
        except Refused as error:
            form_refuse(form, error)
        else:
            messages.success(request, done)
            return redirect(back)
    context = {"form": form, "title": title, "button": button, "words": words, "back": back, "aside": aside}
    return render(request, "ledger/act.html", context, status=form_status(form))
