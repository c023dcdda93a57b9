"""Permissions: predicates about people, and what each of them may do with people and teams.

The names follow Django's (`app.action_model`), so that pages, the admin and the API ask the same question:
`user.has_perm("teams.change_team", team)`. A predicate about an object is False without one.
"""

from typing import Any

from rules.permissions import permissions
from rules.predicates import Predicate

from teams import selectors
from teams.models import SYSTEM_EMAIL, ApiToken, Membership, Notification, Role, Team, TeamRole
from teams.selectors import Person


def _team_of(target: Any) -> Team | None:
    """Return the team that an object belongs to: itself, or what its `team` names."""
    return target if isinstance(target, Team) else getattr(target, "team", None)


@Predicate
def is_finance(user: Person) -> bool:
    """Say whether somebody works in finance."""
    return selectors.has_role(user, Role.FINANCE)


@Predicate
def is_auditor(user: Person) -> bool:
    """Say whether somebody audits: reads everything, changes nothing."""
    return selectors.has_role(user, Role.AUDITOR)


@Predicate
def is_committee(user: Person) -> bool:
    """Say whether somebody sits in the committee, chair included."""
    return selectors.has_role(user, Role.COMMITTEE, Role.CHAIR)


@Predicate
def is_chair(user: Person) -> bool:
    """Say whether somebody chairs the committee."""
    return selectors.has_role(user, Role.CHAIR)


@Predicate
def is_platform_admin(user: Person) -> bool:
    """Say whether somebody runs the platform: providers, models, people."""
    return selectors.has_role(user, Role.PLATFORM_ADMIN)


@Predicate
def is_compliance(user: Person) -> bool:
    """Say whether somebody judges whether a use of data is allowed."""
    return selectors.has_role(user, Role.COMPLIANCE)


@Predicate
def is_system(user: Person) -> bool:
    """Say whether this is the actor of scheduled work and commands."""
    return getattr(user, "email", "") == SYSTEM_EMAIL


@Predicate
def is_member(user: Person, target: Any) -> bool:
    """Say whether somebody belongs to the team of an object."""
    return selectors.is_member(user, _team_of(target))


@Predicate
def is_lead(user: Person, target: Any) -> bool:
    """Say whether somebody leads the team of an object."""
    return selectors.is_lead(user, _team_of(target))


@Predicate
def is_unit_head(user: Person, target: Any) -> bool:
    """Say whether somebody heads the business unit of an object's team."""
    return selectors.is_unit_head(user, _team_of(target))


@Predicate
def is_theirs(user: Person, target: Any) -> bool:
    """Say whether an object names somebody as its user."""
    return isinstance(target, ApiToken | Notification | Membership) and target.user_id == user.pk


@Predicate
def leads_a_team(user: Person) -> bool:
    """Say whether somebody leads any team."""
    return any(role == TeamRole.LEAD for _, role in selectors.standing(user).teams)


oversees = is_finance | is_auditor | is_platform_admin
"""May see every team and its money."""


def allow(permission: str, who: Predicate) -> None:
    """Give a permission to the people that a predicate names."""
    permissions.add_rule(permission, who)  # type: ignore[no-untyped-call]  # the package has no types


allow("teams", is_platform_admin | is_auditor)
allow("teams.view_team", oversees | is_member | is_unit_head)
allow("teams.add_team", is_platform_admin | is_system)
allow("teams.change_team", is_platform_admin | is_system | is_lead)
allow("teams.view_membership", oversees | is_member | is_unit_head)
allow("teams.view_notification", is_theirs)
allow("teams.change_notification", is_theirs)
allow("teams.view_apitoken", is_theirs)
allow("teams.change_apitoken", is_theirs)
allow("teams.view_auditevent", is_auditor | is_platform_admin)
allow("teams.view_outgoingmail", is_auditor | is_platform_admin)
allow("teams.change_outgoingmail", is_platform_admin)
# Of a webhook without a team, which is the company's, nobody is lead.
allow("teams.list_webhooks", oversees | leads_a_team)
allow("teams.view_webhook", oversees | is_lead)
allow("teams.add_webhook", is_finance | is_platform_admin | is_lead)
allow("teams.change_webhook", is_finance | is_platform_admin | is_system | is_lead)
for model in ("user", "businessunit", "rolegrant"):
    allow(f"teams.view_{model}", is_platform_admin | is_auditor)
    allow(f"teams.add_{model}", is_platform_admin | is_system)
    allow(f"teams.change_{model}", is_platform_admin | is_system)
