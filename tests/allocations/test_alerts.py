"""Alerts: people and webhooks are told once that a budget runs low, whoever looks."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction

from allocations.models import AlertKind, BudgetAlert, Quota
from allocations.services import (
    KeyLimits,
    allocation_suspend,
    burn_alerts_raise,
    key_limits_set,
    key_revoke,
    key_suspend,
    line_tokens_set,
    sweep_run,
    threshold_alerts_raise,
)
from allocations.tasks import raise_burn_alerts, raise_threshold_alerts
from ledger.selectors import today
from teams.models import Notification, User, WebhookDelivery, WebhookEvent
from teams.webhook_services import webhook_create
from tests.budget import Budget, open_budget
from tests.cast import build_company
from tests.conftest import FreshDatabase

HOOK = "https://hooks.acorn.example/tank"


def hook(budget: Budget) -> None:
    company = budget.company
    webhook_create(actor=company.ana, team=company.claims, name="bot", url=HOOK, events=WebhookEvent.values)


def events() -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in WebhookDelivery.objects.order_by("pk").values_list("payload", flat=True)]


def told() -> list[tuple[str, set[User]]]:
    """Return what was said, in the order in which it was said first, and to whom."""
    found: dict[str, set[User]] = {}
    for line in Notification.objects.order_by("pk"):
        found.setdefault(line.title, set()).add(line.user)
    return list(found.items())


def as_owner(change: Callable[[], Any]) -> None:
    """Change what the run-time role has no right to change."""
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE NONE")
        change()
        cursor.execute("SET ROLE tank_app")


@pytest.mark.django_db
def test_each_threshold_of_a_line_is_told_once_and_higher_up_each_time(budget: Budget) -> None:
    company, place = budget.company, f"Standard line of {budget.claims.number} Claims triage"
    team, heads, finance = {company.ana}, {company.kim}, {company.hana, company.lou}

    for dollars, new in ((149, 0), (1, 1), (89, 0), (1, 1), (45, 1), (15, 1)):
        budget.past_call(dollars)
        assert raise_threshold_alerts() == new
        assert raise_threshold_alerts() == 0

    assert told() == [
        (f"50 % spent: {place}", team),
        (f"80 % spent: {place}", team),
        (f"95 % spent: {place}", team | heads),
        (f"100 % spent: {place}", team | heads | finance),
    ]
    line = Notification.objects.filter(title__startswith="80 %").get()
    assert line.body == "$240.00 of $300.00 is spent, $0.00 is held, $60.00 is left."
    assert line.url == f"/allocations/{budget.claims.number}/"


@pytest.mark.django_db
def test_a_jump_is_told_as_its_highest_threshold_alone(budget: Budget) -> None:
    hook(budget)
    budget.past_call(290)

    assert raise_threshold_alerts() == 3

    assert [title for title, _ in told()] == [f"95 % spent: Standard line of {budget.claims.number} Claims triage"]
    assert [event["data"]["threshold_percent"] for event in events()] == [95]
    assert set(BudgetAlert.objects.values_list("percent", flat=True)) == {50, 80, 95}


@pytest.mark.django_db
def test_a_webhook_learns_the_figures_as_exact_strings(budget: Budget, settings: Any) -> None:
    settings.TANK_URL = "https://tank.acorn.example"
    hook(budget)
    budget.past_call("150.000000000001")
    raise_threshold_alerts()

    [event] = events()
    assert event["type"] == "budget.threshold"
    assert event["data"] == {
        "alert": BudgetAlert.objects.get().pk,
        "allocation": budget.claims.number,
        "allocation_name": "Claims triage",
        "team": "claims",
        "url": f"https://tank.acorn.example/allocations/{budget.claims.number}/",
        "tier": "standard",
        "key": None,
        "window": None,
        "threshold_percent": 50,
        "unit": "money",
        "limit": "300",
        "spent": "150.000000000001",
        "held": "0",
        "available": "149.999999999999",
        "currency": "USD",
    }


@pytest.mark.django_db
def test_a_keys_cap_is_the_teams_own_matter(budget: Budget) -> None:
    hook(budget)
    budget.past_call(20, key=budget.test)

    assert raise_threshold_alerts() == 4

    title = f"100 % spent: key triage-test of {budget.claims.number} Claims triage"
    assert told() == [(title, {budget.company.ana})]
    assert events()[0]["data"]["key"] == {"id": budget.test.pk, "name": "triage-test"}
    assert events()[0]["data"]["tier"] is None


@pytest.mark.django_db
def test_the_cap_of_each_day_is_told_once_a_day_and_says_when_it_starts_again(budget: Budget) -> None:
    hook(budget)
    ana, key = budget.company.ana, budget.test
    key_limits_set(actor=ana, key=key, limits=KeyLimits(day_cap=Decimal(2), month_cap=Decimal(10)), reason="Slowly")
    budget.call(key)
    assert (raise_threshold_alerts(), raise_threshold_alerts()) == (1, 0)
    budget.call(key)
    assert raise_threshold_alerts() == 3
    budget.call(key, tokens=0)
    assert raise_threshold_alerts() == 0

    place = f"key triage-test of {budget.claims.number} Claims triage"
    assert told() == [
        (f"50 % of the daily cap spent: {place}", {ana}),
        (f"100 % of the daily cap spent: {place}", {ana}),
    ]
    tomorrow = today() + timedelta(days=1)
    again = f"It starts again on {tomorrow:%-d %b %Y}, 00:00 UTC."
    assert Notification.objects.latest("pk").body == f"$2.00 of $2.00 is spent, $0.00 is held, $0.00 is left. {again}"
    data = events()[-1]["data"]
    assert data["window"] == {"span": "day", "starts_on": f"{today()}", "resets_at": f"{tomorrow}T00:00:00Z"}
    assert (data["key"]["id"], data["tier"], data["threshold_percent"]) == (key.pk, None, 100)


@pytest.mark.django_db
def test_a_day_that_is_over_is_told_of_for_an_hour_and_a_raised_cap_arms_the_day_again(budget: Budget) -> None:
    ana, key = budget.company.ana, budget.test
    midnight = datetime.combine(today() + timedelta(days=1), time(), UTC)
    key_limits_set(actor=ana, key=key, limits=KeyLimits(day_cap=Decimal(2)), reason="Slowly")
    budget.call(key)

    assert threshold_alerts_raise(now=midnight + timedelta(minutes=61)) == 0
    assert threshold_alerts_raise(now=midnight + timedelta(minutes=59)) == 1
    key_limits_set(actor=ana, key=key, limits=KeyLimits(day_cap=Decimal(3)), reason="More")
    assert raise_threshold_alerts() == 0
    budget.call(key, tokens=500_000)
    assert raise_threshold_alerts() == 1
    key_revoke(actor=ana, key=key, reason="leaked")
    assert raise_threshold_alerts() == 0


@pytest.mark.django_db
def test_limits_in_tokens_are_told_of_too_and_never_to_those_who_gave_the_money(budget: Budget) -> None:
    hook(budget)
    ana, key = budget.company.ana, budget.test
    key_limits_set(actor=ana, key=key, limits=KeyLimits(month_tokens=1_000_000), reason="A try")
    line_tokens_set(actor=ana, line=budget.line, tokens=800_000, reason="A try")
    budget.call(key, tokens=800_000)

    assert raise_threshold_alerts() == 6

    number = budget.claims.number
    assert told() == [
        (f"100 % of the tokens used: Standard line of {number} Claims triage", {ana}),
        (f"80 % of the monthly tokens used: key triage-test of {number} Claims triage", {ana}),
    ]
    line, month = Notification.objects.order_by("pk")
    assert line.body == "800,000 of 800,000 tokens are used, 0 are held, 0 are left."
    assert month.body.startswith("800,000 of 1,000,000 tokens are used, 0 are held, 200,000 are left. It starts")
    data = events()[0]["data"]
    figures = {name: data[name] for name in ("unit", "limit", "spent", "held", "available", "currency")}
    amounts = {"limit": "800000", "spent": "800000", "held": "0", "available": "0"}
    assert figures == {"unit": "tokens", "currency": None} | amounts
    assert set(BudgetAlert.objects.values_list("kind", flat=True)) == {"tokens"}


@pytest.mark.django_db
def test_a_raised_limit_arms_again_what_it_is_above_of(budget: Budget) -> None:
    ana = budget.company.ana
    budget.past_call(16, key=budget.test)
    raise_threshold_alerts()

    key_limits_set(actor=ana, key=budget.test, limits=KeyLimits(cap=Decimal(18)), reason="less")
    assert raise_threshold_alerts() == 0
    key_limits_set(actor=ana, key=budget.test, limits=KeyLimits(cap=Decimal(24)), reason="more")
    assert raise_threshold_alerts() == 0
    budget.past_call(4, key=budget.test)
    assert raise_threshold_alerts() == 1

    key = f"key triage-test of {budget.claims.number} Claims triage"
    titles = Notification.objects.order_by("pk").values_list("title", flat=True)
    assert list(titles) == [f"80 % spent: {key}", f"80 % spent: {key}"]
    alerts = BudgetAlert.objects.order_by("pk").values_list("percent", "limit", "rearmed_at")
    assert [(percent, limit, armed is None) for percent, limit, armed in alerts] == [
        (50, Decimal(20), True),
        (80, Decimal(20), False),
        (80, Decimal(24), True),
    ]


@pytest.mark.django_db
def test_a_cap_that_is_lifted_and_set_again_is_told_of_again(budget: Budget) -> None:
    ana = budget.company.ana
    budget.past_call(10, key=budget.test)
    assert raise_threshold_alerts() == 1
    key_limits_set(actor=ana, key=budget.test, limits=KeyLimits(cap=None), reason="none")
    assert raise_threshold_alerts() == 0

    key_limits_set(actor=ana, key=budget.test, limits=KeyLimits(cap=Decimal(20)), reason="again")

    assert raise_threshold_alerts() == 1


@pytest.mark.django_db
def test_what_is_held_is_not_spent(budget: Budget) -> None:
    budget.till.admit(budget.prod, budget.line, "290")

    assert raise_threshold_alerts() == 0


@pytest.mark.django_db
def test_of_what_is_over_nobody_is_told(budget: Budget) -> None:
    budget.past_call(20, key=budget.test)
    key_revoke(actor=budget.company.ana, key=budget.test, reason="leaked")
    assert raise_threshold_alerts() == 0

    budget.past_call(280)
    as_owner(lambda: type(budget.claims).objects.filter(pk=budget.claims.pk).update(state="closed"))
    assert raise_threshold_alerts() == 0


@pytest.mark.django_db
def test_a_suspended_allocation_is_still_watched(budget: Budget) -> None:
    budget.past_call(280)
    allocation_suspend(actor=budget.company.hana, allocation=budget.claims, reason="audit")

    assert raise_threshold_alerts() == 2


@pytest.mark.django_db
def test_finance_can_be_spared(budget: Budget, settings: Any) -> None:
    settings.ALERT_FINANCE = False
    budget.past_call(300)
    raise_threshold_alerts()

    assert [people for _, people in told()] == [{budget.company.ana, budget.company.kim}]


@pytest.mark.django_db
def test_a_line_that_runs_out_early_is_told_of_once(budget: Budget) -> None:
    hook(budget)
    for days in range(7):
        budget.past_call(20, days=days)

    assert raise_burn_alerts() == 1
    assert raise_burn_alerts() == 0

    ends = budget.claims.ends_on
    [(title, people)] = told()
    runs_out = today() + timedelta(days=8)  # 160 dollars at 20 a day
    assert title == f"Runs out on {runs_out:%-d %b}: Standard line of {budget.claims.number} Claims triage"
    assert people == {budget.company.ana}
    assert Notification.objects.get().body == (
        f"It lasts until {runs_out:%-d %b %Y} at the pace of the last seven days, and was planned to last until "
        f"{ends:%-d %b %Y}. $140.00 of $300.00 is spent, $0.00 is held, $160.00 is left."
    )
    [event] = events()
    assert event["type"] == "budget.burn_rate"
    assert (event["data"]["runs_out_on"], event["data"]["ends_on"]) == (runs_out.isoformat(), ends.isoformat())
    assert "threshold_percent" not in event["data"]


@pytest.mark.django_db
def test_a_line_on_its_plan_or_a_little_ahead_of_it_alarms_nobody(budget: Budget) -> None:
    # 265 dollars are left for fifty days, and last fifty-three; then forty-nine, which is less than a tenth early.
    for days in range(7):
        budget.past_call(5, days=days)
    assert raise_burn_alerts() == 0

    budget.past_call(3)
    assert raise_burn_alerts() == 0


@pytest.mark.django_db
def test_a_line_that_recovered_is_told_of_again_after_a_week(budget: Budget) -> None:
    budget.past_call(140)
    assert raise_burn_alerts() == 1
    later = today() + timedelta(days=8)
    assert burn_alerts_raise(now=later) == 0
    assert BudgetAlert.objects.get().rearmed_at is None

    as_owner(lambda: BudgetAlert.objects.update(created_at=BudgetAlert.objects.get().created_at - timedelta(days=8)))
    assert burn_alerts_raise(now=later) == 0
    assert BudgetAlert.objects.get().rearmed_at is not None

    assert raise_burn_alerts() == 1


@pytest.mark.django_db
def test_a_suspended_key_is_told_to_webhooks_whoever_suspended_it(budget: Budget) -> None:
    hook(budget)
    key_suspend(actor=budget.company.ana, key=budget.test, reason="looks odd")
    as_owner(lambda: Quota.objects.filter(key=budget.prod).update(is_open=False))  # as the hook does on overage
    sweep_run(actor=budget.company.system)

    by_person, by_overage = (event["data"] for event in events())
    assert by_person["key"] == {"id": budget.test.pk, "name": "triage-test"}
    assert by_person["reason"] == "looks odd"
    assert by_overage["key"] == {"id": budget.prod.pk, "name": "triage-prod"}
    assert by_overage["reason"].startswith("A call cost more than it could have")
    assert {event["type"] for event in events()} == {"key.suspended"}


@pytest.mark.django_db
def test_the_database_keeps_alerts_and_takes_none_twice(budget: Budget) -> None:
    budget.past_call(150)
    raise_threshold_alerts()
    facts = BudgetAlert.objects.values("quota_id", "kind", "percent", "limit", "spent", "held").get()

    for statement in ("DELETE FROM allocations_budgetalert", "UPDATE allocations_budgetalert SET percent = 80"):
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            connection.cursor().execute(statement)
    with pytest.raises(IntegrityError, match="alert_once_until_rearmed"), transaction.atomic():
        BudgetAlert.objects.create(**facts)
    with pytest.raises(IntegrityError, match="alert_says_what_its_kind_needs"), transaction.atomic():
        BudgetAlert.objects.create(**facts | {"kind": AlertKind.BURN_RATE})


def test_workers_at_once_tell_of_each_threshold_once(fresh_database: FreshDatabase) -> None:
    budget = open_budget(build_company())
    hook(budget)
    budget.past_call(150)
    budget.past_call(10, key=budget.test)

    def look(_: int) -> int:
        try:
            return raise_threshold_alerts() + raise_burn_alerts()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        new = list(pool.map(look, range(8)))

    assert sum(new) == 3
    assert BudgetAlert.objects.count() == 3
    assert Notification.objects.count() == 3
    assert len(events()) == 3
