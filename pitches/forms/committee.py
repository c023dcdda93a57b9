"""Forms of the committee: rounds, seats, screening, reviews, ballots, decisions."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from djmoney.money import Money

from ledger.models import Tier
from ledger.money import CURRENCY, plain, show
from pitches.forms.fields import CountField, DollarField
from pitches.models import Choice, Criterion, Decision, Expertise, Outcome, RecusalType, Review, Round
from pitches.services import Calendar, Mark, Rules
from pitches.zones import BadHour, moment_of
from teams.errors import Refused
from teams.models import Role, User
from teams.selectors import people_with_role

LOCAL = "%Y-%m-%dT%H:%M"
REVIEWS_PER_PITCH = 3
NOT_IN_FAST_LANE = ("reviews_close_at", "voting_closes_at")


class ReasonForm(forms.Form):
    """Why something is done; it stays in the history."""

    reason = forms.CharField(label="Reason", max_length=2000, widget=forms.Textarea({"rows": 2}))


class UnscreenedForm(ReasonForm):
    """Why the vote opens although a pitch was not screened."""

    reason = forms.CharField(
        label="Why the vote opens without it",
        max_length=2000,
        widget=forms.Textarea({"rows": 2}),
        help_text="At least 10 characters. It stays in the history and in the minutes.",
    )


class NoteForm(forms.Form):
    """What a team should change."""

    note = forms.CharField(label="What should the team change?", max_length=4000, widget=forms.Textarea({"rows": 3}))


class ConflictForm(forms.Form):
    """Why a member steps aside."""

    conflict_type = forms.ChoiceField(label="What kind of conflict", choices=RecusalType.choices)
    reason = forms.CharField(
        label="Why you step aside",
        max_length=2000,
        widget=forms.Textarea({"rows": 2}),
        help_text="The chair reads it. Reviews of this pitch close for you at once.",
    )


class JudgeForm(forms.Form):
    """What becomes of a declared conflict."""

    plan = forms.CharField(label="Plan, or why it is none", max_length=2000, widget=forms.Textarea({"rows": 2}))


def _moment(label: str) -> forms.DateTimeField:
    widget = forms.DateTimeInput({"type": "datetime-local"}, format=LOCAL)
    return forms.DateTimeField(label=label, widget=widget, input_formats=[LOCAL])


class ScheduleForm(forms.Form):
    """The deadlines of a round, typed in its own time zone."""

    submissions_close_at = _moment("Pitches until")
    reviews_close_at = _moment("Reviews until")
    voting_closes_at = _moment("Sealed vote until")
    answers_due_at = _moment("Offers answered until")

    def calendar(self, zone: str) -> Calendar:
        """Return the deadlines as moments; ask `is_valid` first.

        Raises Refused (bad_hour) for an hour that the zone's clocks skip or show twice on that day.
        """
        return Calendar(*(self._in_zone(name, zone) for name in Calendar.__dataclass_fields__))

    def _in_zone(self, name: str, zone: str) -> datetime:
        # A fast lane has neither reviews nor a vote.
        wall: datetime = self.cleaned_data[name] or self.cleaned_data["submissions_close_at"]
        # The field read the wall clock as UTC; it was meant in the round's zone.
        try:
            return moment_of(wall, zone)
        except BadHour as error:
            raise Refused(str(error), code="bad_hour", field=name) from error

    @staticmethod
    def initial_of(round_: Round) -> dict[str, str]:
        """Return a round's deadlines as its own zone's wall clock."""
        zone = ZoneInfo(round_.time_zone)
        return {name: getattr(round_, name).astimezone(zone).strftime(LOCAL) for name in Calendar.__dataclass_fields__}


class RescheduleForm(ScheduleForm):
    """Other deadlines, and why; a fast lane has only two of them."""

    reason = forms.CharField(label="Reason", max_length=2000, widget=forms.Textarea({"rows": 2}))

    def __init__(self, data: Mapping[str, Any] | None = None, *, round_: Round) -> None:
        super().__init__(data, initial=self.initial_of(round_))
        if round_.is_fast_lane:
            for name in NOT_IN_FAST_LANE:
                self.fields[name].required = False
                self.fields[name].widget = forms.HiddenInput()


class RoundForm(ScheduleForm):
    """A new round."""

    name = forms.CharField(label="Name", max_length=80, help_text="Such as Q1 2027.")
    cap = DollarField(label="Cap", help_text="USD. It leaves the reserve when the round opens.")
    reserve_percent = CountField(label="Kept back, %", most=99, help_text="Part of the cap that is not awarded.")
    hurdle = forms.DecimalField(
        label="Hurdle", min_value=Decimal(0), max_digits=8, decimal_places=4, help_text="Least worth per dollar."
    )
    quorum = CountField(label="Quorum", least=1, most=99, help_text="Least number of scores a decision needs.")
    starts_on = forms.DateField(label="Awards from", widget=forms.DateInput({"type": "date"}))
    months = CountField(label="For how many months", least=1, most=36)
    time_zone = forms.CharField(label="Time zone", max_length=60, help_text="Of the deadlines, such as Europe/Berlin.")
    reviews_per_pitch = CountField(
        label="Reviews per pitch", least=1, most=99, required=False, help_text="Members asked; the others may as well."
    )
    team_cap_percent = CountField(
        label="Most for one team, %", least=1, most=100, required=False, help_text="Of the cap; blank: no such limit."
    )
    frontier_cap_percent = CountField(
        label="Most on the frontier tier, %", most=100, required=False, help_text="Of the cap; blank: no such limit."
    )
    recurs_months = CountField(
        label="Comes again after, months",
        least=1,
        most=36,
        required=False,
        help_text="The next one is prepared as a draft 45 days before its last day. Blank: it does not come again.",
    )
    fast_lane_limit = DollarField(
        label="Fast lane: most per pitch",
        required=False,
        help_text="USD. With a limit one member decides on each pitch as it comes, without reviews and vote. "
        "Blank: a regular round.",
    )

    field_order = (
        "name",
        "cap",
        "reserve_percent",
        "hurdle",
        "quorum",
        "starts_on",
        "months",
        "reviews_per_pitch",
        "team_cap_percent",
        "frontier_cap_percent",
        "recurs_months",
        "fast_lane_limit",
        "time_zone",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in NOT_IN_FAST_LANE:
            self.fields[name].required = False
            self.fields[name].help_text = "Not in a fast lane."

    def clean(self) -> dict[str, Any]:
        """Ask for the deadlines that a regular round has; raises nothing, errors stand beside the fields."""
        said: dict[str, Any] = super().clean() or self.cleaned_data
        for name in NOT_IN_FAST_LANE:
            if not said.get("fast_lane_limit") and name not in self.errors and not said.get(name):
                self.add_error(name, "This field is required.")
        return said

    @classmethod
    def initial_of(cls, round_: Round) -> dict[str, str]:
        """Return a round as it is typed into this form."""
        shares = {"reserve": round_.reserve_share, "team_cap": round_.team_cap, "frontier_cap": round_.frontier_cap}
        typed = {f"{name}_percent": "" if share is None else plain(share * 100) for name, share in shares.items()}
        names = ("name", "quorum", "months", "time_zone", "reviews_per_pitch", "recurs_months")
        return {
            **ScheduleForm.initial_of(round_),
            **{name: str(getattr(round_, name) or "") for name in names},
            **typed,
            "cap": plain(round_.cap),
            "hurdle": plain(round_.hurdle),
            "starts_on": round_.starts_on.isoformat(),
            "fast_lane_limit": "" if round_.fast_lane_limit is None else plain(round_.fast_lane_limit),
        }

    def clean_time_zone(self) -> str:
        """Return the zone; raises ValidationError for one that does not exist."""
        zone: str = self.cleaned_data["time_zone"]
        if zone not in available_timezones():
            raise forms.ValidationError("No such time zone. Write one such as Europe/Berlin or UTC.")
        return zone

    def values(self) -> dict[str, Any]:
        """Return the arguments of `services.round_create`; ask `is_valid` first."""
        said = self.cleaned_data
        return {
            "name": said["name"],
            "cap": Money(said["cap"], CURRENCY),
            "calendar": self.calendar(said["time_zone"]),
            "starts_on": said["starts_on"],
            "months": said["months"],
            "time_zone": said["time_zone"],
            "recurs_months": said["recurs_months"],
            "rules": Rules(
                reserve_share=Decimal(said["reserve_percent"]) / 100,
                hurdle=said["hurdle"],
                quorum=said["quorum"],
                team_cap=_share(said["team_cap_percent"]),
                frontier_cap=_share(said["frontier_cap_percent"]),
                reviews_per_pitch=said["reviews_per_pitch"] or REVIEWS_PER_PITCH,
                fast_lane_limit=said["fast_lane_limit"],
            ),
        }


def _share(percent: int | None) -> Decimal | None:
    return None if percent is None else Decimal(percent) / 100


class SeatForm(forms.Form):
    """Who gets a seat."""

    user: "forms.ModelChoiceField[User]" = forms.ModelChoiceField(
        User.objects.none(), label="Member", help_text="People with the role of a committee member."
    )
    is_chair = forms.BooleanField(label="As chair", required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["user"]
        field.queryset = people_with_role(Role.COMMITTEE, Role.CHAIR)


class ReviewForm(forms.Form):
    """A score and a sentence for each criterion, filled in from a `review` where there is one."""

    def __init__(self, *args: Any, criteria: list[Criterion], review: Review | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.criteria = criteria
        self.review = review
        marks = {mark.criterion_id: mark for mark in review.scores.all()} if review else {}
        for criterion in criteria:
            mark = marks.get(criterion.pk)
            self.fields[f"score-{criterion.pk}"] = CountField(
                label=f"{criterion.name}, 1 to 9",
                least=1,
                most=9,
                help_text=f"{criterion.question} Weight {criterion.weight}.",
                initial=mark.score if mark else None,
            )
            self.fields[f"sentence-{criterion.pk}"] = forms.CharField(
                label="In a sentence", max_length=400, initial=mark.sentence if mark else ""
            )
        self.fields["expertise"] = forms.TypedChoiceField(
            label="How well do you know the matter?",
            choices=Expertise.choices,
            coerce=int,
            widget=forms.RadioSelect,
            initial=review.expertise if review else None,
        )
        self.fields["comment"] = forms.CharField(
            label="Anything else",
            required=False,
            max_length=4000,
            widget=forms.Textarea({"rows": 3}),
            initial=review.comment if review else "",
        )

    @property
    def pairs(self) -> list[tuple[forms.BoundField, forms.BoundField]]:
        """Return the fields of each criterion: score and sentence."""
        return [(self[f"score-{row.pk}"], self[f"sentence-{row.pk}"]) for row in self.criteria]

    def marks(self) -> dict[int, Mark]:
        """Return the marks by criterion id; ask `is_valid` first."""
        said = self.cleaned_data
        return {row.pk: Mark(said[f"score-{row.pk}"], said[f"sentence-{row.pk}"]) for row in self.criteria}


class BallotForm(forms.Form):
    """A vote: yes, no or abstain, and a score from 1 to 9 with a yes or a no."""

    choice = forms.ChoiceField(label="Vote", choices=Choice.choices, widget=forms.RadioSelect)
    score = forms.TypedChoiceField(
        label="Score, 1 to 9",
        choices=[("", "none"), *((str(score), str(score)) for score in range(1, 10))],
        coerce=int,
        empty_value=None,
        required=False,
        help_text="1 to 9, with a yes or a no.",
    )


class DecisionForm(forms.Form):
    """An outcome with its reason, and amounts per tier when it funds."""

    outcome = forms.ChoiceField(label="Decision", choices=Outcome.choices, widget=forms.RadioSelect)
    reason = forms.CharField(
        label="Reason", max_length=4000, widget=forms.Textarea({"rows": 3}), help_text="The team will read it."
    )
    place = CountField(
        label="Place on the waitlist",
        least=1,
        most=9999,
        required=False,
        help_text="With amounts, a waitlisted pitch is offered them once they fit what comes free. Blank: the last.",
    )

    def __init__(
        self,
        *args: Any,
        asked: Mapping[Tier, Decimal],
        decision: Decision | None,
        has_quorum: bool = True,
        **kwargs: Any,
    ) -> None:
        decided = {line.tier: line.amount for line in decision.lines.all()} if decision else None
        super().__init__(*args, **kwargs)
        if decision is not None:
            said = {"outcome": decision.outcome, "reason": decision.reason, "place": decision.waitlist_place}
            self.initial = {**self.initial, **said}
        for tier in Tier:
            # Without a quorum nothing can be awarded, and the waitlist is without amounts.
            proposed = asked.get(tier) if has_quorum else None
            amount = proposed if decided is None else decided.get(tier.value)
            self.fields[f"amount-{tier.value}"] = DollarField(
                label=tier.label,
                required=False,
                initial=plain(amount) if amount else "",
                help_text=f"asked {show(asked[tier])}" if tier in asked else "not asked for",
            )

    def lines(self) -> dict[Tier, Decimal]:
        """Return the awards by tier; ask `is_valid` first."""
        amounts = {tier: self.cleaned_data[f"amount-{tier.value}"] for tier in Tier}
        return {tier: amount for tier, amount in amounts.items() if amount}

    @property
    def amounts(self) -> list[forms.BoundField]:
        """Return the fields of the awards."""
        return [self[f"amount-{tier.value}"] for tier in Tier]
