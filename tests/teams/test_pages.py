"""Pages of people and teams, by role."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from teams import services
from teams.models import Membership, Notification, Role, TeamRole, User
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, error_beside, heading, page_of, rows, typed

pytestmark = pytest.mark.django_db

EVERYBODY = set(PEOPLE)
PAGES = {
    "/inbox/": EVERYBODY,
    "/profile/": EVERYBODY,
    "/teams/": EVERYBODY,
    "/teams/claims/": {"ana", "bo", "hana", "ivo", "jo", "kim"},
    "/teams/fraud/": {"cy", "hana", "ivo", "jo"},
    "/people/": {"ivo", "jo"},
}


@pytest.mark.parametrize(("path", "who"), PAGES.items())
def test_each_page_opens_for_those_who_may_see_it_and_is_not_there_for_others(
    company: Company, path: str, who: set[str]
) -> None:
    answers = {name: company.client(company.person(name)).get(path) for name in PEOPLE}

    assert {name for name, answer in answers.items() if answer.status_code == 200} == who
    assert {name for name, answer in answers.items() if answer.status_code == 404} == EVERYBODY - who
    for answer in answers.values():
        assert_readable(answer)


@pytest.mark.parametrize("path", [*PAGES, "/teams/claims/members/1/", "/inbox/1/open/", "/inbox/read/"])
def test_a_stranger_is_sent_to_the_login_page_and_comes_back(company: Company, path: str) -> None:
    method = Client().post if path.startswith("/inbox/1") or path.endswith("read/") else Client().get

    answer = method(path)

    assert (answer.status_code, answer["Location"]) == (302, f"/account/login/?next={path}")


def test_the_team_page_shows_people_and_lets_a_lead_add_one(company: Company) -> None:
    lead = company.client(company.ana)

    added = lead.post("/teams/claims/", {"email": " CY@acorn.example ", "role": "member"}, follow=True)

    assert added.redirect_chain == [("/teams/claims/", 302)]
    assert [row[:3] for row in rows(added, "People, table")] == [
        ["Ana Example you", "ana@acorn.example", "lead"],
        ["Bo Example", "bo@acorn.example", "member"],
        ["Cy Example", "cy@acorn.example", "member"],
    ]
    assert "Cy Example is in Claims now." in page_of(added).one("div", class_="toasts").text
    assert Notification.objects.get(user=company.cy).title == "You are in Claims now"


@pytest.mark.parametrize(
    ("email", "message"),
    [
        ("", "This field is required."),
        ("not an address", "Enter a valid email address."),
        ("nobody@acorn.example", "Nobody has an account with nobody@acorn.example."),
        ("bo@acorn.example", "Bo Example is in Claims already."),
        ("system@tank.invalid", "Nobody has an account with system@tank.invalid."),
        ('"><script>alert(1)</script>@acorn.example', "Enter a valid email address."),
        (f"{'x' * 250}@acorn.example", "Ensure this value has at most 254 characters (it has 264)."),
    ],
)
def test_what_is_wrong_with_a_new_member_stands_beside_the_field_and_nothing_typed_is_lost(
    company: Company, email: str, message: str
) -> None:
    answer = company.client(company.ana).post("/teams/claims/", {"email": email, "role": "lead"})

    assert answer.status_code == 422
    assert error_beside(answer, "email").startswith(message)
    assert typed(answer, "email") == email
    assert page_of(answer).one("option", value="lead").attrs["selected"] == ""
    assert_readable(answer)


@pytest.mark.parametrize("name", ["bo", "hana", "jo", "kim"])
def test_who_sees_the_team_without_leading_it_cannot_change_it(company: Company, name: str) -> None:
    client = company.client(company.person(name))

    page = client.get("/teams/claims/")
    refused = client.post("/teams/claims/", {"email": "cy@acorn.example", "role": "member"})

    assert page_of(page).all("input", name="email") == []
    assert refused.status_code == 422
    assert client.get(f"/teams/claims/members/{company.ana.pk}/").status_code == 404
    assert Membership.objects.filter(team=company.claims).count() == 2


def test_a_lead_changes_what_somebody_is_and_takes_them_out(company: Company) -> None:
    lead, page = company.client(company.ana), f"/teams/claims/members/{company.bo.pk}/"

    assert_readable(lead.get(page))
    lead.post(page, {"role": "lead"})
    assert Membership.objects.get(user=company.bo).role == TeamRole.LEAD
    gone = lead.post(page, {"reason": "moved to Fraud"}, follow=True)

    assert not Membership.objects.filter(user=company.bo).exists()
    assert "Bo Example is no longer in Claims." in page_of(gone).one("div", class_="toasts").text


def test_the_last_lead_stays_and_the_page_says_why(company: Company) -> None:
    lead, page = company.client(company.ana), f"/teams/claims/members/{company.ana.pk}/"

    demoted = lead.post(page, {"role": "member"})
    removed = lead.post(page, {"reason": "I am tired"})

    assert error_beside(demoted, "role") == "A team needs a lead: make somebody else lead first."
    assert page_of(removed).one("div", class_="form-errors").text.startswith("A team needs a lead")
    assert typed(removed, "reason") == "I am tired"


def test_hostile_names_are_shown_as_they_were_written(company: Company) -> None:
    hostile = '<script>alert(1)</script> & "Co" \'; DROP TABLE users;--'
    User.objects.filter(pk=company.bo.pk).update(name=hostile)

    page = company.client(company.ana).get("/teams/claims/")

    assert rows(page, "People, table")[1][0] == hostile
    assert b"<script>alert" not in page.content


def test_the_inbox_shows_the_newest_first_and_opening_a_line_marks_it_as_read(company: Company) -> None:
    old = services.notification_send(user=company.bo, title="Old", url="/teams/claims/")
    services.notification_send(user=company.bo, title="New", body="Two\nlines")
    client = company.client(company.bo)

    page = client.get("/inbox/")
    opened = client.post(f"/inbox/{old.pk}/open/")

    assert [row[0] for row in rows(page)] == ["New new Two lines", "Old new"]
    assert (opened.status_code, opened["Location"]) == (302, "/teams/claims/")
    assert [row[0] for row in rows(client.get("/inbox/"))] == ["New new Two lines", "Old"]
    assert_readable(page)


@pytest.mark.parametrize("url", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_a_notification_never_leads_away_from_tank(company: Company, url: str) -> None:
    line = services.notification_send(user=company.bo, title="Look", url=url)

    opened = company.client(company.bo).post(f"/inbox/{line.pk}/open/")

    assert opened["Location"] == "/inbox/"


def test_somebody_elses_notification_does_not_exist(company: Company) -> None:
    line = services.notification_send(user=company.bo, title="For Bo alone")

    assert company.client(company.ana).post(f"/inbox/{line.pk}/open/").status_code == 404
    assert company.client(company.bo).get(f"/inbox/{line.pk}/open/").status_code == 405


def test_everything_is_marked_as_read_at_once(company: Company) -> None:
    for title in ("One", "Two"):
        services.notification_send(user=company.bo, title=title)

    done = company.client(company.bo).post("/inbox/read/", follow=True)

    assert "Marked 2 as read." in page_of(done).one("div", class_="toasts").text
    assert not Notification.objects.filter(user=company.bo, read_at=None).exists()


def test_older_notifications_are_a_page_away(company: Company) -> None:
    Notification.objects.bulk_create(Notification(user=company.bo, title=f"Line {n}") for n in range(60))
    client = company.client(company.bo)

    first = client.get("/inbox/")
    older = client.get("/inbox/" + page_of(first).one("nav", aria_label="Pages").one("a").attrs["href"])

    assert [row[0] for row in rows(first)] == [f"Line {n} new" for n in range(59, 9, -1)]
    assert [row[0] for row in rows(older)] == [f"Line {n} new" for n in range(9, -1, -1)]
    assert client.get("/inbox/?before=nonsense").status_code == 200


def test_an_empty_inbox_says_what_will_stand_there(company: Company) -> None:
    page = company.client(company.cy).get("/inbox/")

    assert page_of(page).one("div", class_="empty").one("b").text == "Nothing yet"


def test_one_changes_ones_own_name(company: Company) -> None:
    client = company.client(company.bo)

    client.post("/profile/", {"name": "  Bo Newname "})

    assert User.objects.get(pk=company.bo.pk).name == "Bo Newname"
    for name, message in (("", "This field is required."), ("x" * 121, "Ensure this value has at most 120")):
        refused = client.post("/profile/", {"name": name})
        assert error_beside(refused, "name").startswith(message)


def test_a_form_without_the_token_is_refused_and_says_how_to_go_on(company: Company) -> None:
    browser = company.client(company.bo, csrf=True)

    refused = browser.post("/profile/", {"name": "Mallory"})

    assert refused.status_code == 403
    assert heading(refused) == "Please send that again"
    assert User.objects.get(pk=company.bo.pk).name == "Bo Example"
    assert_readable(refused)


def queries_of(client: Client, path: str) -> int:
    """Return how many queries a page asks, once what a process reads once is read."""
    client.get(path)
    with CaptureQueriesContext(connection) as asked:
        assert client.get(path).status_code == 200
    return len(asked)


@pytest.mark.parametrize("path", ["/teams/", "/people/", "/inbox/", "/teams/claims/", "/"])
def test_a_list_asks_as_often_for_three_more_rows(company: Company, path: str) -> None:
    client = company.client(company.ivo)
    services.notification_send(user=company.ivo, title="One")
    before = queries_of(client, path)

    for n in range(3):
        services.notification_send(user=company.ivo, title=f"More {n}")
        team = services.team_create(actor=company.ivo, name=f"Team {n}", cost_centre="CC-3")
        person = services.user_create(actor=company.ivo, email=f"new{n}@acorn.example", name=f"New {n}")
        services.role_grant(actor=company.ivo, user=person, role=Role.AUDITOR)
        for place in (team, company.claims):
            services.membership_set(actor=company.ivo, user=person, team=place, role=TeamRole.MEMBER)

    assert queries_of(client, path) == before
