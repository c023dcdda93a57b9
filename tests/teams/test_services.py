"""People, teams, roles and the inbox: what is written, what is refused, and what history is left."""

import pytest
from django.db import IntegrityError, transaction

from teams import selectors, services
from teams.errors import NotAllowed, Refused
from teams.models import AuditEvent, Membership, Notification, Role, RoleGrant, Team, TeamRole, User
from tests.cast import Company

pytestmark = pytest.mark.django_db


def last_event() -> tuple[str, str, str, dict[str, object]]:
    event = AuditEvent.objects.latest("pk")
    return event.actor.email, event.verb, event.object_type, event.details


def test_the_system_user_exists_after_migration_and_nobody_can_log_in_with_it() -> None:
    system = selectors.system_user()

    assert (system.email, system.name, system.is_active) == ("system@tank.invalid", "Tank", False)
    assert not system.has_usable_password()


def test_a_lead_adds_a_member_and_the_change_is_written_down(company: Company) -> None:
    services.membership_set(actor=company.ana, user=company.cy, team=company.claims, role=TeamRole.MEMBER)

    assert selectors.is_member(company.cy, company.claims)
    assert not selectors.is_lead(company.cy, company.claims)
    assert last_event() == (
        "ana@acorn.example",
        "team.membership_set",
        "teams.team",
        {"user": "cy@acorn.example", "role": "member"},
    )


def test_setting_the_same_membership_again_changes_nothing(company: Company) -> None:
    events = AuditEvent.objects.count()

    services.membership_set(actor=company.ana, user=company.bo, team=company.claims, role=TeamRole.MEMBER)

    assert AuditEvent.objects.count() == events
    assert Membership.objects.filter(user=company.bo).count() == 1


@pytest.mark.parametrize("name", ["bo", "cy", "dee", "gil", "hana", "jo", "kim"])
def test_only_a_lead_of_the_team_or_a_platform_admin_changes_its_members(company: Company, name: str) -> None:
    with pytest.raises(NotAllowed):
        services.membership_set(actor=company.person(name), user=company.cy, team=company.claims, role=TeamRole.MEMBER)

    assert not selectors.is_member(company.cy, company.claims)


def test_a_team_keeps_a_lead(company: Company) -> None:
    with pytest.raises(Refused, match="A team needs a lead"):
        services.membership_remove(actor=company.ana, user=company.ana, team=company.claims)
    with pytest.raises(Refused, match="A team needs a lead"):
        services.membership_set(actor=company.ivo, user=company.ana, team=company.claims, role=TeamRole.MEMBER)

    services.membership_set(actor=company.ana, user=company.bo, team=company.claims, role=TeamRole.LEAD)
    services.membership_remove(actor=company.bo, user=company.ana, team=company.claims, reason="moved on")

    assert list(selectors.leads_of(company.claims)) == [company.bo]
    assert AuditEvent.objects.latest("pk").reason == "moved on"


def test_membership_refuses_unknown_roles_inactive_people_and_non_members(company: Company) -> None:
    with pytest.raises(Refused, match="“boss” is not a role"):
        services.membership_set(actor=company.ana, user=company.cy, team=company.claims, role="boss")
    services.user_active_set(actor=company.ivo, user=company.cy, active=False, reason="left the company")
    with pytest.raises(Refused, match="is not active"):
        services.membership_set(actor=company.ana, user=company.cy, team=company.claims, role=TeamRole.MEMBER)
    with pytest.raises(Refused, match="Dee Example is not in Claims"):
        services.membership_remove(actor=company.ana, user=company.dee, team=company.claims)


def test_a_role_is_granted_once_and_withdrawn(company: Company) -> None:
    services.role_grant(actor=company.ivo, user=company.bo, role=Role.COMMITTEE, reason="joins in May")
    services.role_grant(actor=company.ivo, user=company.bo, role=Role.COMMITTEE)

    assert RoleGrant.objects.filter(user=company.bo).count() == 1
    assert selectors.has_role(company.bo, Role.COMMITTEE)
    assert User.objects.get(pk=company.bo.pk).is_staff

    services.role_withdraw(actor=company.ivo, user=company.bo, role=Role.COMMITTEE)

    assert not selectors.has_role(company.bo, Role.COMMITTEE)
    assert not User.objects.get(pk=company.bo.pk).is_staff
    assert last_event() == ("ivo@acorn.example", "role.withdraw", "teams.user", {"role": "committee"})


def test_roles_are_given_by_platform_admins_alone(company: Company) -> None:
    with pytest.raises(NotAllowed):
        services.role_grant(actor=company.hana, user=company.hana, role=Role.CHAIR)
    with pytest.raises(Refused, match="“king” is not a role"):
        services.role_grant(actor=company.ivo, user=company.bo, role="king")
    with pytest.raises(Refused, match="Tank needs a platform admin"):
        services.role_withdraw(actor=company.ivo, user=company.ivo, role=Role.PLATFORM_ADMIN)


def test_an_inactive_person_is_nobody(company: Company) -> None:
    services.user_active_set(actor=company.ivo, user=company.hana, active=False, reason="left the company")

    assert not selectors.has_role(company.hana, Role.FINANCE)
    with pytest.raises(Refused, match="Not your own account"):
        services.user_active_set(actor=company.ivo, user=company.ivo, active=False, reason="oops")
    with pytest.raises(Refused, match="not the system's"):
        services.user_active_set(actor=company.ivo, user=company.system, active=True, reason="oops")


def test_a_team_without_a_unit_joins_the_unassigned_one(company: Company) -> None:
    team = services.team_create(actor=company.system, name="Été & Fils", cost_centre="CC-9")
    other = services.team_create(actor=company.ivo, name="Ete fils", cost_centre="CC-9")

    assert (team.slug, team.business_unit.name) == ("ete-fils", "Unassigned")
    assert other.slug == "ete-fils-2"


@pytest.mark.parametrize(
    ("name", "cost_centre", "message"),
    [
        ("  ", "CC-1", "A name is needed"),
        ("x" * 121, "CC-1", "at most 120"),
        ("claims", "CC-1", "“claims” exists already"),
        ("New", " ", "by its cost centre"),
    ],
)
def test_a_team_needs_a_free_name_and_a_cost_centre(
    company: Company, name: str, cost_centre: str, message: str
) -> None:
    with pytest.raises(Refused, match=message):
        services.team_create(actor=company.ivo, name=name, cost_centre=cost_centre)

    assert Team.objects.count() == 2


def test_accounts_are_unique_whatever_the_case_of_their_address(company: Company) -> None:
    with pytest.raises(Refused, match=r"There is an account for ana@acorn\.example already"):
        services.user_create(actor=company.ivo, email=" ANA@Acorn.example ", name="Another Ana")
    with pytest.raises(Refused, match="is not an e-mail address"):
        services.user_create(actor=company.ivo, email="not an address", name="Nobody")
    with pytest.raises(NotAllowed):
        services.user_create(actor=company.ana, email="new@acorn.example", name="New")
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create(email="ANA@ACORN.EXAMPLE", name="Another Ana")


def test_the_inbox_is_ones_own(company: Company) -> None:
    first = services.notification_send(user=company.bo, title="First", url="/allocations/1/")
    services.notification_send(user=company.bo, title="Second" * 60)

    with pytest.raises(NotAllowed):
        services.notification_read(actor=company.ana, notification=first)
    services.notification_read(actor=company.bo, notification=first)

    assert selectors.unread_count(company.bo) == 1
    assert [row.title[:6] for row in selectors.inbox(company.bo)] == ["Second", "First"]
    assert [row.title for row in selectors.inbox(company.bo, before=selectors.inbox(company.bo)[0].pk)] == ["First"]
    assert max(len(title) for title in Notification.objects.values_list("title", flat=True)) == 200
    assert services.inbox_read(actor=company.bo) == 1
    assert services.inbox_read(actor=company.bo) == 0


def test_a_refused_change_leaves_no_history(company: Company) -> None:
    events = AuditEvent.objects.count()

    with pytest.raises(Refused):
        services.membership_remove(actor=company.ana, user=company.ana, team=company.claims)

    assert AuditEvent.objects.count() == events
