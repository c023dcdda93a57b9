"""Who calls an endpoint under /api/v1/: somebody who is logged in, or a program with a personal token."""

from typing import TYPE_CHECKING

from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from teams.models import ApiToken, User
from teams.selectors import token_by_secret
from teams.token_services import token_used

if TYPE_CHECKING:  # the framework's views read this module when they are imported
    from rest_framework.views import APIView


class TokenAuthentication(BaseAuthentication):
    """Let a program act as the person who made its token: `Authorization: Bearer tankpat_…`."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        """Return the person and the token; None without one. Raises AuthenticationFailed for one that does not hold."""
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = token_by_secret(secret.strip())
        if token is None:
            raise exceptions.AuthenticationFailed("This token is unknown, expired or revoked.", code="bad_token")
        token_used(token)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        """Return what a 401 asks for."""
        return 'Bearer realm="Tank"'


class HasScope(BasePermission):
    """A token opens only what its scopes name: the view says which, by `read_scope` and `write_scope`.

    That is in addition to what the token's person may do. A view that names none is closed to tokens.
    """

    def has_permission(self, request: Request, view: "APIView") -> bool:
        """Say whether a request may go on; raises PermissionDenied (scope_missing) with the scope that it needs."""
        if not isinstance(request.auth, ApiToken):
            return True
        kind = "read_scope" if request.method in SAFE_METHODS else "write_scope"
        needed = str(getattr(view, kind, ""))
        if needed not in request.auth.scopes:
            wanted = f"This token lacks the scope {needed}." if needed else "Tokens cannot do this."
            raise exceptions.PermissionDenied(wanted, code="scope_missing")
        return True
