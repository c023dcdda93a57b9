"""How people come in: nobody signs up by themselves.

Accounts are made by the platform admin. Who comes from the company's OpenID Connect provider gets the account
with the address that the provider vouches for; a new one only where OIDC_SIGNUP allows it.
"""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.http import HttpRequest

from teams.models import User


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # the package has no types
    """Local accounts: made by the platform admin only."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Refuse sign-up."""
        return False


class SocialAccountAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # the package has no types
    """Accounts of the company's provider."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Let new people in where OIDC_SIGNUP says so."""
        return bool(settings.OIDC_SIGNUP)

    def populate_user(self, request: HttpRequest, sociallogin: Any, data: dict[str, Any]) -> User:
        """Take the name that the provider gives, since our people have one name."""
        user: User = super().populate_user(request, sociallogin, data)
        parts = (data.get("first_name"), data.get("last_name"))
        user.name = data.get("name") or " ".join(part for part in parts if part) or user.email
        return user
