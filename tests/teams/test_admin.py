"""The admin of people and teams: every change is a service call, and the history can only be read."""

import pytest

from teams.models import AuditEvent, BusinessUnit, Role, Team, User
from teams.selectors import has_role
from tests.cast import PEOPLE, Company

pytestmark = pytest.mark.django_db

PAGES = {
    "/admin/": {"dee", "eli", "fay", "gil", "ivo", "jo"},
    "/admin/teams/user/": {"ivo", "jo"},
    "/admin/teams/user/add/": {"ivo"},
    "/admin/teams/businessunit/": {"ivo", "jo"},
    "/admin/teams/team/": {"ivo", "jo"},
    "/admin/teams/auditevent/": {"ivo", "jo"},
    "/admin/teams/auditevent/add/": set(),
}


@pytest.mark.parametrize(("path", "who"), PAGES.items())
def test_each_page_opens_for_its_roles(company: Company, path: str, who: set[str]) -> None:
    opened = {name for name in PEOPLE if company.client(company.person(name)).get(path).status_code == 200}

    assert opened == who


def test_a_platform_admin_makes_an_account_with_a_role(company: Company) -> None:
    added = company.client(company.ivo).post(
        "/admin/teams/user/add/",
        {
            "email": "New@Acorn.example",
            "name": "New Person",
            "is_active": "on",
            "roles": ["finance"],
            "reason": "joins",
        },
    )

    person = User.objects.get(email="new@acorn.example")
    assert added.status_code == 302
    assert has_role(person, Role.FINANCE)
    assert not person.has_usable_password()
    assert [event.verb for event in AuditEvent.objects.order_by("-pk")[:2]] == ["role.grant", "user.create"]


def test_what_a_service_refuses_stands_beside_the_field_and_nothing_is_half_done(company: Company) -> None:
    refused = company.client(company.ivo).post(
        "/admin/teams/user/add/",
        {"email": "ana@ACORN.example", "name": "Second Ana", "is_active": "on", "roles": ["finance"], "reason": ""},
    )
    last = company.client(company.ivo).post(
        f"/admin/teams/user/{company.ivo.pk}/change/",
        {"name": "Ivo Renamed", "is_active": "on", "roles": ["finance"], "reason": ""},
    )

    assert refused.status_code == 200
    assert b"There is an account for ana@acorn.example already." in refused.content
    assert b'value="Second Ana"' in refused.content
    assert b"Tank needs a platform admin: give somebody else the role first." in last.content
    ivo = User.objects.get(pk=company.ivo.pk)
    assert (ivo.name, has_role(ivo, Role.FINANCE)) == ("Ivo Example", False)


def test_roles_are_taken_and_given_by_ticking(company: Company) -> None:
    company.client(company.ivo).post(
        f"/admin/teams/user/{company.dee.pk}/change/",
        {"name": "Dee Example", "is_active": "on", "roles": ["chair", "auditor"], "reason": "new year"},
    )

    dee = User.objects.get(pk=company.dee.pk)
    assert sorted(dee.role_grants.values_list("role", flat=True)) == ["auditor", "chair"]
    assert AuditEvent.objects.latest("pk").reason == "new year"


def test_accounts_are_stopped_together_but_not_ones_own(company: Company) -> None:
    client = company.client(company.ivo)

    done = client.post(
        "/admin/teams/user/",
        {"action": "deactivate", "_selected_action": [company.cy.pk, company.ivo.pk]},
        follow=True,
    )

    assert not User.objects.get(pk=company.cy.pk).is_active
    assert User.objects.get(pk=company.ivo.pk).is_active
    assert b"Not your own account, and not the system&#x27;s." in done.content
    assert client.post(
        "/admin/teams/user/", {"action": "delete_selected", "_selected_action": [company.cy.pk]}
    ).status_code in {200, 302}
    assert User.objects.filter(pk=company.cy.pk).exists()


def test_the_system_user_is_not_to_be_found(company: Company) -> None:
    client = company.client(company.ivo)

    assert b"system@tank.invalid" not in client.get("/admin/teams/user/").content
    assert client.get(f"/admin/teams/user/{company.system.pk}/change/").status_code == 302


def test_units_and_teams_are_made_and_changed(company: Company) -> None:
    client = company.client(company.ivo)

    client.post("/admin/teams/businessunit/add/", {"name": "Legal", "head": company.cy.pk})
    legal = BusinessUnit.objects.get(slug="legal")
    client.post("/admin/teams/team/add/", {"name": "Contracts", "business_unit": legal.pk, "cost_centre": "CC-7"})
    team = Team.objects.get(slug="contracts")
    client.post(
        f"/admin/teams/team/{team.pk}/change/",
        {"name": "Contract review", "business_unit": legal.pk, "cost_centre": "CC-8"},
    )
    client.post(f"/admin/teams/businessunit/{legal.pk}/change/", {"head": company.kim.pk})

    team.refresh_from_db()
    legal.refresh_from_db()
    assert (team.name, team.slug, team.cost_centre, legal.head) == ("Contract review", "contracts", "CC-8", company.kim)
    assert [event.verb for event in AuditEvent.objects.order_by("-pk")[:4]] == [
        "unit.head_set",
        "team.update",
        "team.create",
        "unit.create",
    ]


@pytest.mark.parametrize("name", ["ivo", "jo"])
def test_the_history_can_only_be_read(company: Company, name: str) -> None:
    client, event = company.client(company.person(name)), AuditEvent.objects.latest("pk")
    page = f"/admin/teams/auditevent/{event.pk}/"

    assert client.get(page + "change/").status_code == 200
    for path in (page + "change/", page + "delete/", "/admin/teams/auditevent/add/"):
        assert client.post(path, {"reason": "nothing happened"}).status_code == 403
    assert AuditEvent.objects.get(pk=event.pk).reason == event.reason


def test_an_auditor_changes_nothing_in_the_admin(company: Company) -> None:
    client = company.client(company.jo)

    assert (
        client.post(f"/admin/teams/user/{company.jo.pk}/change/", {"name": "X", "roles": ["finance"]}).status_code
        == 403
    )
    assert client.post("/admin/teams/team/add/", {"name": "X", "cost_centre": "X"}).status_code == 403
