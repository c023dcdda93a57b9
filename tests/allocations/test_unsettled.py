"""What calls hold whose process went away: listed for finance, and settled by hand, once and never past a limit."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from allocations.models import Hold, Quota, QuotaKey
from allocations.selectors.unsettled import LostHold, lost_holds, unsettled_count
from allocations.services import hold_charge, hold_release
from ledger.checks import breaches
from ledger.models import AccountClass, AiModel, Dialect, RateSource, Tier, UsageRecord
from ledger.money import plain
from ledger.selectors import balance
from ledger.services import account_open, model_add, provider_add, rate_approve, rate_propose, usage_post
from teams.errors import NotAllowed, Refused
from teams.models import AuditEvent
from tests.budget import Budget, open_budget
from tests.cast import PEOPLE, Company, build_company
from tests.conftest import FreshDatabase
from tests.pages import assert_readable, error_beside, heading, page_of, rows, typed

REASON = "The provider's usage report of the day"


@pytest.fixture
def hana(budget: Budget) -> Client:
    return budget.company.client(budget.company.hana)


def lose(budget: Budget, amount: str = "2.5", key: QuotaKey | None = None) -> LostHold:
    """Let a process go away with a call in flight on the standard line of Claims, long ago and at the price of then."""
    system, then = budget.company.system, datetime(2019, 1, 1, tzinfo=UTC)
    prices: Any = {"input_price": Decimal(1), "output_price": Decimal(3), "source": RateSource.NEGOTIATED}
    rate_approve(actor=system, rate=rate_propose(actor=system, model=budget.model, valid_from=then, **prices))
    budget.till.admit(key or budget.prod, budget.line, amount)
    budget.till.die()
    return lost_holds()[0]


def standing(budget: Budget) -> list[tuple[str, str]]:
    """Return what is spent and held of the line and of the key."""
    quotas = (Quota.objects.get(line=budget.line), Quota.objects.get(key=budget.prod))
    return [(plain(quota.spent), plain(quota.held)) for quota in quotas]


def proven(budget: Budget) -> None:
    """Post the usage, do what a commit does, and look for what is broken."""
    usage_post(actor=budget.company.system)
    budget.seal()
    assert breaches() == []


def page_at(hold: LostHold) -> str:
    return f"/allocations/unsettled/{hold.pk}/{hold.key_hold}/"


def test_they_are_listed_with_who_held_them(budget: Budget, hana: Client) -> None:
    budget.till.admit(budget.test, budget.line, "1")
    hold = lose(budget)

    page = hana.get("/allocations/unsettled/")

    assert heading(page) == "$3.50 waits to be settled"
    where, seen = [f"{budget.claims.number} Standard"], ["till, process 4711", "1 Jan 2020", "Settle…"]
    assert rows(page) == [
        [*where, "triage-prod", "Claims", "1", "$2.50", *seen],
        [*where, "triage-test", "Claims", "1", "$1.00", *seen],
    ]
    assert_readable(page)
    assert_readable(hana.get(page_at(hold)))


def test_without_any_the_page_says_so(company: Company) -> None:
    page = company.client(company.hana).get("/allocations/unsettled/")

    assert page_of(page).one("div", class_="empty").one("b").text == "Nothing is unsettled"


def test_the_nav_tells_finance_of_them(budget: Budget, hana: Client) -> None:
    lose(budget)
    nav = page_of(hana.get("/")).one("nav", aria_label="Main")
    assert nav.one("a", href="/allocations/unsettled/").text == "Unsettled holds 1"
    nav = page_of(hana.get("/allocations/unsettled/")).one("nav", aria_label="Main")
    assert [link.text for link in nav.all("a", aria_current="page")] == ["Unsettled holds 1"]


def test_they_are_counted_from_an_index_of_their_own(budget: Budget) -> None:
    with connection.cursor() as cursor:
        # A table of a few rows is read whole; what is asked is whether a long one has to be.
        cursor.execute("SET LOCAL enable_seqscan = off")
    with CaptureQueriesContext(connection) as asked:
        assert unsettled_count() == 0
        (query,) = asked.captured_queries
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {query['sql']}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "hold_unsettled" in plan


def test_what_was_not_used_is_free_again(budget: Budget, hana: Client) -> None:
    hold = lose(budget)
    assert standing(budget) == [("0", "2.5")] * 2

    answer = hana.post(page_at(hold), {"held": "2.5", "outcome": "release", "reason": REASON}, follow=True)

    assert "$2.50 is released." in page_of(answer).one("div", class_="toasts").text
    assert standing(budget) == [("0", "0")] * 2
    assert not Hold.objects.exists()
    assert not UsageRecord.objects.exists()
    history = rows(hana.get(f"/allocations/{budget.claims.number}/"), "History, table")
    assert history[0][1:] == ["Hana Example", "Released what lost calls held", REASON]
    proven(budget)


def test_what_the_provider_says_is_charged_and_the_rest_of_the_hold_is_free_again(budget: Budget, hana: Client) -> None:
    hold = lose(budget)
    data = {"held": "2.5", "outcome": "charge", "cost": "1.75", "model": budget.model.pk, "reason": REASON}

    answer = hana.post(page_at(hold), data, follow=True)

    assert f"$1.75 is charged to {budget.claims.number}." in page_of(answer).one("div", class_="toasts").text
    assert standing(budget) == [("1.75", "0")] * 2
    record = UsageRecord.objects.get()
    assert (record.cost, record.charged, record.overage, record.settle_kind) == (*2 * [Decimal("1.75")], 0, "by_hand")
    assert (record.account, record.team, record.key_id) == (budget.line.account, budget.claims.team, budget.prod.pk)
    assert (record.model, record.sent_at, record.input_tokens) == (budget.model, hold.last_seen_at, 0)
    event = AuditEvent.objects.get(verb="hold.charge")
    assert (event.actor, event.reason, event.details["cost"]) == (budget.company.hana, REASON, "1.75")
    calls = rows(hana.get(f"/allocations/{budget.claims.number}/keys/{budget.prod.pk}/"), "Calls, table")
    assert calls[0][-2:] == ["$1.75", "by hand"]
    proven(budget)
    assert (
        balance(account_open(code="metered:sandbox", name="", account_class=AccountClass.METERED)).amount == record.cost
    )


def test_more_than_the_hold_is_charged_as_far_as_the_limit_goes_and_the_rest_is_overage(budget: Budget) -> None:
    hold = lose(budget)
    cost = Decimal("301.25")

    overage = hold_charge(actor=budget.company.hana, hold=hold, cost=cost, model=budget.model, reason=REASON)

    assert overage == Decimal("1.25")
    assert standing(budget) == [("300", "0")] * 2
    record = UsageRecord.objects.get()
    assert (record.cost, record.charged, record.overage) == (cost, 300, overage)
    assert Quota.objects.get(key=budget.prod).is_open  # nobody's call counted wrong
    proven(budget)


def test_a_keys_own_cap_holds_too(budget: Budget) -> None:
    hold = lose(budget, "5", budget.test)
    overage = hold_charge(actor=budget.company.hana, hold=hold, cost=Decimal(21), model=budget.model, reason=REASON)
    assert overage == 1
    assert Quota.objects.get(key=budget.test).available == 0


def test_nothing_is_settled_twice(budget: Budget, hana: Client) -> None:
    hold = lose(budget)
    data = {"held": "2.5", "outcome": "charge", "cost": "1", "model": budget.model.pk, "reason": REASON}
    assert hana.post(page_at(hold), data).status_code == 302

    again = hana.post(page_at(hold), data)

    assert (again.status_code, heading(again)) == (409, "This is settled")
    assert_readable(again)
    assert_readable(hana.get(page_at(hold)))
    with pytest.raises(Refused) as refused:
        hold_release(actor=budget.company.lou, hold=hold, reason=REASON)
    assert refused.value.code == "hold_changed"
    assert standing(budget) == [("1", "0")] * 2


def test_what_changed_since_it_was_seen_is_looked_at_again(budget: Budget, hana: Client) -> None:
    hold = lose(budget)
    answer = hana.post(page_at(hold), {"held": "2", "outcome": "release", "reason": REASON})
    assert answer.status_code == 422
    assert "not held any more, or not as much" in page_of(answer).text
    assert standing(budget) == [("0", "2.5")] * 2


def test_a_process_that_may_come_back_settles_its_calls_itself(budget: Budget) -> None:
    hold = lose(budget)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE allocations_meterworker SET heartbeat_at = now() - interval '59 minutes'")
    with pytest.raises(Refused) as refused:
        hold_release(actor=budget.company.hana, hold=hold, reason=REASON)
    assert refused.value.code == "may_come_back"

    with connection.cursor() as cursor:  # one that signed off does not come back
        cursor.execute("UPDATE allocations_meterworker SET state = 'stopped'")
    hold_release(actor=budget.company.hana, hold=hold, reason=REASON)
    assert standing(budget) == [("0", "0")] * 2


def test_each_key_of_a_line_is_settled_by_itself(budget: Budget) -> None:
    budget.till.admit(budget.test, budget.line, "1")
    of_prod, of_test = lose(budget, "4"), lost_holds()[1]
    assert [(one.key, plain(one.amount), one.calls) for one in (of_prod, of_test)] == [
        (budget.prod, "4", 1),
        (budget.test, "1", 1),
    ]

    hold_charge(actor=budget.company.hana, hold=of_test, cost=Decimal("0.5"), model=budget.model, reason=REASON)

    assert [(one.key, plain(one.amount), one.calls) for one in lost_holds()] == [(budget.prod, "4", 1)]
    hold_release(actor=budget.company.hana, hold=of_prod, reason=REASON)
    assert standing(budget) == [("0.5", "0"), ("0", "0")]
    proven(budget)


def test_several_lines_and_keys_of_one_process_add_up_to_what_it_held(budget: Budget) -> None:
    frontier = budget.claims.lines.get(tier=Tier.FRONTIER)
    for key, line, amount in (
        (budget.prod, budget.line, "4"),
        (budget.test, frontier, "3"),
        (budget.prod, frontier, "2"),
    ):
        budget.till.admit(key, line, amount)
    budget.till.die()
    settled = Decimal(0)
    while found := lost_holds():
        hold_release(actor=budget.company.hana, hold=found[0], reason=REASON)
        settled += found[0].amount
    assert settled == 9
    assert not Hold.objects.exists()
    proven(budget)


@pytest.mark.parametrize(
    ("of_today", "spent"),
    [
        (None, {"before": "2.5"}),
        ("1", {"before": "0", "today": "2.5"}),
    ],
)
def test_a_day_is_charged_what_was_sent_on_it(budget: Budget, of_today: str | None, spent: dict[str, str]) -> None:
    """A process held before midnight, perhaps after it too, and was last seen after it."""
    QuotaKey.objects.filter(pk=budget.prod.pk).update(day_cap=Decimal(5))
    budget.till.admit(budget.prod, budget.line, "2", days_ago=1)
    if of_today:
        budget.till.admit(budget.prod, budget.line, of_today)
    lose(budget, key=budget.test)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE allocations_meterworker SET heartbeat_at = date_trunc('day', now(), 'UTC')")
        cursor.execute("UPDATE allocations_meterworker SET state = 'stopped'")
    (hold,) = [one for one in lost_holds() if one.key == budget.prod]

    hold_charge(actor=budget.company.hana, hold=hold, cost=Decimal("2.5"), model=budget.model, reason=REASON)

    days = Quota.objects.filter(window_of=budget.prod).order_by("starts_on")
    assert dict(zip(("before", "today"), (plain(one.spent) for one in days), strict=False)) == spent
    assert {plain(one.held) for one in days} == {"0"}
    proven(budget)


@pytest.mark.parametrize("name", sorted(set(PEOPLE) - {"hana"}))
def test_only_finance_settles(budget: Budget, name: str) -> None:
    hold, person = lose(budget), budget.company.person(name)
    client = budget.company.client(person)
    data = {"held": "2.5", "outcome": "release", "reason": REASON}
    assert [client.get(page_at(hold)).status_code, client.post(page_at(hold), data).status_code] == [404, 404]
    with pytest.raises(NotAllowed):
        hold_release(actor=person, hold=hold, reason=REASON)
    with pytest.raises(NotAllowed):
        hold_charge(actor=person, hold=hold, cost=Decimal(1), model=budget.model, reason=REASON)
    page = client.get("/allocations/unsettled/")
    assert page.status_code == (200 if name in {"ivo", "jo"} else 404)
    assert "Settle…" not in page.content.decode()


def test_what_is_missing_is_said_beside_its_field_and_what_was_typed_stays(budget: Budget, hana: Client) -> None:
    hold = lose(budget)
    other = AiModel.objects.create(provider=budget.model.provider, name="without-a-rate", tier=Tier.STANDARD)
    nothing = hana.post(page_at(hold), {"held": "2.5", "reason": " "})
    assert error_beside(nothing, "reason") == "Say where the figure comes from: an auditor will ask."
    assert "Choose what became of these calls." in page_of(nothing).text
    data: dict[str, Any] = {"held": "2.5", "outcome": "charge", "reason": REASON}
    half = hana.post(page_at(hold), data)
    assert error_beside(half, "cost") == "Say what it cost."
    assert error_beside(half, "model") == "Say which model was called."
    unrated = hana.post(page_at(hold), data | {"cost": "1", "model": other.pk})
    assert error_beside(unrated, "model").endswith("had no rate when these calls were made.")
    assert typed(unrated, "cost") == "1"
    assert_readable(unrated)


def test_only_models_of_the_lines_tier_are_offered(budget: Budget, hana: Client) -> None:
    hold = lose(budget)
    provider = provider_add(actor=budget.company.system, name="opal", dialect=Dialect.SANDBOX)
    for name, tier in (("large", Tier.FRONTIER), ("medium", Tier.STANDARD)):
        model_add(
            actor=budget.company.system,
            provider=provider,
            name=name,
            tier=tier,
            input_price=Decimal(1),
            output_price=Decimal(3),
        )
    options = [option.text for option in page_of(hana.get(page_at(hold))).one("select", name="model").all("option")]
    assert options == ["Choose one", "medium", "tank-small"]


def test_of_two_people_at_once_one_settles_it(fresh_database: FreshDatabase) -> None:
    budget = open_budget(build_company())
    hold = lose(budget)

    def settle(person: Any) -> str:
        try:
            hold_charge(actor=person, hold=hold, cost=Decimal(1), model=budget.model, reason=REASON)
        except Refused as error:
            return error.code
        finally:
            connections.close_all()
        return "settled"

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(settle, [budget.company.hana, budget.company.lou]))

    assert outcomes == ["hold_changed", "settled"]
    assert standing(budget) == [("1", "0")] * 2
    assert UsageRecord.objects.count() == 1
