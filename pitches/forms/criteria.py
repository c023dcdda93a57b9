"""The criteria of a round as rows: name, question, weight, order; a row is removed by its box, another one added."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms

from pitches.forms.fields import CountField
from pitches.models import Criterion
from teams.typed import whole_in

MOST_ROWS = 20
PARTS = ("name", "question", "weight", "order", "remove")


@dataclass(frozen=True, slots=True)
class CriterionRow:
    """The fields of one row."""

    number: int
    name: forms.BoundField
    question: forms.BoundField
    weight: forms.BoundField
    order: forms.BoundField
    remove: forms.BoundField


class CriteriaForm(forms.Form):
    """Rows of criteria; `criterion-TOTAL` says how many were sent."""

    def __init__(self, *args: Any, rows: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.count = min(rows, MOST_ROWS)
        for number in range(self.count):
            self._add_row(number)

    def _add_row(self, number: int) -> None:
        place = f"criterion-{number}"
        self.fields[f"{place}-name"] = forms.CharField(label="Criterion", max_length=40, required=False)
        self.fields[f"{place}-question"] = forms.CharField(label="Question", max_length=200, required=False)
        self.fields[f"{place}-weight"] = CountField(label="Weight", least=1, most=100, required=False)
        self.fields[f"{place}-order"] = CountField(label="Order", most=99, required=False)
        self.fields[f"{place}-remove"] = forms.BooleanField(label="Remove", required=False)

    @classmethod
    def of_criteria(cls, criteria: Sequence[Criterion]) -> "CriteriaForm":
        """Return the criteria of a round as rows."""
        initial = {
            f"criterion-{number}-{part}": value
            for number, row in enumerate(criteria)
            for part, value in {
                "name": row.name,
                "question": row.question,
                "weight": row.weight,
                "order": number + 1,
            }.items()
        }
        return cls(rows=len(criteria), initial=initial)

    @classmethod
    def of_typed(cls, typed: Mapping[str, str]) -> "CriteriaForm":
        """Return the rows that were sent, to be checked."""
        return cls(typed, rows=rows_in(typed))

    @classmethod
    def with_another(cls, typed: Mapping[str, str]) -> "CriteriaForm":
        """Return the rows that were sent and an empty one, without checking anything."""
        count = rows_in(typed)
        initial = {name: typed[name] for name in typed if name.startswith("criterion-")}
        return cls(rows=count + 1, initial={**initial, f"criterion-{count}-order": count + 1})

    @property
    def rows(self) -> list[CriterionRow]:
        """Return the fields row by row."""
        return [
            CriterionRow(number + 1, *(self[f"criterion-{number}-{part}"] for part in PARTS))
            for number in range(self.count)
        ]

    @property
    def weights(self) -> int:
        """Return the sum of the weights that stand in the rows and can be read."""
        values = [str(self[f"criterion-{number}-weight"].value() or "") for number in range(self.count)]
        return sum(whole_in(value, 0, digits=3) for value in values)

    def clean(self) -> dict[str, Any]:
        """Ask each row that stays for a name, a question and a weight, and for names that differ."""
        names: set[str] = set()
        for place in self._kept():
            for part in ("name", "question", "weight"):
                field = f"{place}-{part}"
                if field not in self.errors and not self.cleaned_data.get(field):
                    self.add_error(field, "This field is required.")
            name = self.cleaned_data.get(f"{place}-name", "")
            if name and name in names:
                self.add_error(f"{place}-name", "Another criterion has this name.")
            names.add(name)
        return self.cleaned_data

    def _kept(self) -> list[str]:
        """Return the rows that are neither removed nor left empty."""
        places = [f"criterion-{number}" for number in range(self.count)]
        said = self.cleaned_data
        return [
            place
            for place in places
            if not said.get(f"{place}-remove")
            and any(said.get(f"{place}-{part}") or f"{place}-{part}" in self.errors for part in PARTS[:3])
        ]

    def values(self) -> list[tuple[str, str, int]]:
        """Return name, question and weight of the rows that stay, in order; ask `is_valid` first."""
        said = self.cleaned_data
        # Rows without a number come last, as they stand.
        kept = sorted(self._kept(), key=lambda place: said[f"{place}-order"] or MOST_ROWS * 10)
        return [(said[f"{place}-name"], said[f"{place}-question"], said[f"{place}-weight"]) for place in kept]


def rows_in(typed: Mapping[str, str]) -> int:
    """Return how many rows were sent."""
    return min(whole_in(typed.get("criterion-TOTAL", ""), 0, digits=3), MOST_ROWS)
