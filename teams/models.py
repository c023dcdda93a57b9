"""People, business units and teams; who may do what; the history of changes; the inbox.

Company-wide roles are `RoleGrant` rows; what a person is inside a team is a `Membership`.
"""

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now

SYSTEM_EMAIL = "system@tank.invalid"


class UserManager(BaseUserManager["User"]):
    """Make users that log in with their e-mail address."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Make a user; without a password the account cannot log in with one."""
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Make a user who may do everything in the admin."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class MailRhythm(models.TextChoices):
    """How somebody's notifications come by e-mail. The inbox has all of them in any case."""

    AT_ONCE = "at_once", "Each one at once"
    DAILY = "daily", "Once a day, all in one"
    NONE = "none", "Not at all"


class User(AbstractBaseUser, PermissionsMixin):
    """A person, or the one system actor that scheduled work acts as."""

    email = models.EmailField(max_length=254, unique=True)
    name = models.CharField(max_length=120)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False, help_text="May open the committee and platform admin.")
    date_joined = models.DateTimeField(db_default=Now())
    mail_rhythm = models.CharField(max_length=7, choices=MailRhythm, default=MailRhythm.AT_ONCE)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(Lower("email"), name="user_email_unique"),
            models.CheckConstraint(condition=Q(mail_rhythm__in=MailRhythm.values), name="user_mail_rhythm_known"),
        ]

    def __str__(self) -> str:
        return self.name or self.email

    @property
    def is_system(self) -> bool:
        """Say whether this is the actor of scheduled work."""
        return self.email == SYSTEM_EMAIL


class BusinessUnit(models.Model):
    """A part of the company that owns teams."""

    name = models.CharField(max_length=120, unique=True)
    slug = models.SlugField(max_length=60, unique=True)
    head = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="units_headed")

    def __str__(self) -> str:
        return self.name


class Team(models.Model):
    """A team that pitches and spends; its cost centre is what finance charges."""

    name = models.CharField(max_length=120, unique=True)
    slug = models.SlugField(max_length=60, unique=True)
    business_unit = models.ForeignKey(BusinessUnit, models.PROTECT, related_name="teams")
    cost_centre = models.CharField(max_length=40)
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name


class TeamRole(models.TextChoices):
    """What a person is inside a team."""

    MEMBER = "member", "Member"
    LEAD = "lead", "Lead"


class Membership(models.Model):
    """A person's place in a team."""

    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    team = models.ForeignKey(Team, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=TeamRole, default=TeamRole.MEMBER)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "team"], name="membership_unique"),
            models.CheckConstraint(condition=Q(role__in=TeamRole.values), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.team} ({self.role})"


class Role(models.TextChoices):
    """Company-wide roles."""

    COMMITTEE = "committee", "Committee member"
    CHAIR = "chair", "Committee chair"
    FINANCE = "finance", "Finance"
    PLATFORM_ADMIN = "platform_admin", "Platform admin"
    AUDITOR = "auditor", "Auditor (read-only)"
    COMPLIANCE = "compliance", "Compliance"


class RoleGrant(models.Model):
    """A company-wide role held by a person."""

    user = models.ForeignKey(User, models.CASCADE, related_name="role_grants")
    role = models.CharField(max_length=20, choices=Role)
    granted_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    granted_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "role"], name="role_grant_unique"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="role_grant_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.get_role_display()}"


class AuditEvent(models.Model):
    """One change: who did what to which object, when, and why. Append-only (trigger)."""

    at = models.DateTimeField(db_default=Now(), editable=False)
    actor = models.ForeignKey(User, models.PROTECT, related_name="+")
    verb = models.CharField(max_length=60, help_text="What was done, as object.verb, such as key.revoke.")
    object_type = models.CharField(max_length=40)
    object_id = models.CharField(max_length=64)
    reason = models.TextField(blank=True)
    details = models.JSONField(default=dict)

    class Meta:
        indexes: ClassVar = [
            # The history of one object, newest first.
            models.Index(fields=["object_type", "object_id", "-id"], name="audit_by_object"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.actor} {self.verb} {self.object_type} {self.object_id}"


class MailKind(models.TextChoices):
    """What an e-mail carries."""

    NOTICE = "notice", "One notification"
    DIGEST = "digest", "A day's notifications"


class MailState(models.TextChoices):
    """What became of an e-mail."""

    WAITING = "waiting", "Waiting"
    SENT = "sent", "Sent"
    FAILED = "failed", "Given up"
    DROPPED = "dropped", "Dropped: nothing in it is for its reader any more"


class OutgoingMail(models.Model):
    """An e-mail on its way. It is written when it leaves, from the notifications that point at it.

    `key` names it once and for ever and becomes its Message-ID, by which mail programs tell a repetition.
    """

    user = models.ForeignKey(User, models.PROTECT, related_name="mails")
    kind = models.CharField(max_length=6, choices=MailKind)
    key = models.CharField(max_length=80, unique=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    state = models.CharField(max_length=7, choices=MailState, default=MailState.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, help_text="Blank: there is none.")
    sent_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name = "e-mail"
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(kind__in=MailKind.values), name="mail_kind_known"),
            models.CheckConstraint(condition=Q(state__in=MailState.values), name="mail_state_known"),
            models.CheckConstraint(
                condition=Q(state="waiting", next_attempt_at__isnull=False)
                | (~Q(state="waiting") & Q(next_attempt_at=None)),
                name="mail_waits_for_a_time",
            ),
            models.CheckConstraint(
                condition=Q(state="sent", sent_at__isnull=False) | (~Q(state="sent") & Q(sent_at=None)),
                name="mail_sent_has_a_time",
            ),
        ]
        indexes: ClassVar = [
            # What the sweep looks for, and what a platform admin does.
            models.Index(fields=["next_attempt_at"], condition=Q(state="waiting"), name="mail_due"),
            models.Index(fields=["-id"], condition=Q(state="failed"), name="mail_failed"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} to {self.user}"


class Notification(models.Model):
    """A line in somebody's inbox. `mail` is the e-mail that it leaves with; `emailed_at` is when that left.

    `about_type` and `about_id` name the object it speaks of, so that it can be withheld from somebody to whom the
    object is closed by now. Of two lines with the same `key` for one person there is only the first.
    """

    user = models.ForeignKey(User, models.CASCADE, related_name="notifications")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    title = models.CharField(max_length=200)
    body = models.TextField(blank=True)
    url = models.CharField(max_length=300, blank=True, help_text="Path of the page to act on.")
    about_type = models.CharField(max_length=40, blank=True, help_text="Label of a model, such as pitches.pitch.")
    about_id = models.CharField(max_length=64, blank=True)
    key = models.CharField(max_length=120, null=True, blank=True)  # noqa: DJ001  # many lines have none
    read_at = models.DateTimeField(null=True, blank=True)
    wants_mail = models.BooleanField(default=True)
    mail = models.ForeignKey(OutgoingMail, models.PROTECT, null=True, blank=True, related_name="lines")
    emailed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "key"], name="notification_key_once_per_person"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["user", "-id"], name="notification_inbox"),
            # What the sweep makes e-mails of.
            models.Index(
                fields=["user", "id"],
                condition=Q(wants_mail=True, mail=None, emailed_at=None),
                name="notification_without_mail",
            ),
        ]

    def __str__(self) -> str:
        return self.title


class Scope(models.TextChoices):
    """What a personal API token may be used for, within what its person may do."""

    LEDGER_READ = "ledger:read", "Read accounts, entries, balances and usage"
    REPORTS_READ = "reports:read", "Read reports"
    PITCHES_READ = "pitches:read", "Read rounds and pitches"
    PITCHES_WRITE = "pitches:write", "Submit pitches and answer offers"
    COMMITTEE_READ = "committee:read", "Read the committee's work and the choice"
    COMMITTEE_WRITE = "committee:write", "Declare, review, vote, choose and decide"


class ApiToken(models.Model):
    """A person's token for programs: acts as the person, inside its scopes, until it expires or is revoked."""

    user = models.ForeignKey(User, models.PROTECT, related_name="api_tokens")
    name = models.CharField(max_length=80)
    scopes = ArrayField(models.CharField(max_length=20, choices=Scope))
    digest = models.BinaryField(max_length=32, unique=True, editable=False, help_text="SHA-256 of the secret.")
    hint = models.CharField(max_length=20)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the minute.")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(scopes__contained_by=Scope.values), name="token_scopes_known"),
            models.CheckConstraint(condition=~Q(scopes=[]), name="token_has_a_scope"),
            models.UniqueConstraint(
                fields=["user", "name"], condition=Q(revoked_at=None), name="token_name_unique_while_usable"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.hint})"

    @property
    def scope_labels(self) -> list[str]:
        """Return what it may be used for, in words."""
        return [str(Scope(scope).label) for scope in self.scopes]


class WebhookEvent(models.TextChoices):
    """What a webhook can tell of."""

    BUDGET_THRESHOLD = "budget.threshold", "50, 80, 95 or 100 % of a line or of a key's cap is spent"
    BUDGET_BURN_RATE = "budget.burn_rate", "A line runs out before its last day at its present pace"
    KEY_SUSPENDED = "key.suspended", "A key is suspended, by somebody or because of overage"


class Webhook(models.Model):
    """An address that is told of events: a team's own, or the company's. The secret is seen once.

    While a rotation's grace lasts, deliveries carry a signature of the former secret too.
    """

    team = models.ForeignKey(
        Team, models.PROTECT, null=True, related_name="webhooks", help_text="Whose events; blank: every team's."
    )
    name = models.CharField(max_length=80)
    url = models.CharField(max_length=500)
    events = ArrayField(models.CharField(max_length=30, choices=WebhookEvent))
    secret_encrypted = models.BinaryField(editable=False)
    former_secret_encrypted = models.BinaryField(default=b"", editable=False)
    former_secret_ends_at = models.DateTimeField(null=True, editable=False)
    is_enabled = models.BooleanField(default=True)
    disabled_at = models.DateTimeField(null=True)
    disabled_reason = models.CharField(max_length=300, blank=True)
    failing_since = models.DateTimeField(null=True, help_text="The first failure since the last success.")
    created_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(url__regex=r"^https?://"), name="webhook_url_is_http"),
            models.CheckConstraint(condition=Q(events__contained_by=WebhookEvent.values), name="webhook_events_known"),
            models.CheckConstraint(condition=~Q(events=[]), name="webhook_has_an_event"),
            models.CheckConstraint(
                condition=Q(is_enabled=True, disabled_at=None) | Q(is_enabled=False, disabled_at__isnull=False),
                name="webhook_disabled_has_a_time",
            ),
            models.UniqueConstraint(
                fields=["team", "url"],
                condition=Q(is_enabled=True),
                name="webhook_url_unique_while_enabled",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def event_labels(self) -> list[str]:
        """Return what it is told of, in words."""
        return [str(WebhookEvent(event).label) for event in self.events]


class DeliveryState(models.TextChoices):
    """What became of a delivery."""

    WAITING = "waiting", "Waiting"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Given up"
    DROPPED = "dropped", "Dropped: the webhook was disabled"


class WebhookDelivery(models.Model):
    """One event on its way to one address. What was said never changes, only how far it got; nothing is deleted."""

    webhook = models.ForeignKey(Webhook, models.PROTECT, related_name="deliveries")
    event_id = models.CharField(max_length=64, help_text="The receiver tells repetitions by it.")
    event = models.CharField(max_length=30)
    payload = models.TextField(help_text="The JSON text that is signed and sent.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    state = models.CharField(max_length=10, choices=DeliveryState, default=DeliveryState.WAITING)
    attempts = models.IntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, help_text="Blank: there is none.")
    last_attempt_at = models.DateTimeField(null=True)
    last_status = models.IntegerField(null=True, help_text="HTTP status of the last answer; blank: there was none.")
    last_error = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["webhook", "event_id"], name="delivery_event_once_per_webhook"),
            models.CheckConstraint(condition=Q(state__in=DeliveryState.values), name="delivery_state_known"),
            models.CheckConstraint(
                condition=Q(state="waiting", next_attempt_at__isnull=False)
                | (~Q(state="waiting") & Q(next_attempt_at=None)),
                name="delivery_waits_for_a_time",
            ),
            models.CheckConstraint(condition=Q(attempts__gte=0), name="delivery_attempts_not_negative"),
        ]
        indexes: ClassVar = [
            # The log of one webhook, newest first, and what the sweep looks for.
            models.Index(fields=["webhook", "-id"], name="delivery_by_webhook"),
            models.Index(fields=["next_attempt_at"], condition=Q(state="waiting"), name="delivery_due"),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.webhook}"
