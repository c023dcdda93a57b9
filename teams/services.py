"""Write people, teams, roles, the history of changes and the inbox.

Every change takes the actor, asks whether the actor may, and leaves an audit event in the same transaction.
"""

from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Model
from django.db.models.functions import Now
from django.utils.text import Truncator, slugify

from teams.access import require
from teams.errors import Refused, WrongState
from teams.models import (
    AuditEvent,
    BusinessUnit,
    MailRhythm,
    MailState,
    Membership,
    Notification,
    OutgoingMail,
    Role,
    RoleGrant,
    Team,
    TeamRole,
    User,
)
from teams.selectors import email_taken, standing_forget, user_by_email

UNASSIGNED_UNIT = "Unassigned"
STAFF_ROLES = (Role.COMMITTEE, Role.CHAIR, Role.PLATFORM_ADMIN, Role.AUDITOR)
"""Roles that work in the admin site; the others never see it."""


def audit_record(
    *, actor: User, verb: str, target: Model, reason: str = "", details: dict[str, Any] | None = None
) -> AuditEvent:
    """Write down who did what to which object; call it in the transaction of the change."""
    return AuditEvent.objects.create(
        actor=actor,
        verb=verb,
        object_type=target._meta.label_lower,
        object_id=str(target.pk),
        reason=reason,
        details=details or {},
    )


def notification_send(
    *, user: User, title: str, body: str = "", url: str = "", about: Model | None = None, key: str | None = None
) -> Notification:
    """Put a line into somebody's inbox; its e-mail leaves as they prefer, with the next sweep of the outbox.

    `url` is the path of the page to act on. A title longer than 200 characters is cut. `about` is the object that it
    speaks of, so that it is withheld once that is closed to its reader. A `key` is for what must be said once: a
    second line with it is not made, and the first is returned.
    """
    said = {
        "title": Truncator(title).chars(200),
        "body": body,
        "url": url,
        "about_type": about._meta.label_lower if about else "",
        "about_id": str(about.pk) if about else "",
        "wants_mail": user.mail_rhythm != MailRhythm.NONE,
    }
    if key is None:
        return Notification.objects.create(user=user, **said)
    return Notification.objects.get_or_create(user=user, key=key, defaults=said)[0]


@transaction.atomic
def mail_rhythm_set(*, actor: User, rhythm: str) -> None:
    """Say how one's own notifications come by e-mail; raises Refused for an unknown way.

    What still waits to leave goes the new way; with none of it, it stays in the inbox alone.
    """
    if rhythm not in MailRhythm.values:
        raise Refused(f"“{rhythm}” is not a way to get e-mail.", field="rhythm")
    User.objects.filter(pk=actor.pk).update(mail_rhythm=rhythm)
    actor.mail_rhythm = rhythm
    if rhythm == MailRhythm.NONE:
        Notification.objects.filter(user=actor, mail=None, emailed_at=None).update(wants_mail=False)


@transaction.atomic
def mail_retry(*, actor: User, mail: OutgoingMail, at: datetime | None = None) -> None:
    """Try an e-mail again that was given up, with the next sweep. Raises NotAllowed, WrongState."""
    require(actor, "teams.change_outgoingmail", message="Only a platform admin does this.")
    mail = OutgoingMail.objects.select_for_update().get(pk=mail.pk)
    if mail.state != MailState.FAILED:
        raise WrongState("Only an e-mail that was given up is tried again.")
    mail.state, mail.attempts, mail.next_attempt_at = MailState.WAITING, 0, at or datetime.now(UTC)
    mail.save(update_fields=["state", "attempts", "next_attempt_at"])
    audit_record(actor=actor, verb="mail.retry", target=mail, details={"error": mail.last_error})


def notification_read(*, actor: User, notification: Notification) -> None:
    """Mark a line of one's own inbox as read; a second time changes nothing. Raises NotAllowed."""
    require(actor, "teams.change_notification", notification, message="This is somebody else's inbox.")
    Notification.objects.filter(pk=notification.pk, read_at=None).update(read_at=Now())


def inbox_read(*, actor: User) -> int:
    """Mark everything in one's own inbox as read; returns how many lines that were."""
    return Notification.objects.filter(user=actor, read_at=None).update(read_at=Now())


@transaction.atomic
def business_unit_create(*, actor: User, name: str, head: User | None = None) -> BusinessUnit:
    """Make a business unit; raises NotAllowed, or Refused when the name is taken or empty."""
    require(actor, "teams.add_businessunit", message="Only a platform admin makes business units.")
    name = _name_checked(name, taken=BusinessUnit.objects.filter(name__iexact=name.strip()).exists())
    unit = BusinessUnit.objects.create(name=name, slug=_slug_free(BusinessUnit, name), head=head)
    if head is not None:
        standing_forget(head)
    audit_record(actor=actor, verb="unit.create", target=unit, details={"head": head.email if head else None})
    return unit


@transaction.atomic
def business_unit_head_set(*, actor: User, unit: BusinessUnit, head: User | None) -> None:
    """Name the head of a business unit, or nobody; raises NotAllowed."""
    require(actor, "teams.change_businessunit", unit, message="Only a platform admin names heads.")
    locked = BusinessUnit.objects.select_for_update().get(pk=unit.pk)
    if locked.head_id == (head.pk if head else None):
        return
    locked.head = unit.head = head
    locked.save(update_fields=["head"])
    if head is not None:
        standing_forget(head)
    audit_record(actor=actor, verb="unit.head_set", target=unit, details={"head": head.email if head else None})


@transaction.atomic
def team_create(*, actor: User, name: str, cost_centre: str, business_unit: BusinessUnit | None = None) -> Team:
    """Make a team; without a unit it joins "Unassigned". Raises NotAllowed, or Refused for a taken or empty name."""
    require(actor, "teams.add_team", message="Only a platform admin makes teams.")
    name = _name_checked(name, taken=Team.objects.filter(name__iexact=name.strip()).exists())
    cost_centre = _cost_centre_checked(cost_centre)
    unit = business_unit or _unassigned_unit()
    team = Team.objects.create(name=name, slug=_slug_free(Team, name), business_unit=unit, cost_centre=cost_centre)
    audit_record(actor=actor, verb="team.create", target=team, details={"unit": unit.name})
    return team


@transaction.atomic
def membership_set(*, actor: User, user: User, team: Team, role: str) -> Membership:
    """Make somebody a member or lead of a team, or change which of the two; the same again changes nothing.

    Raises NotAllowed, or Refused for an unknown role, an inactive account, or when the team would lose its last lead.
    """
    require(actor, "teams.change_team", team, message="Only a lead of the team or a platform admin changes it.")
    if role not in TeamRole.values:
        raise Refused(f"“{role}” is not a role in a team.", field="role")
    if not user.is_active:
        raise Refused(f"The account of {user} is not active.", field="email")
    Team.objects.select_for_update().get(pk=team.pk)
    membership = Membership.objects.filter(user=user, team=team).first()
    if membership is None:
        membership = Membership.objects.create(user=user, team=team, role=role)
    elif membership.role == role:
        return membership
    else:
        _keep_a_lead(membership)
        membership.role = role
        membership.save(update_fields=["role"])
    standing_forget(user)
    audit_record(actor=actor, verb="team.membership_set", target=team, details={"user": user.email, "role": role})
    return membership


@transaction.atomic
def member_add(*, actor: User, team: Team, email: str, role: str) -> User:
    """Take the person with an e-mail address into a team and tell them.

    Raises NotAllowed, or Refused when nobody has the address or they are in the team already.
    """
    require(actor, "teams.change_team", team, message="Only a lead of the team or a platform admin changes it.")
    user = user_by_email(email)
    if user is None:
        raise Refused(f"Nobody has an account with {email}. A platform admin makes accounts.", field="email")
    if Membership.objects.filter(user=user, team=team).exists():
        raise Refused(f"{user} is in {team} already.", field="email")
    membership_set(actor=actor, user=user, team=team, role=role)
    notification_send(user=user, title=f"You are in {team} now", body=f"{actor} added you.", url=f"/teams/{team.slug}/")
    return user


@transaction.atomic
def membership_remove(*, actor: User, user: User, team: Team, reason: str = "") -> None:
    """Take somebody out of a team; the keys they issued go on working, since keys belong to the team.

    Raises NotAllowed, or Refused for a non-member or the last lead.
    """
    require(actor, "teams.change_team", team, message="Only a lead of the team or a platform admin changes it.")
    Team.objects.select_for_update().get(pk=team.pk)
    membership = Membership.objects.filter(user=user, team=team).first()
    if membership is None:
        raise Refused(f"{user} is not in {team}.")
    _keep_a_lead(membership)
    membership.delete()
    standing_forget(user)
    audit_record(actor=actor, verb="team.membership_remove", target=team, reason=reason, details={"user": user.email})


def _keep_a_lead(membership: Membership) -> None:
    # Offers and keys need somebody in the team who answers for them.
    if membership.role != TeamRole.LEAD:
        return
    leads = Membership.objects.filter(team_id=membership.team_id, role=TeamRole.LEAD)
    if not leads.exclude(pk=membership.pk).exists():
        raise Refused("A team needs a lead: make somebody else lead first.", field="role")


@transaction.atomic
def role_grant(*, actor: User, user: User, role: str, reason: str = "") -> RoleGrant:
    """Give a person a company-wide role; the same again changes nothing.

    Raises NotAllowed, or Refused for an unknown role or an inactive account.
    """
    require(actor, "teams.add_rolegrant", message="Only a platform admin gives roles.")
    if role not in Role.values:
        raise Refused(f"“{role}” is not a role.", field="role")
    if not user.is_active:
        raise Refused(f"The account of {user} is not active.", field="user")
    User.objects.select_for_update().get(pk=user.pk)
    grant, made = RoleGrant.objects.get_or_create(user=user, role=role, defaults={"granted_by": actor})
    if made:
        _roles_changed(user)
        audit_record(actor=actor, verb="role.grant", target=user, reason=reason, details={"role": role})
    return grant


@transaction.atomic
def role_withdraw(*, actor: User, user: User, role: str, reason: str = "") -> None:
    """Take a company-wide role away; one that is not held changes nothing.

    Raises NotAllowed, or Refused for the last platform admin.
    """
    require(actor, "teams.change_rolegrant", message="Only a platform admin withdraws roles.")
    User.objects.select_for_update().get(pk=user.pk)
    grant = RoleGrant.objects.filter(user=user, role=role).first()
    if grant is None:
        return
    others = RoleGrant.objects.filter(role=Role.PLATFORM_ADMIN, user__is_active=True).exclude(user=user)
    if role == Role.PLATFORM_ADMIN and not others.exists():
        raise Refused("Tank needs a platform admin: give somebody else the role first.", field="role")
    grant.delete()
    _roles_changed(user)
    audit_record(actor=actor, verb="role.withdraw", target=user, reason=reason, details={"role": role})


def _roles_changed(user: User) -> None:
    user.is_staff = user.is_superuser or user.role_grants.filter(role__in=STAFF_ROLES).exists()
    user.save(update_fields=["is_staff"])
    standing_forget(user)


@transaction.atomic
def user_create(*, actor: User, email: str, name: str, password: str | None = None) -> User:
    """Make an account; without a password its owner sets one through "forgotten password".

    Raises NotAllowed, or Refused for an address that is malformed or taken, or an empty name.
    """
    require(actor, "teams.add_user", message="Only a platform admin makes accounts.")
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError as error:
        raise Refused(f"“{email}” is not an e-mail address.", field="email") from error
    if email_taken(email):
        raise Refused(f"There is an account for {email} already.", field="email")
    user = User.objects.create_user(email, password, name=_name_checked(name, taken=False))
    audit_record(actor=actor, verb="user.create", target=user, details={"email": email})
    return user


@transaction.atomic
def user_active_set(*, actor: User, user: User, active: bool, reason: str) -> None:
    """Let an account log in, or stop it; open sessions end with their next request.

    Raises NotAllowed, or Refused for one's own account or the system's.
    """
    require(actor, "teams.change_user", user, message="Only a platform admin does this.")
    if user.is_system or user.pk == actor.pk:
        raise Refused("Not your own account, and not the system's.", field="user")
    locked = User.objects.select_for_update().get(pk=user.pk)
    if locked.is_active == active:
        return
    locked.is_active = user.is_active = active
    locked.save(update_fields=["is_active"])
    standing_forget(user)
    audit_record(actor=actor, verb="user.activate" if active else "user.deactivate", target=user, reason=reason)


@transaction.atomic
def user_update(*, actor: User, user: User, name: str, active: bool, roles: set[str], reason: str = "") -> None:
    """Bring an account to a name, to active or not, and to a set of company-wide roles, in one transaction.

    Raises NotAllowed, or Refused as `user_active_set`, `role_grant` and `role_withdraw` do.
    """
    require(actor, "teams.change_user", user, message="Only a platform admin changes accounts.")
    name = _name_checked(name, taken=False)
    if name != User.objects.get(pk=user.pk).name:
        User.objects.filter(pk=user.pk).update(name=name)
        audit_record(actor=actor, verb="user.rename", target=user, reason=reason, details={"name": name})
    held = set(user.role_grants.values_list("role", flat=True))
    if active and not user.is_active:
        user_active_set(actor=actor, user=user, active=True, reason=reason)
    for role in sorted(roles - held):
        role_grant(actor=actor, user=user, role=role, reason=reason)
    for role in sorted(held - roles):
        role_withdraw(actor=actor, user=user, role=role, reason=reason)
    if not active and user.is_active:
        user_active_set(actor=actor, user=user, active=False, reason=reason)


@transaction.atomic
def team_update(*, actor: User, team: Team, name: str, cost_centre: str, business_unit: BusinessUnit) -> None:
    """Change what a team is called, whom finance charges, and where it belongs; its address stays.

    Raises NotAllowed, or Refused for a taken or empty name or an empty cost centre.
    """
    require(actor, "teams.add_team", message="Only a platform admin changes teams.")
    taken = Team.objects.filter(name__iexact=name.strip()).exclude(pk=team.pk).exists()
    name, cost_centre = _name_checked(name, taken=taken), _cost_centre_checked(cost_centre)
    locked = Team.objects.select_for_update().get(pk=team.pk)
    before = {"name": locked.name, "cost_centre": locked.cost_centre, "unit": locked.business_unit.name}
    after = {"name": name, "cost_centre": cost_centre, "unit": business_unit.name}
    Team.objects.filter(pk=team.pk).update(name=name, cost_centre=cost_centre, business_unit=business_unit)
    if before != after:
        audit_record(actor=actor, verb="team.update", target=team, details={"before": before, "after": after})


@transaction.atomic
def profile_update(*, actor: User, name: str) -> None:
    """Change one's own name as others see it; raises Refused for an empty one."""
    name = _name_checked(name, taken=False)
    User.objects.filter(pk=actor.pk).update(name=name)
    actor.name = name


def _name_checked(name: str, *, taken: bool) -> str:
    name = name.strip()
    if not name:
        raise Refused("A name is needed.", field="name")
    if len(name) > 120:
        raise Refused("A name has at most 120 characters.", field="name")
    if taken:
        raise Refused(f"“{name}” exists already.", field="name")
    return name


def _cost_centre_checked(cost_centre: str) -> str:
    cost_centre = cost_centre.strip()
    if not 0 < len(cost_centre) <= 40:
        raise Refused("Finance charges a team by its cost centre: at most 40 characters.", field="cost_centre")
    return cost_centre


def _slug_free(model: type[BusinessUnit] | type[Team], name: str) -> str:
    base = slugify(name)[:50] or model._meta.model_name or "x"
    slug, number = base, 1
    while model.objects.filter(slug=slug).exists():
        number += 1
        slug = f"{base}-{number}"
    return slug


def _unassigned_unit() -> BusinessUnit:
    unit, _ = BusinessUnit.objects.get_or_create(name=UNASSIGNED_UNIT, defaults={"slug": slugify(UNASSIGNED_UNIT)})
    return unit
