"""Ask for a permission: 404 for pages and the API, NotAllowed for services.

Somebody else's object does not exist for you: the answer is the same 404 as for a number that was never given.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from django.contrib.auth.decorators import login_required
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django_htmx.middleware import HtmxDetails

from teams.errors import NotAllowed
from teams.models import User
from teams.selectors import Person

P = ParamSpec("P")
T = TypeVar("T", bound=Model | None)
M = TypeVar("M", bound=Model)
Page = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


class UserRequest(HttpRequest):
    """A request of somebody who is logged in."""

    user: User
    htmx: HtmxDetails


def visible_or_404(user: Person, permission: str, obj: T) -> T:
    """Return the object when the person has the permission on it; raises Http404 otherwise."""
    if not user.has_perm(permission, obj):
        raise Http404
    return obj


def find_or_404(source: QuerySet[M], user: Person, permission: str, **lookup: Any) -> M:
    """Return the one row that matches; raises Http404 when there is none or the person may not see it."""
    return visible_or_404(user, permission, get_object_or_404(source, **lookup))


def require(user: User, permission: str, obj: Model | None = None, *, message: str = "You may not do this.") -> None:
    """Let a service go on only for an actor with the permission; raises NotAllowed with the message."""
    if not user.has_perm(permission, obj):
        raise NotAllowed(message)


UserPage = Callable[Concatenate[UserRequest, P], HttpResponseBase]


def members_only(view: UserPage[P]) -> Page[P]:
    """Open a page to everybody who is logged in; others are sent to the login page."""
    return cast(Page[P], login_required(view))


def allowed_only(permission: str) -> Callable[[UserPage[P]], Page[P]]:
    """Open a page to people with a permission that needs no object: 404 for others, login for strangers."""

    def decorate(view: UserPage[P]) -> Page[P]:
        @wraps(view)
        def guarded(request: UserRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            visible_or_404(request.user, permission, None)
            return view(request, *args, **kwargs)

        return members_only(cast(UserPage[P], guarded))

    return decorate
