"""Read people and teams: who is who, who belongs where, what is in somebody's inbox."""

from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.db.models.functions import Now

from teams import secrets
from teams.models import (
    SYSTEM_EMAIL,
    ApiToken,
    AuditEvent,
    MailState,
    Membership,
    Notification,
    OutgoingMail,
    Role,
    RoleGrant,
    Team,
    TeamRole,
    User,
    Webhook,
    WebhookDelivery,
)
from teams.withheld import lines_open_to

Person = User | AnonymousUser


@dataclass(frozen=True, slots=True)
class Standing:
    """What a person is in the company: company-wide roles, role per team id, ids of the units headed."""

    roles: frozenset[str] = frozenset()
    teams: tuple[tuple[int, str], ...] = ()
    units: frozenset[int] = frozenset()

    def role_in(self, team_id: int) -> str | None:
        """Return the role in a team, None outside it."""
        return dict(self.teams).get(team_id)


NOBODY = Standing()


def standing(user: Person) -> Standing:
    """Return what a person is; read once per user object (a request has its own) until `standing_forget`.

    Somebody who is not logged in or whose account is inactive is nobody.
    """
    if not isinstance(user, User) or not user.is_active or user.pk is None:
        return NOBODY
    known = user.__dict__.get("_standing")
    if not isinstance(known, Standing):
        known = user.__dict__["_standing"] = _standing_read(user)
    return known


def standing_forget(user: User) -> None:
    """Drop what `standing` remembers on this user object, after a change."""
    user.__dict__.pop("_standing", None)


def _standing_read(user: User) -> Standing:
    return Standing(
        roles=frozenset(RoleGrant.objects.filter(user=user).values_list("role", flat=True)),
        teams=tuple(Membership.objects.filter(user=user).order_by("team_id").values_list("team_id", "role")),
        units=frozenset(user.units_headed.values_list("pk", flat=True)),
    )


def system_user() -> User:
    """Return the actor of scheduled work; raises User.DoesNotExist before the migrations ran."""
    return User.objects.get(email=SYSTEM_EMAIL)


def has_role(user: Person, *roles: str) -> bool:
    """Say whether a person holds any of these company-wide roles."""
    return not standing(user).roles.isdisjoint(roles)


def is_member(user: Person, team: Team | None) -> bool:
    """Say whether a person belongs to a team, as member or lead."""
    return team is not None and standing(user).role_in(team.pk) is not None


def is_lead(user: Person, team: Team | None) -> bool:
    """Say whether a person leads a team."""
    return team is not None and standing(user).role_in(team.pk) == TeamRole.LEAD


def is_unit_head(user: Person, team: Team | None) -> bool:
    """Say whether a person heads the business unit that a team belongs to."""
    return team is not None and team.business_unit_id in standing(user).units


def teams_of(user: Person) -> QuerySet[Team]:
    """Return the teams that a person belongs to, by name."""
    return Team.objects.filter(pk__in=[pk for pk, _ in standing(user).teams]).order_by("name")


def teams_visible_to(user: Person) -> QuerySet[Team]:
    """Return the teams whose page a person may open, by name: own teams, headed units, all for overseers."""
    teams = Team.objects.select_related("business_unit").order_by("name")
    if has_role(user, Role.FINANCE, Role.AUDITOR, Role.PLATFORM_ADMIN):
        return teams
    own = standing(user)
    return teams.filter(Q(pk__in=[pk for pk, _ in own.teams]) | Q(business_unit_id__in=own.units))


def teams_with_sizes(teams: QuerySet[Team]) -> QuerySet[Team]:
    """Add `people`: how many belong to the team."""
    return teams.annotate(people=Count("memberships", distinct=True))


def members_of(team: Team) -> QuerySet[Membership]:
    """Return a team's memberships with their people, leads first."""
    return team.memberships.select_related("user").order_by("role", "user__name", "pk")


def leads_of(team: Team) -> QuerySet[User]:
    """Return the active people who lead a team."""
    return User.objects.filter(is_active=True, memberships__team=team, memberships__role=TeamRole.LEAD).order_by("pk")


def people_of(team: Team) -> QuerySet[User]:
    """Return the active people of a team."""
    return User.objects.filter(is_active=True, memberships__team=team).order_by("pk")


def people_with_role(*roles: str) -> QuerySet[User]:
    """Return the active people who hold any of these company-wide roles, each once."""
    return User.objects.filter(is_active=True, role_grants__role__in=roles).distinct().order_by("pk")


def people_with_places() -> QuerySet[User]:
    """Return everybody but the system, by name, with roles and teams at hand."""
    people = User.objects.exclude(email=SYSTEM_EMAIL).order_by("name", "pk")
    return people.prefetch_related(
        Prefetch("role_grants", RoleGrant.objects.order_by("role")),
        Prefetch("memberships", Membership.objects.select_related("team").order_by("team__name")),
    )


def user_by_email(email: str) -> User | None:
    """Return the active person with an e-mail address, in any case; None for nobody and for the system."""
    return User.objects.filter(email__iexact=email.strip(), is_active=True).exclude(email=SYSTEM_EMAIL).first()


def email_taken(email: str) -> bool:
    """Say whether an account has an e-mail address, in any case, active or not."""
    return User.objects.filter(email__iexact=email.strip()).exists()


def inbox(user: User, *, before: int | None = None, limit: int = 50, unread: bool | None = None) -> list[Notification]:
    """Return a person's notifications, newest first: those older than the id `before`, and read or unread ones only.

    What they speak of can be closed to the person since they came: such lines are left out.
    """
    rows = lines_open_to(user, Notification.objects.filter(user=user)).order_by("-pk")
    if before is not None:
        rows = rows.filter(pk__lt=before)
    if unread is not None:
        rows = rows.filter(read_at__isnull=unread)
    return list(rows[:limit])


def unread_count(user: Person) -> int:
    """Return how many notifications a person has not read."""
    if not isinstance(user, User):
        return 0
    return lines_open_to(user, Notification.objects.filter(user=user, read_at=None)).count()


def mails_waiting(user: User) -> list[OutgoingMail]:
    """Return somebody's own e-mails that the server refused so far and that are tried again, or were given up."""
    rows = OutgoingMail.objects.filter(user=user, state__in=[MailState.WAITING, MailState.FAILED])
    return list(rows.exclude(last_error="").order_by("-pk")[:5])


def mails_failed_count() -> int:
    """Return how many e-mails were given up."""
    return OutgoingMail.objects.filter(state=MailState.FAILED).count()


def history_of(target_type: str, target_id: int | str, *, limit: int = 50) -> list[AuditEvent]:
    """Return the changes of one object, newest first; `target_type` is its label such as "teams.team"."""
    rows = AuditEvent.objects.filter(object_type=target_type, object_id=str(target_id))
    return list(rows.select_related("actor").order_by("-pk")[:limit])


def tokens_of(user: User) -> list[ApiToken]:
    """Return a person's API tokens that were not revoked, newest first; expired ones too."""
    return list(ApiToken.objects.filter(user=user, revoked_at=None).order_by("-pk"))


def token_by_secret(secret: str) -> ApiToken | None:
    """Return the usable token of a secret with its person; None when it is unknown, revoked, expired, or they left."""
    if not secrets.is_well_formed(secret):
        return None
    tokens = ApiToken.objects.select_related("user").filter(revoked_at=None, expires_at__gt=Now())
    return tokens.filter(digest=secrets.digest(secret), user__is_active=True).first()


def teams_led(user: Person) -> QuerySet[Team]:
    """Return the teams that a person leads, by name."""
    led = [pk for pk, role in standing(user).teams if role == TeamRole.LEAD]
    return Team.objects.filter(pk__in=led).order_by("name")


def webhooks_visible_to(user: Person) -> QuerySet[Webhook]:
    """Return the webhooks that a person may see, enabled ones first: of teams they lead; all for overseers.

    Each has `last_state` and `last_attempt_at` of its newest delivery.
    """
    newest = WebhookDelivery.objects.filter(webhook=OuterRef("pk")).order_by("-pk")
    rows = Webhook.objects.select_related("team", "created_by").annotate(
        last_state=Subquery(newest.values("state")[:1]), last_attempt_at=Subquery(newest.values("last_attempt_at")[:1])
    )
    if not has_role(user, Role.FINANCE, Role.AUDITOR, Role.PLATFORM_ADMIN):
        rows = rows.filter(team__in=teams_led(user))
    return rows.order_by("-is_enabled", "team__name", "name", "pk")


def deliveries_of(webhook: Webhook, *, before: int | None = None, limit: int = 25) -> list[WebhookDelivery]:
    """Return what was sent to a webhook, newest first, deliveries older than the id `before`."""
    rows = WebhookDelivery.objects.filter(webhook=webhook).order_by("-pk")
    return list((rows if before is None else rows.filter(pk__lt=before))[:limit])
