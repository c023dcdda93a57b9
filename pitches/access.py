"""Committee doors: asked of the rules themselves, so that they hold for superusers too.

Django answers yes to a superuser before any rule is asked. Whoever runs the platform is no member of the committee
by that, and has no vote on a pitch of their own.
"""

from rules.permissions import has_perm

from pitches.models import Offer, Pitch, Round
from teams.errors import NotAllowed
from teams.selectors import Person


def may(user: Person, permission: str, thing: Pitch | Round | Offer) -> bool:
    """Say whether a rule gives somebody a permission of the committee, whatever else they are."""
    return bool(has_perm(permission, user, thing))  # type: ignore[no-untyped-call]  # the package has no types


def require_member(user: Person, permission: str, thing: Pitch | Round, *, message: str) -> None:
    """Let a service go on only for a member whom the rule names; raises NotAllowed with the message."""
    if not may(user, permission, thing):
        raise NotAllowed(message)


def require_who_decides(user: Person, pitch: Pitch) -> None:
    """Let a service go on only for the member who decides on a pitch; raises NotAllowed."""
    message = "The chair decides, and where the chair has a conflict another member without one."
    require_member(user, "pitches.decide_pitch", pitch, message=message)
