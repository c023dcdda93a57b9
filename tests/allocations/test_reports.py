"""Reports of budgets, their pace, refused calls and changes: exact figures, ties that hold, and who may look."""

import csv
import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest

from allocations.models import Denial
from allocations.reports.anomalies import anomalies
from allocations.services import KeyLimits, key_limits_set, key_revoke, key_rotate
from ledger.models import Account, EntryKind, RateSource, Tier
from ledger.reports.base import Choice, Report, report_of
from ledger.selectors import today
from ledger.services import Leg, entry_post, rate_approve, rate_propose, usage_post
from teams.models import Role
from teams.services import role_grant, role_withdraw
from tests.budget import Budget
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, error_beside, page_of, rows

pytestmark = pytest.mark.django_db

SLUGS = ["access-audit", "anomalies", "budget-against-actual", "denials", "forecast"]


def chosen(*, days: int = 30, **narrower: Any) -> Choice:
    return Choice(starts_on=today() - timedelta(days=days), ends_on=today(), as_of=datetime.now(UTC), **narrower)


def found(slug: str) -> Report:
    report = report_of(slug)
    assert report is not None
    return report


def table(slug: str, budget: Budget, choice: Choice | None = None) -> list[dict[str, Any]]:
    report, choice = found(slug), choice or chosen()
    names = [column.name for column in report.columns(choice)]
    return [dict(zip(names, row.cells, strict=True)) for row in report.rows(choice, budget.company.hana)]


def ties(slug: str, choice: Choice | None = None) -> list[tuple[Any, ...]]:
    return [(t.currency, t.reported, t.in_ledger, t.explained) for t in found(slug).ties(choice or chosen())]


@pytest.mark.parametrize("slug", SLUGS)
@pytest.mark.parametrize("ending", ["/", ".csv", ".xlsx", ".json"])
def test_a_report_opens_for_finance_and_auditors_and_is_not_there_for_others(
    budget: Budget, slug: str, ending: str
) -> None:
    budget.past_call(3, days=1)
    company = budget.company
    answers: dict[str, Any] = {
        name: company.client(company.person(name)).get(f"/ledger/reports/{slug}{ending}") for name in PEOPLE
    }

    assert {name for name, answer in answers.items() if answer.status_code == 200} == {"hana", "jo"}
    assert {answer.status_code for answer in answers.values()} == {200, 404}
    for answer in answers.values():
        if answer.streaming:
            b"".join(answer.streaming_content)
        else:
            assert_readable(answer)


@pytest.mark.parametrize("slug", SLUGS)
def test_before_anything_happened_a_report_is_empty_and_says_so(company: Company, slug: str) -> None:
    page = company.client(company.hana).get(f"/ledger/reports/{slug}/?from=2020-01-01&to=2020-01-31")

    assert page.status_code == 200
    assert page_of(page).all("div", class_="empty")


class TestBudgetAgainstActual:
    def test_each_line_says_what_was_granted_held_spent_and_planned(self, budget: Budget) -> None:
        budget.past_call("70.5", days=2)
        usage_post(actor=budget.company.system)
        budget.call()
        budget.till.admit(budget.prod, budget.line, "2.25")

        frontier, standard, economy = table("budget-against-actual", budget)

        # Ten days ago until in fifty days are sixty-one, and today is the eleventh.
        assert standard == {
            "allocation": budget.claims.number,
            "name": "Claims triage",
            "team": "Claims",
            "cost_centre": "CC-100",
            "tier": "Standard",
            "state": "Active",
            "starts_on": today() - timedelta(days=10),
            "ends_on": today() + timedelta(days=50),
            "currency": "USD",
            "granted": 300,
            "spent": Decimal("71.5"),
            "held": Decimal("2.25"),
            "remaining": Decimal("226.25"),
            "plan": Decimal("54.10"),
            "pace": Decimal("132.162661737523"),
        }
        assert (frontier["spent"], frontier["plan"], frontier["pace"]) == (0, Decimal("18.03"), 0)
        assert (economy["team"], economy["granted"], economy["remaining"]) == ("Fraud", 50, 50)

    def test_it_ties_to_the_line_accounts_but_for_what_the_next_hour_posts(self, budget: Budget) -> None:
        budget.past_call("70.5", days=2)
        usage_post(actor=budget.company.system)
        assert ties("budget-against-actual") == [("USD", Decimal("379.5"), Decimal("379.5"), "")]

        budget.call()

        words = "$1.00 was metered since the last hourly posting."
        assert ties("budget-against-actual") == [("USD", Decimal("378.5"), Decimal("379.5"), words)]

    def test_a_difference_that_nothing_explains_is_an_alarm(self, budget: Budget) -> None:
        metered = Account.objects.get(code="metered:sandbox")
        legs = [Leg(metered, Decimal(5)), Leg(budget.line.account, Decimal(-5))]
        entry_post(actor=budget.company.system, kind=EntryKind.USAGE, source="test", key="wrong", legs=legs)

        [tie] = found("budget-against-actual").ties(chosen())

        assert (tie.difference, tie.explained) == (Decimal(5), "")

    def test_filters_narrow_rows_and_ties_alike(self, budget: Budget) -> None:
        budget.call()
        usage_post(actor=budget.company.system)
        company = budget.company

        by_team = chosen(team=company.fraud)
        by_unit = chosen(unit=company.insurance, tier="standard")

        assert [row["tier"] for row in table("budget-against-actual", budget, by_team)] == ["Economy"]
        assert ties("budget-against-actual", by_team) == [("USD", 50, 50, "")]
        assert [row["tier"] for row in table("budget-against-actual", budget, by_unit)] == ["Standard"]
        assert ties("budget-against-actual", by_unit) == [("USD", 299, 299, "")]

    def test_the_rows_lead_to_the_allocation_and_the_statement_of_the_line(self, budget: Budget) -> None:
        page = budget.company.client(budget.company.hana).get("/ledger/reports/budget-against-actual/")

        links = {link.attrs["href"] for link in page_of(page).one("main").all("a")}
        number = budget.claims.number
        assert {f"/allocations/{number}/", f"/ledger/accounts/line:{number}:standard/"} <= links
        figure = found("budget-against-actual").plot(chosen(), budget.company.hana)
        assert figure is not None
        assert [trace.name for trace in figure.data] == ["Spent, %", "Held, %"]


class TestForecast:
    def test_a_line_that_ends_before_its_last_day_stands_first_with_an_alarm(self, budget: Budget) -> None:
        budget.past_call(70, days=6)
        budget.past_call(70, days=1)
        budget.past_call(60, days=7)
        usage_post(actor=budget.company.system)

        standard, frontier, economy = table("forecast", budget)

        # 100 dollars at 20 a day; what was spent seven days ago is not of this week.
        assert (standard["tier"], standard["left"], standard["pace"]) == ("Standard", 100, 20)
        assert standard["runs_out_on"] == today() + timedelta(days=5)
        assert (standard["days_early"], standard["alarm"]) == (45, "Runs out early")
        assert (frontier["runs_out_on"], frontier["days_early"], frontier["alarm"]) == (None, None, "")
        assert (economy["tier"], economy["pace"]) == ("Economy", 0)
        assert ties("forecast") == [("USD", 250, 250, "")]

    def test_a_line_that_lasts_has_no_alarm(self, budget: Budget) -> None:
        budget.past_call(7, days=1)

        standard = table("forecast", budget)[0]

        assert standard["runs_out_on"] == today() + timedelta(days=293)
        assert (standard["days_early"], standard["alarm"]) == (None, "")

    def test_a_line_that_is_used_up_says_so(self, budget: Budget) -> None:
        budget.past_call(300, days=20)

        standard = table("forecast", budget)[0]

        assert (standard["left"], standard["runs_out_on"], standard["alarm"]) == (0, today(), "Used up")


class TestAnomalies:
    def test_a_day_far_above_the_usual_is_found_and_a_usual_one_is_not(self, budget: Budget) -> None:
        for day in range(1, 11):
            budget.past_call(2 if day % 2 else 3, days=day)
        budget.past_call(40)

        [row] = table("anomalies", budget)

        # Ten days: five of 2 and five of 3 dollars; their median is 2.5, the deviation 0.5.
        assert (row["day"], row["tier"], row["spent"]) == (today(), "Standard", 40)
        assert (row["usual"], row["threshold"], row["share"]) == (Decimal("2.5"), Decimal("5.5"), 1600)

    def test_a_period_shows_its_own_days_only(self, budget: Budget) -> None:
        for day in range(3, 11):
            budget.past_call(2, days=day)
        budget.past_call(50, days=2)
        assert [row["day"] for row in table("anomalies", budget)] == [today() - timedelta(days=2)]
        assert table("anomalies", budget, chosen(days=1)) == []
        assert table("anomalies", budget, chosen(team=budget.company.fraud)) == []

    DAY = date(2026, 3, 30)

    @pytest.mark.parametrize(
        ("past", "spent", "is_one"),
        [
            ([10] * 14, 16, False),
            ([10] * 14, 17, True),
            # Weekends do not move the median, and one wild day does not either.
            ([10, 10, 10, 10, 10, 0, 0] * 2, 17, True),
            ([10] * 13 + [500], 17, False),
            ([10] * 13 + [500], 501, True),
            # A line that slept and wakes up is told of, but not for cents.
            ([0] * 14, 5, True),
            ([0] * 14, "0.99", False),
            ([10] * 6, 900, False),
            ([10] * 7, 900, True),
        ],
    )
    def test_the_rule(self, past: list[int], spent: int | str, is_one: bool) -> None:
        began = self.DAY - timedelta(days=len(past))
        days = {began + timedelta(days=place): Decimal(amount) for place, amount in enumerate(past)}
        days[self.DAY] = Decimal(spent)

        assert bool(list(anomalies(days, began, self.DAY, self.DAY))) is is_one


class TestDenialLog:
    @pytest.fixture
    def noon(self, budget: Budget) -> datetime:
        noon = datetime.combine(today() - timedelta(days=1), time(12), UTC)
        rows = [
            (noon, budget.prod, "line_empty", "tank-small", 7),
            (noon, None, "key_unknown", "", 3),
            (noon + timedelta(hours=1), budget.test, "key_cap", "tank-small", 2),
            (noon - timedelta(days=60), budget.prod, "key_revoked", "", 1),
        ]
        for hour, key, reason, model, count in rows:
            Denial.objects.create(
                hour=hour,
                key=key,
                reason=reason,
                model=model,
                count=count,
                last_at=hour + timedelta(minutes=5),
                example_asked=model,
                example_bytes=120,
                example_bound=Decimal("0.000321"),
            )
        return noon

    def test_it_says_which_calls_were_refused_with_an_example(self, budget: Budget, noon: datetime) -> None:
        capped, empty, unknown = table("denials", budget)

        assert empty == {
            "hour": noon,
            "key": "triage-prod",
            "allocation": budget.claims.number,
            "team": "Claims",
            "reason": "The line has too little left",
            "model": "tank-small",
            "count": 7,
            "last_at": noon + timedelta(minutes=5),
            "example_asked": "tank-small",
            "example_bytes": 120,
            "example_bound": Decimal("0.000321"),
        }
        assert (capped["key"], capped["reason"], capped["count"]) == (
            "triage-test",
            "The key's cap has too little left",
            2,
        )
        assert (unknown["key"], unknown["team"], unknown["count"]) == ("", "", 3)

    def test_filters_and_plot(self, budget: Budget, noon: datetime) -> None:
        company = budget.company

        by_team = table("denials", budget, chosen(team=company.claims))
        by_model = table("denials", budget, chosen(model=budget.model))
        figure = found("denials").plot(chosen(), company.hana)

        assert [row["count"] for row in by_team] == [2, 7]
        assert [row["count"] for row in by_model] == [2, 7]
        assert table("denials", budget, chosen(unit=company.security)) == []
        assert [row["count"] for row in table("denials", budget, chosen(tier=Tier.STANDARD))] == [2, 7]
        assert table("denials", budget, chosen(tier=Tier.FRONTIER)) == []
        assert figure is not None
        assert {trace.name: list(trace.y) for trace in figure.data} == {
            "The key's cap has too little left": [2],
            "No such key": [3],
            "The line has too little left": [7],
        }

    def test_its_own_filters_stand_in_the_address_and_in_every_file(self, budget: Budget, noon: datetime) -> None:
        client, number = budget.company.client(budget.company.hana), budget.claims.number
        period = f"from={noon.date()}&to={noon.date()}"

        def counts(query: str) -> list[int]:
            answer: Any = client.get(f"/ledger/reports/denials.json?{period}&{query}")
            return [row["count"] for row in json.loads(b"".join(answer.streaming_content))["rows"]]

        assert counts("") == [2, 7, 3]
        assert counts("reason=line_empty") == [7]
        assert counts("reason=key_unknown") == [3]
        assert counts(f"allocation={number}") == counts(f"allocation={budget.claims.pk}") == [2, 7]
        assert counts(f"allocation={budget.fraud.number}") == []
        assert counts(f"allocation={number}&key=Triage-Test") == [2]
        assert counts("key=triage-prod&reason=key_cap") == []
        page = client.get(f"/ledger/reports/denials/?{period}&reason=key_cap&key=triage-test&allocation={number}")
        assert [row[6] for row in rows(page)] == ["2"]
        assert_readable(page)
        csv_link = page_of(page).one("div", class_="actions").all("a")[0].attrs["href"]
        assert "reason=key_cap" in csv_link
        assert "key=triage-test" in csv_link

    def test_a_key_or_number_that_nobody_has_is_told_beside_its_field(self, budget: Budget) -> None:
        client = budget.company.client(budget.company.hana)
        answer = client.get("/ledger/reports/denials/?key=nobody&allocation=A-9999&reason=because")
        assert answer.status_code == 422
        assert error_beside(answer, "key") == "No key has this name."
        assert error_beside(answer, "allocation") == "There is no allocation 'A-9999'."
        assert "because" in error_beside(answer, "reason")


class TestAccessAudit:
    def test_it_names_who_proposed_and_approved_prices_handled_keys_and_gave_roles(self, budget: Budget) -> None:
        company = budget.company
        later = datetime(2030, 1, 1, tzinfo=UTC)
        rate = rate_propose(
            actor=company.ivo,
            model=budget.model,
            source=RateSource.NEGOTIATED,
            input_price=Decimal("0.8"),
            output_price=Decimal(3),
            valid_from=later,
            note="Signed in March",
        )
        rate_approve(actor=company.hana, rate=rate)
        key_rotate(actor=company.ana, key=budget.prod, grace=timedelta(hours=1))
        key_limits_set(actor=company.ana, key=budget.test, limits=KeyLimits(cap=Decimal(9)), reason="Enough")
        key_revoke(actor=company.ivo, key=budget.test, reason="Leaked")
        role_grant(actor=company.ivo, user=company.bo, role=Role.AUDITOR, reason="Audits with Jo")
        role_withdraw(actor=company.ivo, user=company.bo, role=Role.AUDITOR)

        audited = [tuple(row.values())[1:] for row in table("access-audit", budget)]

        price = "0.8 in, 3 out, USD per million tokens, from 2030-01-01 00:00 UTC"
        key = f"triage-test of {budget.claims.number}"
        for expected in [
            ("Price proposed", "tank-small", price, "Ivo Example", "Signed in March"),
            ("Price approved", "tank-small", f"{price}; proposed by Ivo Example", "Hana Example", ""),
            (
                "Key issued",
                f"triage-prod of {budget.claims.number}",
                f"allocation: {budget.claims.number}",
                "Ana Example",
                "",
            ),
            ("Key rotated", f"triage-prod of {budget.claims.number}", "grace seconds: 3600", "Ana Example", ""),
            ("Key's limits changed", key, "cap: 20 to 9", "Ana Example", "Enough"),
            ("Key revoked", key, "", "Ivo Example", "Leaked"),
            ("Role granted", "Bo Example", "role: Auditor (read-only)", "Ivo Example", "Audits with Jo"),
            ("Role withdrawn", "Bo Example", "role: Auditor (read-only)", "Ivo Example", ""),
            ("Role granted", "Hana Example", "role: Finance", "Tank", ""),
            ("Member of a team", "Claims", "role: Lead, user: ana@acorn.example", "Tank", ""),
        ]:
            assert expected in audited
        times = [row["at"] for row in table("access-audit", budget)]
        assert times == sorted(times, reverse=True)

    def test_the_file_has_all_of_it_and_links_stay_on_the_page(self, budget: Budget) -> None:
        client = budget.company.client(budget.company.jo)

        page = client.get("/ledger/reports/access-audit/")
        answer: Any = client.get("/ledger/reports/access-audit.csv")
        lines = list(csv.reader(b"".join(answer.streaming_content).decode().splitlines()))

        hrefs = {link.attrs["href"] for link in page_of(page).one("main").all("a")}
        assert f"/allocations/{budget.claims.number}/keys/{budget.prod.pk}/" in hrefs
        assert [line[1] for line in lines].count("Key issued") == 2
