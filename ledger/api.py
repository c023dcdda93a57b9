"""The ledger for programs: accounts, entries, balances, statements, usage and reports, under the pages' rules."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.http import Http404
from django.http.response import HttpResponseBase
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ledger import api_data as data
from ledger.models import Account, JournalEntry, Posting, UsageDay, UsageHour
from ledger.reports.base import Filter, report_of, visible_to
from ledger.reports.files import Asked, json_file
from ledger.reports.forms import FIELDS, ChoiceForm
from ledger.selectors import api as rows
from teams.access import find_or_404, visible_or_404
from teams.api import Invalid, Keyset
from teams.models import Scope, User

REPORT_FILTERS = [
    OpenApiParameter(name, OpenApiTypes.STR, description=f"Where the report has the filter “{one}”.")
    for one in Filter
    for name in FIELDS[one]
]


def _asked(kind: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """Return what was asked for, read and checked; raises ValidationError by field, and for a name it does not know."""
    query = kind(data=request.query_params)
    unknown = set(request.query_params) - set(query.fields) - {"cursor", "limit"}
    if unknown:
        raise serializers.ValidationError(dict.fromkeys(sorted(unknown), "There is no such filter."))
    query.is_valid(raise_exception=True)
    found: dict[str, Any] = query.validated_data
    return found


def _between(field: str, asked: dict[str, Any]) -> Q:
    first = Q(**{f"{field}__gte": asked["from"]}) if "from" in asked else Q()
    return first & (Q(**{f"{field}__lte": asked["to"]}) if "to" in asked else Q())


def _matching(names: dict[str, str], asked: dict[str, Any]) -> Q:
    return Q(**{field: asked[name] for name, field in names.items() if name in asked})


ACCOUNT_FILTERS = {
    "account_class": "account_class",
    "team": "team__slug",
    "provider": "provider__name",
    "tier": "tier",
}
USAGE_FILTERS = {
    "account": "account__code",
    "team": "team__slug",
    "provider": "provider__name",
    "model": "model__name",
    "tier": "model__tier",
    "key": "key_id",
}


class LedgerView(APIView):
    """Everything here is read with the scope ledger:read."""

    read_scope = Scope.LEDGER_READ

    @property
    def viewer(self) -> User:
        """Return who asks."""
        user = self.request.user
        if not isinstance(user, User):
            raise Http404
        return user


class ByCode(Keyset):
    """Pages of accounts, by code."""

    ordering = "code"


class ByNumber(Keyset):
    """Pages of an account's postings, newest first."""

    ordering = "-account_version"


@extend_schema(parameters=[data.AccountsAsked])
class AccountList(LedgerView, ListAPIView[Account]):
    """The accounts that the caller may read, by code."""

    serializer_class = data.AccountData
    pagination_class = ByCode

    def get_queryset(self) -> QuerySet[Account]:
        """Return them."""
        return rows.accounts_visible_to(self.viewer).filter(
            _matching(ACCOUNT_FILTERS, _asked(data.AccountsAsked, self.request))
        )


class AccountDetail(LedgerView, RetrieveAPIView[Account]):
    """One account."""

    serializer_class = data.AccountData

    def get_object(self) -> Account:
        """Return it; raises Http404 for one that the caller may not read."""
        return _account(self.viewer, self.kwargs["code"])


@extend_schema(parameters=[data.BalancesAsked])
class BalanceList(LedgerView, ListAPIView[Account]):
    """Balances of the accounts that the caller may read, now or at the end of a day, by code."""

    serializer_class = data.BalanceData
    pagination_class = ByCode

    def get_queryset(self) -> QuerySet[Account]:
        """Return the accounts with their totals."""
        asked = _asked(data.BalancesAsked, self.request)
        accounts = rows.accounts_visible_to(self.viewer).filter(_matching(ACCOUNT_FILTERS, asked))
        return rows.with_balances(accounts, asked.get("as_of"))

    def get_serializer_context(self) -> dict[str, Any]:
        """Pass the day on that was asked for."""
        return {**super().get_serializer_context(), "on": self.request.query_params.get("as_of")}


@extend_schema(parameters=[data.StatementAsked])
class StatementList(LedgerView, ListAPIView[Posting]):
    """The statement of one account, newest first, with the balance after each line."""

    serializer_class = data.StatementData
    pagination_class = ByNumber

    def get_queryset(self) -> QuerySet[Posting]:
        """Return its postings; raises Http404 for an account that the caller may not read."""
        account = _account(self.viewer, self.kwargs["code"])
        asked = _asked(data.StatementAsked, self.request)
        return rows.statement_rows(account).filter(_between("entry__effective_on", asked))


@extend_schema(parameters=[data.EntriesAsked])
class EntryList(LedgerView, ListAPIView[JournalEntry]):
    """Journal entries with their postings, newest first; for finance and auditors."""

    serializer_class = data.EntryData
    pagination_class = Keyset

    def get_queryset(self) -> QuerySet[JournalEntry]:
        """Return them; raises Http404 for those who do not read the ledger."""
        visible_or_404(self.viewer, "ledger.view_ledger", None)
        asked = _asked(data.EntriesAsked, self.request)
        entries = rows.entries_whole().filter(_between("effective_on", asked), _matching({"kind": "kind"}, asked))
        if "account" in asked:
            on_account = Posting.objects.filter(account__code=asked["account"])
            entries = entries.filter(pk__in=on_account.values("entry_id"))
        return entries


class EntryDetail(LedgerView, RetrieveAPIView[JournalEntry]):
    """One journal entry with its postings."""

    serializer_class = data.EntryData

    def get_object(self) -> JournalEntry:
        """Return it; raises Http404 for those who do not read the ledger."""
        return find_or_404(rows.entries_whole(), self.viewer, "ledger.view_journalentry", pk=self.kwargs["pk"])


@extend_schema(parameters=[data.UsageAsked])
class DayList(LedgerView, ListAPIView[UsageDay]):
    """Usage by day, line, key, model, rate and tags, as far as it was rolled up; newest first."""

    serializer_class = data.DayData
    pagination_class = Keyset

    def get_queryset(self) -> QuerySet[UsageDay]:
        """Return what the caller may read."""
        asked = _asked(data.UsageAsked, self.request)
        return rows.days_visible_to(self.viewer).filter(_between("day", asked), _usage(asked))


@extend_schema(parameters=[data.UsageAsked])
class HourList(LedgerView, ListAPIView[UsageHour]):
    """Usage by hour, line, key, model, rate and tags, as far as it was rolled up; newest first."""

    serializer_class = data.HourData
    pagination_class = Keyset

    def get_queryset(self) -> QuerySet[UsageHour]:
        """Return what the caller may read."""
        asked = _asked(data.UsageAsked, self.request)
        first = Q(hour__gte=_midnight(asked["from"])) if "from" in asked else Q()
        last = Q(hour__lt=_midnight(asked["to"] + timedelta(days=1))) if "to" in asked else Q()
        return rows.hours_visible_to(self.viewer).filter(first, last, _usage(asked))


class ReportList(LedgerView):
    """The reports that the caller may open."""

    read_scope = Scope.REPORTS_READ

    @extend_schema(responses=data.ReportInList(many=True))
    def get(self, request: Request) -> Response:
        """Answer with their names, questions and filters, by group."""
        found = [
            {
                "slug": report.slug,
                "title": report.title,
                "purpose": report.purpose,
                "group": report.group,
                "filters": [
                    *(name for one in Filter if one in report.filters for name in FIELDS[one]),
                    *report.own_filters(self.viewer),
                ],
                "url": request.build_absolute_uri(reverse("ledger_api:report", args=[report.slug])),
            }
            for report in visible_to(self.viewer)
        ]
        return Response(data.ReportInList(found, many=True).data)


class ReportDetail(LedgerView):
    """A whole report, streamed: columns, totals that tie to the ledger, and every row."""

    read_scope = Scope.REPORTS_READ

    @extend_schema(responses=data.ReportData, parameters=REPORT_FILTERS)
    def get(self, request: Request, slug: str) -> HttpResponseBase:
        """Answer with the report; the filters are those of its page, and what is wrong with them is told by field."""
        report = report_of(slug)
        if report is None:
            raise Http404
        visible_or_404(self.viewer, report.permission, None)
        form = ChoiceForm(report, self.viewer, request.query_params)
        unknown = set(request.query_params) - set(form.fields)
        if unknown or not form.is_valid():
            faults = {name: ["This report has no such filter."] for name in sorted(unknown)}
            faults |= {name: [str(message) for message in messages] for name, messages in form.errors.items()}
            raise Invalid("The report cannot be made of this.", faults)
        choice = form.choice
        asked = Asked(report, choice, self.viewer, form.typed, report.columns(choice), report.ties(choice))
        answer = json_file(asked)
        del answer["Content-Disposition"]
        return answer


def _account(viewer: User, code: str) -> Account:
    accounts: QuerySet[Account] = Account.objects.select_related("team__business_unit", "business_unit", "provider")
    return find_or_404(accounts, viewer, "ledger.view_account", code=code)


def _usage(asked: dict[str, Any]) -> Q:
    if "tag_value" in asked and "tag" not in asked:
        raise serializers.ValidationError({"tag": "Say which tag has this value."})
    tagged = Q()
    if "tag" in asked:
        name, value = asked["tag"], asked.get("tag_value")
        tagged = Q(tags__has_key=name) if value is None else Q(tags__contains={name: value})
    return _matching(USAGE_FILTERS, asked) & tagged


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
