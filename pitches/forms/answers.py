"""Small forms of a team: begin, withdraw, decline, carry over."""

from typing import Any

from django import forms

from pitches.models import Round
from pitches.selectors.rounds import open_rounds
from teams.models import Team, User
from teams.selectors import teams_of


class NewPitchForm(forms.Form):
    """What a draft begins with."""

    title = forms.CharField(label="Use case", max_length=120, help_text="You can change it until you submit.")
    team: "forms.ModelChoiceField[Team]" = forms.ModelChoiceField(Team.objects.none(), label="Team", empty_label=None)
    round: "forms.ModelChoiceField[Round]" = forms.ModelChoiceField(Round.objects.none(), empty_label=None)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.teams, self.rounds = teams_of(user), open_rounds()
        fields: Any = self.fields
        fields["team"].queryset, fields["round"].queryset = self.teams, self.rounds


class WhyForm(forms.Form):
    """Why a team withdraws or declines."""

    reason = forms.CharField(label="Reason", max_length=2000, widget=forms.Textarea({"rows": 3}))
