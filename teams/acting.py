"""The shape of every change that a page makes: one service call, and what it refused said where it was asked for."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url

from teams.access import UserRequest
from teams.errors import Refused
from teams.forms import form_refuse

Work = Callable[[dict[str, Any]], HttpResponseBase]


def submitted(request: UserRequest, form: forms.BaseForm, work: Work) -> HttpResponseBase | None:
    """Do what a form asks for that was sent in; None when its page is to be shown, for the first time or again.

    `work` gets the form's data, calls the service and returns the answer. What the service refuses stands beside
    the field that it names, and what was typed stays.
    """
    if request.method == "POST" and form.is_valid():
        try:
            return work(form.cleaned_data)
        except Refused as error:
            form_refuse(form, error)
    return None


def done(request: UserRequest, words: str, to: str, **place: Any) -> HttpResponseBase:
    """Say what was done on the page that follows, which `to` and `place` name as `redirect` takes them."""
    messages.success(request, words)
    return HttpResponseRedirect(resolve_url(to, **place))


def pressed(request: UserRequest, work: Callable[[], str], to: str, **place: Any) -> HttpResponseBase:
    """Do what a button without a form asks for; the page that follows says what `work` returns or was refused."""
    try:
        return done(request, work(), to, **place)
    except Refused as error:
        messages.error(request, error.message)
    return HttpResponseRedirect(resolve_url(to, **place))
