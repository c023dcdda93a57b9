"""The filters of a report as a form: what was chosen stands in the address, so it can be kept and passed on."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.http import QueryDict

from ledger.models import Account, AiModel, FiscalYear, Provider, Tier
from ledger.months import month_of
from ledger.reports.base import Choice, Filter, Report
from ledger.selectors import today
from teams.models import BusinessUnit, User
from teams.selectors import teams_visible_to

FIELDS: dict[Filter, tuple[str, ...]] = {
    Filter.PERIOD: ("from", "to"),
    Filter.UNIT: ("unit",),
    Filter.TEAM: ("team",),
    Filter.PROVIDER: ("provider",),
    Filter.MODEL: ("model",),
    Filter.TIER: ("tier",),
    Filter.TAG: ("tag", "tag_value"),
    Filter.ACCOUNT: ("account",),
    Filter.AS_OF: ("as_of",),
}


FIRST, LAST = date(2000, 1, 1), date(2199, 12, 31)
NO_SUCH_DAY = "Choose a day from 2000 to 2199."


class ChoiceForm(forms.Form):
    """What a report is narrowed by; it has the fields of the filters that the report declares and no others."""

    def __init__(self, report: Report, viewer: User, asked: QueryDict) -> None:
        self.report = report
        self.now = datetime.now(UTC)
        self.own = report.own_filters(viewer)
        declared = [*(name for one in Filter for name in FIELDS[one] if one in report.filters), *self.own]
        first, last = month_of(today())
        data = {name: asked.get(name, "") for name in declared}
        data |= {n: data[n] or d.isoformat() for n, d in (("from", first), ("to", last)) if n in data}
        super().__init__(data)
        self.fields.update({name: field for name, field in _fields(viewer).items() if name in declared} | self.own)

    def clean(self) -> dict[str, Any]:
        """Check what fields cannot see alone."""
        data = self.cleaned_data
        if data.get("from") and data.get("to") and data["from"] > data["to"]:
            self.add_error("to", "The last day lies before the first.")
        if data.get("tag_value") and not data.get("tag"):
            self.add_error("tag", "Say which tag has this value.")
        if data.get("as_of") and data["as_of"] > self.now:
            self.add_error("as_of", "This time has not come yet.")
        return data

    @property
    def choice(self) -> Choice:
        """Return what was chosen, once the form is valid; a report without a period is about today."""
        data = self.cleaned_data
        names = ("unit", "team", "provider", "model", "account")
        return Choice(
            starts_on=data.get("from") or today(),
            ends_on=data.get("to") or today(),
            as_of=data.get("as_of") or self.now,
            tier=Tier(data["tier"]) if data.get("tier") else None,
            tag=data.get("tag", ""),
            tag_value=data.get("tag_value", ""),
            own={name: data.get(name) or None for name in self.own},
            **{name: data.get(name) or None for name in names},
        )

    @property
    def typed(self) -> dict[str, str]:
        """Return the filters in words as they were typed, without the empty ones."""
        return {name: str(value) for name, value in self.data.items() if value}

    @property
    def fixed(self) -> str:
        """Return the query of exactly what the page shows: the time of a "now" included."""
        moment = {"as_of": written(self.choice.as_of)} if Filter.AS_OF in self.report.filters else {}
        return urlencode(self.typed | moment)

    def presets(self) -> list[tuple[str, str]]:
        """Return the usual periods: their names and queries that keep the other filters."""
        if Filter.PERIOD not in self.report.filters:
            return []
        ranges = [(name, {"from": str(first), "to": str(last)}) for name, first, last in periods(today())]
        return [(name, urlencode(self.typed | both)) for name, both in ranges]


def written(moment: datetime) -> str:
    """Write a time as the field `as_of` reads it: ISO 8601 in UTC without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat()


def periods(day: date) -> list[tuple[str, date, date]]:
    """Return the usual periods around a day: names, first and last days."""
    first, last = month_of(day)
    found = [("This month", first, last), ("Last month", *month_of(first - timedelta(days=1)))]
    year = FiscalYear.objects.filter(starts_on__lte=day, ends_on__gte=day).first()
    return [*found, ("This fiscal year", year.starts_on, year.ends_on)] if year else found


class AccountField(forms.CharField):
    """The code of an account, read as the account itself."""

    def clean(self, value: object) -> Account | None:
        """Return the account, None for nothing; raises ValidationError for a code that no account has."""
        code = super().clean(value)
        found = Account.objects.filter(code=code).first() if code else None
        if code and found is None:
            raise ValidationError("No account has this code.", code="unknown")
        return found


def _day(label: str) -> forms.DateField:
    within = [MinValueValidator(FIRST, NO_SUCH_DAY), MaxValueValidator(LAST, NO_SUCH_DAY)]
    return forms.DateField(label=label, widget=forms.DateInput(attrs={"type": "date"}), validators=within)


def _one_of(label: str, source: Any, everything: str, name: str) -> "forms.ModelChoiceField[Any]":
    return forms.ModelChoiceField(
        source.order_by("name"),
        label=label,
        required=False,
        empty_label=everything,
        to_field_name=name,
        error_messages={"invalid_choice": "There is none with this name."},
    )


def _fields(viewer: User) -> dict[str, forms.Field]:
    teams = teams_visible_to(viewer)
    units = BusinessUnit.objects.filter(teams__in=teams).distinct()
    return {
        "from": _day("From"),
        "to": _day("To, included"),
        "unit": _one_of("Business unit", units, "All units", "slug"),
        "team": _one_of("Team", teams, "All teams", "slug"),
        "provider": _one_of("Provider", Provider.objects.all(), "All providers", "name"),
        "model": _one_of("Model", AiModel.objects.all(), "All models", "name"),
        "tier": forms.ChoiceField(label="Tier", required=False, choices=[("", "All tiers"), *Tier.choices]),
        "tag": forms.CharField(label="Tag", required=False, max_length=60),
        "tag_value": forms.CharField(label="Value of the tag", required=False, max_length=200),
        "account": AccountField(label="Account", required=False, max_length=80),
        "as_of": forms.DateTimeField(
            label="As of, UTC",
            required=False,
            widget=forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}),
            validators=[MinValueValidator(datetime(FIRST.year, 1, 1, tzinfo=UTC), NO_SUCH_DAY)],
        ),
    }
