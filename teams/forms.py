"""Forms of people and teams, and how every form looks and says what is wrong."""

from django import forms
from django.forms.renderers import TemplatesSetting

from teams.errors import Refused
from teams.models import Scope, TeamRole


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
