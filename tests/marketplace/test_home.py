"""The home page and the shell: what waits for somebody, how their money stands, where they can go."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.views.defaults import bad_request, server_error

from ledger.models import RateSource
from ledger.services import rate_propose, usage_post
from teams import services
from tests.budget import Budget
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, heading, page_of, rows

pytestmark = pytest.mark.django_db


def links(client: Client) -> list[str]:
    nav = page_of(client.get("/")).one("nav", aria_label="Main")
    return [link.text for link in nav.all("a") if link.attrs["class"] == "to"]


@pytest.mark.parametrize("name", PEOPLE)
def test_everybody_has_a_home(budget: Budget, name: str) -> None:
    page = budget.company.client(budget.company.person(name)).get("/")

    assert page.status_code == 200
    assert heading(page) == "What waits for you"
    assert_readable(page)


def test_a_stranger_logs_in_first(company: Company) -> None:
    assert Client().get("/")["Location"] == "/account/login/?next=/"


def test_a_member_sees_what_was_said_and_the_money_of_the_team(budget: Budget) -> None:
    budget.call()
    services.notification_send(
        user=budget.company.bo, title="Key first of A-0001 is suspended", body="It cost too much."
    )

    page = budget.company.client(budget.company.bo).get("/")

    todo = page_of(page).one("ul", class_="todo")
    assert [line.text for line in todo.children] == ["Key first of A-0001 is suspended It cost too much. 0 s ago"]
    assert [row[0] for row in rows(page)] == [f"Claims triage {budget.claims.number}"]
    assert "The year" not in page_of(page).one("main").text


def test_a_unit_head_sees_the_money_of_the_whole_unit(budget: Budget) -> None:
    assert [row[1] for row in rows(budget.company.client(budget.company.kim).get("/"))] == ["Claims Insurance"]


def test_finance_sees_the_year_and_what_waits_for_approval(budget: Budget) -> None:
    budget.call()
    usage_post(actor=budget.company.system)
    rate_propose(
        actor=budget.company.ivo,
        model=budget.model,
        source=RateSource.PUBLISHED,
        input_price=Decimal(2),
        output_price=Decimal(2),
        valid_from=datetime.now(UTC) + timedelta(days=1),
    )

    page = page_of(budget.company.client(budget.company.hana).get("/"))

    assert page.one("ul", class_="todo").all("li")[0].text == "1 proposed price to approve Rate card"
    assert page.one("div", class_="big").text == "$400.00 of $1,000.00"


def test_the_nav_offers_what_a_role_may_open(company: Company) -> None:
    everybody = ["Home", "Inbox", "Pitches", "Rounds", "Allocations", "Teams", "Rate card"]
    finance = [
        "Overview",
        "Trial balance",
        "Journal",
        "Budget",
        "Periods",
        "Corrections",
        "Reconciliation",
        "Invoices",
        "Reports",
        "Unsettled holds",
        "Resolved claims",
    ]

    assert links(company.client(company.ana)) == [*everybody, "Webhooks", "Ana Example"]
    assert links(company.client(company.hana)) == [*everybody, "Webhooks", *finance, "Hana Example"]
    assert links(company.client(company.dee)) == [*everybody, "Desk", "Dee Example"]
    assert links(company.client(company.jo)) == [
        *everybody,
        "Webhooks",
        "Desk",
        *finance,
        "People",
        "E-mail",
        "Admin",
        "Jo Example",
    ]
    assert links(company.client(company.ivo)) == [
        *everybody,
        "Webhooks",
        "Desk",
        "Screening",
        "People",
        "Feeds",
        "Keys past Tank",
        "E-mail",
        "Admin",
        "Ivo Example",
    ]


def test_the_page_one_is_on_is_marked(company: Company) -> None:
    nav = page_of(company.client(company.ana).get("/teams/claims/")).one("nav", aria_label="Main")

    assert [link.text for link in nav.all("a", aria_current="page")] == ["Teams"]


def test_keyboards_can_skip_the_nav(company: Company) -> None:
    page = page_of(company.client(company.ana).get("/"))

    first = page.one("body").all("a")[0]
    assert (first.text, first.attrs["href"]) == ("Skip to the page", "#main")
    assert page.one("main").attrs["tabindex"] == "-1"


@pytest.mark.parametrize(("cookie", "theme"), [("dark", "dark"), ("light", "light"), ('"><script>', None), ("", None)])
def test_the_chosen_theme_is_there_from_the_first_paint(company: Company, cookie: str, theme: str | None) -> None:
    client = company.client(company.ana)
    client.cookies["tank_theme"] = cookie

    assert page_of(client.get("/")).one("html").attrs.get("data-theme") == theme


@pytest.mark.parametrize("path", ["/account/login/", "/account/password/reset/", "/account/signup/"])
def test_the_doors_are_in_our_look(company: Company, path: str) -> None:
    page = Client().get(path)

    assert page.status_code == 200
    assert_readable(page)


@pytest.mark.parametrize("path", ["/account/logout/", "/account/password/change/"])
def test_so_are_the_pages_of_ones_account(company: Company, path: str) -> None:
    page = company.client(company.ana).get(path)

    assert page.status_code in {200, 302}
    if page.status_code == 200:
        assert_readable(page)


def test_one_logs_in_with_address_and_password_and_a_wrong_one_is_said_so(company: Company) -> None:
    company.bo.set_password("correct horse battery")
    company.bo.save()
    client = Client()

    wrong = client.post("/account/login/", {"login": "bo@acorn.example", "password": "guess"})
    right = client.post("/account/login/", {"login": "BO@acorn.example", "password": "correct horse battery"})

    assert page_of(wrong).one("div", role="alert").text.startswith("The email address and/or password")
    assert_readable(wrong)
    assert (right.status_code, right["Location"]) == (302, "/")


def test_an_inactive_account_cannot_come_in(company: Company) -> None:
    company.bo.set_password("correct horse battery")
    company.bo.save()
    services.user_active_set(actor=company.ivo, user=company.bo, active=False, reason="left the company")
    client = company.client(company.bo)

    assert client.get("/")["Location"] == "/account/login/?next=/"


def test_what_does_not_exist_is_said_in_our_look(company: Company) -> None:
    for client in (company.client(company.ana), Client()):
        page = client.get("/no/such/page/")
        assert (page.status_code, heading(page)) == (404, "Nothing is here for you")
        assert_readable(page)


def test_an_error_of_ours_says_that_nothing_is_half_done(company: Company) -> None:
    request = company.client(company.ana).get("/").wsgi_request

    for answer, status, words in (
        (server_error(request), 500, "Something in Tank broke"),
        (bad_request(request, Exception()), 400, "Tank does not understand this request"),
    ):
        assert (answer.status_code, heading(answer)) == (status, words)
        assert_readable(answer)


def test_pages_may_load_only_what_is_ours(company: Company) -> None:
    policy = company.client(company.ana).get("/")["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
