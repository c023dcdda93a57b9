"""Who works at Otterbridge Mutual."""

import secrets
from dataclasses import dataclass

from django.contrib.auth.hashers import make_password

from teams.models import BusinessUnit, Role, Team, TeamRole, User
from teams.services import business_unit_create, membership_set, role_grant, team_create, user_create

DOMAIN = "otterbridge.example"

HEADS = {
    "Insurance": "Victor Lindqvist",
    "Lending": "Sofia Marin",
    "Corporate services": "Daniel Abebe",
}
TEAMS = {
    "Claims": ("Insurance", "CC-1100", "Amara Nwosu", ["Ben Carter", "Wanda Lis"]),
    "Underwriting": ("Insurance", "CC-1200", "Carla Rossi", []),
    "Fraud desk": ("Insurance", "CC-1300", "Diego Santos", ["Lena Fischer"]),
    "Mortgages": ("Lending", "CC-2100", "Elif Kaya", []),
    "Customer service": ("Lending", "CC-2200", "Farid Haddad", ["Greta Olsen"]),
    "Collections": ("Lending", "CC-2300", "Hugo Martin", []),
    "Legal": ("Corporate services", "CC-3100", "Irina Petrova", []),
    "IT platforms": ("Corporate services", "CC-3200", "Jack Murphy", ["Kate Doyle"]),
}
ROLES = {
    "Ines Okafor": Role.CHAIR,
    "Tomas Brandt": Role.COMMITTEE,
    "Priya Raman": Role.COMMITTEE,
    "Lena Fischer": Role.COMMITTEE,
    "Jonas Weber": Role.COMMITTEE,
    "Helen Marsh": Role.FINANCE,
    "Omar Said": Role.FINANCE,
    "Noor de Vries": Role.PLATFORM_ADMIN,
    "Judit Kovacs": Role.AUDITOR,
    "Mila Novak": Role.COMPLIANCE,
}
CHAIR, FINANCE = "Ines Okafor", "Helen Marsh"
MEMBERS = ("Tomas Brandt", "Priya Raman", "Lena Fischer", "Jonas Weber")

LOGINS = {
    "Amara Nwosu": "leads Claims: pitches, accepts offers, issues keys",
    "Ben Carter": "is in Claims: drafts pitches",
    "Ines Okafor": "chairs the committee",
    "Priya Raman": "sits in the committee",
    "Lena Fischer": "sits in the committee, recused from a pitch of her own team",
    "Victor Lindqvist": "heads the unit Insurance",
    "Helen Marsh": "finance",
    "Noor de Vries": "platform admin",
    "Judit Kovacs": "auditor, reads everything",
    "Mila Novak": "compliance: screens pitches",
}
"""Whom a newcomer can be, and what for."""


@dataclass(frozen=True)
class Company:
    """Everybody by name, teams by name, and the password that they share."""

    people: dict[str, User]
    teams: dict[str, Team]
    units: dict[str, BusinessUnit]
    password: str

    @property
    def chair(self) -> User:
        """Return who chairs every round."""
        return self.people[CHAIR]

    @property
    def finance(self) -> User:
        """Return who funds the year."""
        return self.people[FINANCE]

    @property
    def members(self) -> list[User]:
        """Return the committee without its chair."""
        return [self.people[name] for name in MEMBERS]

    def lead(self, team: str) -> User:
        """Return who leads a team."""
        return self.people[TEAMS[team][2]]

    def head(self, team: str) -> User:
        """Return who heads a team's business unit."""
        return self.people[HEADS[TEAMS[team][0]]]

    def logins(self) -> list[dict[str, str]]:
        """Return whom a newcomer can be."""
        return [{"email": self.people[name].email, "name": name, "role": role} for name, role in LOGINS.items()]


def company_make(system: User) -> Company:
    """Make units, teams, people and their roles."""
    names = [*HEADS.values(), *ROLES, *(name for team in TEAMS.values() for name in (team[2], *team[3]))]
    people = {name: user_create(actor=system, email=_address(name), name=name) for name in dict.fromkeys(names)}
    units = {name: business_unit_create(actor=system, name=name, head=people[head]) for name, head in HEADS.items()}
    teams = {}
    for name, (unit, cost_centre, lead, members) in TEAMS.items():
        teams[name] = team_create(actor=system, name=name, cost_centre=cost_centre, business_unit=units[unit])
        membership_set(actor=system, user=people[lead], team=teams[name], role=TeamRole.LEAD)
        for member in members:
            membership_set(actor=system, user=people[member], team=teams[name], role=TeamRole.MEMBER)
    for name, role in ROLES.items():
        role_grant(actor=system, user=people[name], role=role, reason="Demo data")
    return Company(people, teams, units, _password(people))


def _address(name: str) -> str:
    return f"{name.lower().replace(' ', '.')}@{DOMAIN}"


def _password(people: dict[str, User]) -> str:
    password = f"otter-{secrets.token_hex(3)}-{secrets.token_hex(3)}"
    # Hashed once: hashing is slow on purpose, and they all have the same one.
    User.objects.filter(pk__in=[user.pk for user in people.values()]).update(password=make_password(password))
    return password
