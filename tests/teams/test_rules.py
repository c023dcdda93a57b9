"""Who may do what with people and teams: one table, every role."""

import pytest
from django.contrib.auth.models import AnonymousUser
from django.http import Http404

from teams.access import find_or_404, visible_or_404
from teams.models import Team
from tests.cast import PEOPLE, Company

pytestmark = pytest.mark.django_db

MAY = {
    "teams.view_team": {"ana", "bo", "hana", "ivo", "jo", "kim"},
    "teams.change_team": {"ana", "ivo"},
    "teams.add_team": {"ivo"},
    "teams.view_user": {"ivo", "jo"},
    "teams.change_user": {"ivo"},
    "teams.add_rolegrant": {"ivo"},
    "teams.view_auditevent": {"ivo", "jo"},
    "teams.delete_team": set(),
    "teams.change_auditevent": set(),
    "teams.delete_user": set(),
}


@pytest.mark.parametrize(("permission", "who"), MAY.items())
def test_on_the_claims_team(company: Company, permission: str, who: set[str]) -> None:
    assert {name for name in PEOPLE if company.person(name).has_perm(permission, company.claims)} == who
    assert not AnonymousUser().has_perm(permission, company.claims)


def test_without_an_object_only_the_roles_count(company: Company) -> None:
    assert {name for name in PEOPLE if company.person(name).has_perm("teams.view_team")} == {"hana", "ivo", "jo"}


def test_somebody_elses_team_is_not_found(company: Company) -> None:
    assert visible_or_404(company.bo, "teams.view_team", company.claims) == company.claims
    with pytest.raises(Http404):
        visible_or_404(company.cy, "teams.view_team", company.claims)
    with pytest.raises(Http404):
        find_or_404(Team.objects.all(), company.cy, "teams.view_team", slug="claims")
    with pytest.raises(Http404):
        find_or_404(Team.objects.all(), company.ivo, "teams.view_team", slug="no-such-team")
