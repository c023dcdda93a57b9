"""The cast of every story: an invented insurer with two business units, two teams and one person per role.

Ana leads the team "Claims" and Bo is in it. Cy leads "Fraud", in another unit: to Claims a stranger. Dee, Eli and Fay
are the committee under Gil, the chair. Hana and Lou are finance, Ivo runs the platform, Jo audits, Kim heads the unit
that Claims belongs to. Mia is compliance. Nobody has a password: `company.client(person)` is a browser that is logged
in.
"""

from dataclasses import dataclass

import pytest
from django.test import Client

from teams import selectors, services
from teams.models import BusinessUnit, Role, Team, TeamRole, User

PEOPLE = ("ana", "bo", "cy", "dee", "eli", "fay", "gil", "hana", "ivo", "jo", "kim")
# The other half of two pairs of eyes; what is asked about every person is asked about one of each role.
SECOND_FINANCE = "lou"
COMPLIANCE = "mia"
ROLES = {
    "dee": Role.COMMITTEE,
    "eli": Role.COMMITTEE,
    "fay": Role.COMMITTEE,
    "gil": Role.CHAIR,
    "hana": Role.FINANCE,
    "lou": Role.FINANCE,
    "ivo": Role.PLATFORM_ADMIN,
    "jo": Role.AUDITOR,
    "mia": Role.COMPLIANCE,
}


@dataclass(frozen=True)
class Company:
    """People by first name, the two teams and their units."""

    system: User
    ana: User
    bo: User
    cy: User
    dee: User
    eli: User
    fay: User
    gil: User
    hana: User
    ivo: User
    jo: User
    kim: User
    lou: User
    mia: User
    insurance: BusinessUnit
    security: BusinessUnit
    claims: Team
    fraud: Team

    def person(self, name: str) -> User:
        """Return somebody by first name."""
        found = getattr(self, name)
        assert isinstance(found, User)
        return found

    def client(self, person: User | None = None, *, csrf: bool = False) -> Client:
        """Return a browser, logged in as somebody; with `csrf` it must send the token as a real one must."""
        client = Client(enforce_csrf_checks=csrf)
        if person is not None:
            client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
        return client


def build_company() -> Company:
    """Make the cast through the services, as the system."""
    system = selectors.system_user()
    people = {
        name: services.user_create(actor=system, email=f"{name}@acorn.example", name=f"{name.title()} Example")
        for name in (*PEOPLE, SECOND_FINANCE, COMPLIANCE)
    }
    for name, role in ROLES.items():
        services.role_grant(actor=system, user=people[name], role=role)
    insurance = services.business_unit_create(actor=system, name="Insurance", head=people["kim"])
    security = services.business_unit_create(actor=system, name="Security")
    claims = services.team_create(actor=system, name="Claims", cost_centre="CC-100", business_unit=insurance)
    fraud = services.team_create(actor=system, name="Fraud", cost_centre="CC-200", business_unit=security)
    services.membership_set(actor=system, user=people["ana"], team=claims, role=TeamRole.LEAD)
    services.membership_set(actor=system, user=people["bo"], team=claims, role=TeamRole.MEMBER)
    services.membership_set(actor=system, user=people["cy"], team=fraud, role=TeamRole.LEAD)
    return Company(system=system, **people, insurance=insurance, security=security, claims=claims, fraud=fraud)


@pytest.fixture
def company(db: None) -> Company:
    """Give a story its cast."""
    return build_company()
