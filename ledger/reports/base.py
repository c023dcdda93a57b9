"""What a report is: a name, filters, columns, rows, totals that tie to the ledger, and perhaps a plot.

A floor registers its own reports in its `AppConfig.ready`, so finance finds all of them in one place while no floor
imports one above it. Pages, CSV, XLSX, JSON and the API are made from this one description; a report draws nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar

import plotly.graph_objects as go
from django import forms

from ledger.models import Account, AiModel, Provider, Tier
from ledger.money import CURRENCY
from teams.models import BusinessUnit, Team, User

Cell = str | int | Decimal | date | datetime | None


class Kind(StrEnum):
    """What a column holds; it decides alignment, format and the cell type in a spreadsheet."""

    TEXT = "text"
    COUNT = "count"
    MONEY = "money"
    PERCENT = "percent"
    DATE = "date"
    TIME = "time"


class Filter(StrEnum):
    """What a report can be narrowed by; it declares which of these mean something for it."""

    PERIOD = "period"
    UNIT = "unit"
    TEAM = "team"
    PROVIDER = "provider"
    MODEL = "model"
    TIER = "tier"
    TAG = "tag"
    ACCOUNT = "account"
    AS_OF = "as_of"


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `unit` stands in its heading ("USD", "tokens"). `drill` names the row's link that the cell carries."""

    name: str
    label: str
    kind: Kind = Kind.TEXT
    unit: str = ""
    drill: str = ""

    @property
    def heading(self) -> str:
        """Return what stands above the column: its label and, where the label does not say it, its unit."""
        says_it = not self.unit or self.unit.casefold() == self.label.casefold()
        return self.label if says_it else f"{self.label}, {self.unit}"


@dataclass(frozen=True, slots=True)
class Choice:
    """The filters as chosen; None and "" mean everything. Days are UTC, both ends included."""

    starts_on: date
    ends_on: date
    as_of: datetime
    unit: BusinessUnit | None = None
    team: Team | None = None
    provider: Provider | None = None
    model: AiModel | None = None
    tier: Tier | None = None
    tag: str = ""
    tag_value: str = ""
    account: Account | None = None
    own: Mapping[str, Any] = field(default_factory=dict)
    """What was chosen of the report's own filters, by name; None where nothing was."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a cell per column, and by name the pages that its figures come from.

    `currency` is what its amounts are in where the report's rows differ in that.
    """

    cells: Sequence[Cell]
    links: dict[str, str] = field(default_factory=dict)
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Tie:
    """A total of the report beside the ledger's own figure, and the accounts that it is read from.

    `difference` other than zero is shown as an alarm unless `explained` says in words what it consists of.
    """

    label: str
    currency: str
    reported: Decimal
    in_ledger: Decimal
    accounts: str
    explained: str = ""

    @property
    def difference(self) -> Decimal:
        """Return what the report has more than the ledger."""
        return self.reported - self.in_ledger


class Report(ABC):
    """A report that finance can filter, read, drill into and export."""

    slug: ClassVar[str]
    title: ClassVar[str]
    purpose: ClassVar[str]  # one sentence: the question that it answers
    group: ClassVar[str]  # the heading it stands under in the list of reports
    filters: ClassVar[frozenset[Filter]]
    permission: ClassVar[str] = "ledger.view_ledger"
    currency: ClassVar[str] = CURRENCY  # of every amount; empty when each row names its own

    def own_filters(self, viewer: User) -> dict[str, forms.Field]:
        """Return the filters that no other report has, by the names that stand in the address."""
        return {}

    @abstractmethod
    def columns(self, choice: Choice) -> Sequence[Column]:
        """Return the columns, in order."""

    @abstractmethod
    def rows(self, choice: Choice, viewer: User) -> Iterator[Row]:
        """Go through the rows without holding all of them in memory."""

    def ties(self, choice: Choice) -> list[Tie]:
        """Return the totals and the accounts they tie to; empty when the report holds no money."""
        return []

    def notes(self, choice: Choice) -> list[str]:
        """Return what a reader must know about how the figures were counted, a sentence each."""
        return []

    def plot(self, choice: Choice, viewer: User) -> go.Figure | None:
        """Return a figure where people would look rather than read, without colours: the page's style gives them."""
        return None


_REPORTS: dict[str, Report] = {}


def register(*reports: type[Report]) -> None:
    """Add reports to the list of all reports; a slug belongs to one class."""
    for report in reports:
        known = _REPORTS.setdefault(report.slug, report())
        if type(known) is not report:
            raise ValueError(f"two reports are called {report.slug}")


def all_reports() -> list[Report]:
    """Return every report, by group and title."""
    return sorted(_REPORTS.values(), key=lambda report: (report.group, report.title))


def report_of(slug: str) -> Report | None:
    """Return a report by its slug."""
    return _REPORTS.get(slug)


def visible_to(viewer: User, reports: Iterable[Report] | None = None) -> list[Report]:
    """Return the reports that somebody may open."""
    return [r for r in (all_reports() if reports is None else reports) if viewer.has_perm(r.permission)]
