"""Write personal API tokens: made and revoked by their own person, used by programs."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from teams import secrets
from teams.access import require
from teams.errors import Refused
from teams.models import ApiToken, Scope, User
from teams.services import audit_record

MOST_DAYS = 366
MOST_TOKENS = 20
USED_EVERY = timedelta(minutes=1)


@transaction.atomic
def token_create(*, actor: User, name: str, scopes: Collection[str], days: int) -> tuple[ApiToken, str]:
    """Make a token for oneself that lasts so many days; returns it and its secret, which is never seen again.

    Raises Refused for an empty or taken name, no or an unknown scope, more than 366 days, or a 21st token.
    """
    name, now = name.strip(), datetime.now(UTC)
    User.objects.select_for_update().get(pk=actor.pk)
    usable = ApiToken.objects.filter(user=actor, revoked_at=None)
    _require_sound(name, scopes, days)
    if usable.filter(name=name).exists():
        raise Refused(f"You have a token called “{name}” already; revoke it first.", field="name")
    if usable.filter(expires_at__gt=now).count() >= MOST_TOKENS:
        raise Refused(f"You have {MOST_TOKENS} tokens; revoke one that is not used.", field="name")
    secret = secrets.make()
    token = ApiToken.objects.create(
        user=actor,
        name=name,
        scopes=sorted(set(scopes)),
        digest=secrets.digest(secret),
        hint=secrets.hint(secret),
        expires_at=now + timedelta(days=days),
    )
    details = {"name": name, "scopes": token.scopes, "expires_at": token.expires_at.isoformat()}
    audit_record(actor=actor, verb="token.create", target=token, details=details)
    return token, secret


@transaction.atomic
def token_revoke(*, actor: User, token: ApiToken, reason: str = "") -> None:
    """End a token at once; a second time changes nothing. Raises NotAllowed."""
    require(actor, "teams.change_apitoken", token, message="This is somebody else's token.")
    if ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=Now()):
        audit_record(actor=actor, verb="token.revoke", target=token, reason=reason, details={"name": token.name})


def token_used(token: ApiToken) -> None:
    """Note that a token was used, to the minute: a busy program does not write at every call."""
    before = datetime.now(UTC) - USED_EVERY
    stale = ApiToken.objects.filter(Q(last_used_at=None) | Q(last_used_at__lt=before), pk=token.pk)
    stale.update(last_used_at=Now())


def _require_sound(name: str, scopes: Collection[str], days: int) -> None:
    if not 0 < len(name) <= 80:
        raise Refused("A token has a name of at most 80 characters.", field="name")
    if not scopes or set(scopes) - set(Scope.values):
        raise Refused("Choose what the token may be used for.", field="scopes")
    if not 0 < days <= MOST_DAYS:
        raise Refused(f"A token lasts from one day to {MOST_DAYS}.", field="days")
