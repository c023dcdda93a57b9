"""Accounts, roles, units and teams in the admin: every change is a service call; the history can only be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from teams import services
from teams.access import UserRequest
from teams.errors import Refused
from teams.models import SYSTEM_EMAIL, AuditEvent, BusinessUnit, OutgoingMail, Role, Team, User
from teams.selectors import email_taken, teams_with_sizes
from teams.service_admin import ReadOnlyAdmin, ServiceAdmin
from teams.withheld import events_open_to

if TYPE_CHECKING:
    UserFormBase = forms.ModelForm[User]
else:
    UserFormBase = forms.ModelForm

admin.site.unregister(Group)  # roles are ours: see teams.rules


class UserForm(UserFormBase):
    """An account as a platform admin sees it."""

    roles = forms.MultipleChoiceField(
        choices=Role.choices, required=False, widget=UnfoldAdminCheckboxSelectMultipleWidget, label="Company-wide roles"
    )
    reason = forms.CharField(
        max_length=300, required=False, widget=UnfoldAdminTextInputWidget, help_text="Kept in the history."
    )

    class Meta:
        model = User
        fields = ("email", "name", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["roles"] = list(self.instance.role_grants.values_list("role", flat=True))

    def clean_email(self) -> str:
        """Return the address in lower case; raises ValidationError when an account has it, in any case."""
        email: str = self.cleaned_data["email"].strip().lower()
        if email_taken(email):
            raise forms.ValidationError(f"There is an account for {email} already.", code="taken")
        return email


@admin.register(User)
class UserAdmin(ServiceAdmin):
    """People: accounts, whether they are active, and their company-wide roles."""

    form = UserForm
    list_display = ("name", "email", "is_active", "is_staff", "role_words")
    list_filter = ("is_active", "role_grants__role")
    search_fields = ("name", "email")
    ordering = ("name", "pk")
    actions = ("deactivate",)
    fields = ("email", "name", "is_active", "roles", "reason")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Leave the system out: nobody changes it."""
        people: QuerySet[User] = super().get_queryset(request)
        return people.exclude(email=SYSTEM_EMAIL).prefetch_related("role_grants")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Keep the address, which is how somebody logs in, once the account is there."""
        return ("email",) if obj else ()

    @admin.display(description="Roles")
    def role_words(self, user: User) -> str:
        """Return the roles in words."""
        return ", ".join(sorted(grant.get_role_display() for grant in user.role_grants.all())) or "none"

    def save_model(self, request: UserRequest, obj: User, form: UserForm, change: bool) -> None:
        """Make the account or bring it to what was entered."""
        data = form.cleaned_data
        user = obj if change else services.user_create(actor=request.user, email=data["email"], name=data["name"])
        obj.pk = user.pk
        stored = User.objects.get(pk=user.pk)
        services.user_update(
            actor=request.user,
            user=stored,
            name=data["name"],
            active=data["is_active"],
            roles=set(data["roles"]),
            reason=data["reason"],
        )

    @admin.action(description="Stop these accounts", permissions=["change"])
    def deactivate(self, request: UserRequest, people: QuerySet[User]) -> None:
        """Stop accounts; open sessions end with their next request."""
        for user in people:
            try:
                services.user_active_set(actor=request.user, user=user, active=False, reason="Stopped in the admin.")
            except Refused as refusal:
                messages.error(request, f"{user}: {refusal.message}")


@admin.register(BusinessUnit)
class BusinessUnitAdmin(ServiceAdmin):
    """Business units and who heads them."""

    list_display = ("name", "head")
    list_select_related = ("head",)
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("name", "head")
    autocomplete_fields = ("head",)

    def get_readonly_fields(self, request: HttpRequest, obj: BusinessUnit | None = None) -> tuple[str, ...]:
        """Keep the name once the unit is there: reports are filed under it."""
        return ("name",) if obj else ()

    def save_model(self, request: UserRequest, obj: BusinessUnit, form: forms.ModelForm[Any], change: bool) -> None:
        """Make the unit or name its head."""
        head = form.cleaned_data["head"]
        if change:
            services.business_unit_head_set(actor=request.user, unit=BusinessUnit.objects.get(pk=obj.pk), head=head)
        else:
            obj.pk = services.business_unit_create(actor=request.user, name=form.cleaned_data["name"], head=head).pk


@admin.register(Team)
class TeamAdmin(ServiceAdmin):
    """Teams: names, units and cost centres. Members are on the team's own page."""

    list_display = ("name", "business_unit", "cost_centre", "people_count", "page")
    list_filter = ("business_unit",)
    list_select_related = ("business_unit",)
    search_fields = ("name", "cost_centre")
    ordering = ("name",)
    fields = ("name", "business_unit", "cost_centre")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        """Add how many people each team has."""
        return teams_with_sizes(super().get_queryset(request))

    @admin.display(description="People", ordering="people")
    def people_count(self, team: Team) -> int:
        """Return how many people belong to the team."""
        people: int = team.people  # type: ignore[attr-defined]  # annotated above
        return people

    @admin.display(description="Page")
    def page(self, team: Team) -> SafeString:
        """Link to where members are added and removed."""
        return format_html('<a href="{}">Members</a>', reverse("teams:team", args=[team.slug]))

    def save_model(self, request: UserRequest, obj: Team, form: forms.ModelForm[Any], change: bool) -> None:
        """Make the team or bring it to what was entered."""
        data = form.cleaned_data
        if change:
            services.team_update(actor=request.user, team=Team.objects.get(pk=obj.pk), **data)
        else:
            obj.pk = services.team_create(actor=request.user, **data).pk


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    """The history of changes: who did what to which object, when and why."""

    list_display = ("at", "actor", "verb", "object_type", "object_id", "reason")
    list_select_related = ("actor",)
    list_filter = ("object_type",)
    search_fields = ("verb", "object_id", "reason", "actor__email")
    ordering = ("-pk",)
    fields: ClassVar = ["at", "actor", "verb", "object_type", "object_id", "reason", "details"]
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        """Leave out what is closed to the reader, such as decisions of a round that is not published."""
        return events_open_to(request.user, super().get_queryset(request))


@admin.register(OutgoingMail)
class OutgoingMailAdmin(ReadOnlyAdmin):
    """The outbox: e-mails, how far each got and what the server said. What is in them is their readers' own."""

    list_display = ("created_at", "user", "kind", "state", "attempts", "next_attempt_at", "sent_at", "last_error")
    list_select_related = ("user",)
    list_filter = ("state", "kind")
    search_fields = ("user__email", "user__name", "last_error")
    ordering = ("-pk",)
    actions = ("retry",)
    fields: ClassVar = ["user", "kind", "state", "attempts", "created_at", "next_attempt_at", "sent_at", "last_error"]
    show_full_result_count = False

    @admin.action(description="Try these again that were given up", permissions=["retry"])
    def retry(self, request: UserRequest, mails: QuerySet[OutgoingMail]) -> None:
        """Put e-mails that were given up back into the outbox."""
        for mail in mails:
            try:
                services.mail_retry(actor=request.user, mail=mail)
            except Refused as refusal:
                messages.error(request, f"{mail}: {refusal.message}")
            else:
                messages.success(request, f"{mail}: it leaves with the next sweep.")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Say whether the reader may try e-mails again."""
        return request.user.has_perm("teams.change_outgoingmail")
