"""Forms of people and teams, and how every form looks and says what is wrong."""

from collections.abc import Iterable
from datetime import timedelta

from django import forms
from django.forms.renderers import TemplatesSetting

from teams.errors import Refused
from teams.models import MailRhythm, Scope, Team, TeamRole, WebhookEvent


class TankRenderer(TemplatesSetting):
    """Render forms with our field: label, hint, control and, beside it, what is wrong."""

    form_template_name = "forms/form.html"
    field_template_name = "forms/field.html"


def form_refuse(form: forms.BaseForm, error: Refused) -> None:
    """Show what a service refused beside the field it names, or above the form; what was typed stays."""
    form.add_error(error.field if error.field in form.fields else None, error.message)


def form_status(form: forms.BaseForm) -> int:
    """Return the HTTP status of a page that shows a form: 422 when something in it was refused."""
    return 422 if form.is_bound and form.errors else 200


class MemberForm(forms.Form):
    """Who joins a team, and as what."""

    email = forms.EmailField(
        label="E-mail address",
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "off", "placeholder": "name@company.example"}),
    )
    role = forms.ChoiceField(choices=TeamRole.choices, label="As")


class RoleForm(forms.Form):
    """What somebody is in a team from now on."""

    role = forms.ChoiceField(choices=TeamRole.choices, label="Role")


class RemovalForm(forms.Form):
    """Why somebody leaves a team."""

    reason = forms.CharField(
        max_length=300, required=False, label="Reason", help_text="Kept in the history, for those who come after you."
    )


class MailForm(forms.Form):
    """How somebody's notifications come by e-mail."""

    rhythm = forms.ChoiceField(
        label="E-mail",
        choices=MailRhythm.choices,
        widget=forms.RadioSelect,
        help_text="The inbox has all of it in any case.",
    )


class ProfileForm(forms.Form):
    """What others see of somebody."""

    name = forms.CharField(max_length=120, label="Name", help_text="As others see you, in pitches and in the history.")


class TokenForm(forms.Form):
    """A new API token: what for, and for how long."""

    name = forms.CharField(max_length=80, label="Name", help_text="The program that will use it.")
    scopes = forms.MultipleChoiceField(
        choices=Scope.choices,
        label="It may",
        widget=forms.CheckboxSelectMultiple,
        help_text="Never more than you may do yourself.",
        error_messages={"required": "Choose what the token may be used for."},
    )
    days = forms.TypedChoiceField(
        choices=[("30", "30 days"), ("90", "90 days"), ("366", "A year")], coerce=int, initial="90", label="It lasts"
    )


class WebhookForm(forms.Form):
    """An address that is told of events."""

    name = forms.CharField(
        max_length=80,
        label="Name",
        help_text="What listens there, such as on-call bot.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    url = forms.CharField(
        max_length=500,
        label="Address",
        help_text="It gets a signed POST and answers with 200.",
        widget=forms.URLInput(attrs={"placeholder": "https://hooks.company.example/tank", "autocomplete": "off"}),
    )
    events = forms.MultipleChoiceField(
        choices=WebhookEvent.choices,
        label="It is told when",
        widget=forms.CheckboxSelectMultiple,
        initial=WebhookEvent.values,
        error_messages={"required": "Choose what the address is told of."},
    )


class NewWebhookForm(WebhookForm):
    """A new webhook, and whose events it is told of: a team's, or every team's."""

    owner = forms.ChoiceField(label="Events of")
    field_order = ("owner", "name", "url", "events")

    def __init__(self, *args: object, teams: Iterable[Team], company: bool, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # Django's own arguments
        self.teams = {str(team.pk): team for team in teams}
        every = [("", "Every team")] if company else []
        field = self.fields["owner"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - for the type checker
        field.choices = [*every, *((pk, team.name) for pk, team in self.teams.items())]
        field.required = not company

    @property
    def team(self) -> Team | None:
        """Return the team chosen; None for the company."""
        return self.teams.get(self.cleaned_data["owner"])


class SecretForm(forms.Form):
    """How long deliveries are signed with the former secret too. `newest` is the secret that the person saw."""

    newest = forms.CharField(widget=forms.HiddenInput)
    grace = forms.TypedChoiceField(
        choices=[("0", "Not at all: it ends now"), ("1", "1 hour"), ("24", "24 hours"), ("168", "7 days")],
        coerce=lambda hours: timedelta(hours=int(hours)),
        initial="24",
        label="Sign with the former secret too for",
    )


class DisableForm(forms.Form):
    """Why a webhook is stopped."""

    reason = forms.CharField(
        max_length=300, label="Reason", help_text="Kept in its history.", error_messages={"required": "Say why."}
    )
