"""A round with one pitch that is closed to many: what it says in planted words, and who is who to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from django.test import Client

from ledger.models import Tier
from ledger.money import plain
from pitches import services
from pitches.models import Expertise, Outcome, Pitch, Round
from pitches.selectors.board import board_of
from pitches.services import Mark
from teams.models import Role, User
from teams.services import role_grant, user_create
from tests.pitches.stage import ITEM, Stage, content

WORDS = {
    "title": ("Nightjar",),
    "text": ("ptarmigan",),
    "file": ("avocet",),
    "thread": ("curlew",),
    "opinion": ("sandpiper", "whimbrel", "godwit"),
    "decision": ("dotterel", "2,345.67", "2345.67"),
    # What the others can still be awarded says what this one was.
    "rest": ("6,654.33", "6654.33"),
}

INSIDE = {"lead", "team", "head"}
KEPT_OUT = {"declared", "rule", "chair", "finance_member"}
JUDGES = {"member", "waived"}
OUTSIDE = {"stranger", "admin", "superuser", "compliance"}
READERS = {"finance", "auditor"}
ROLES = INSIDE | KEPT_OUT | JUDGES | OUTSIDE | READERS
COMMITTEE = KEPT_OUT | JUDGES
Found = Mapping[str, set[str]]


@dataclass
class House:
    """A round that is being decided, with one pitch that is closed to many, and people by role."""

    stage: Stage
    pitch: Pitch
    other: Pitch
    people: dict[str, User]
    sums: tuple[str, ...] = ()
    """What both pitches cost together at the board, and what they leave, as pages and programs write it."""
    clients: dict[str, Client] = field(default_factory=dict)

    def client(self, role: str) -> Client:
        if role not in self.clients:
            self.clients[role] = self.stage.company.client(self.people[role])
        return self.clients[role]

    def words(self, role: str, path: str) -> set[str]:
        """Return which of the planted words somebody finds at an address."""
        answer = self.client(role).get(path)
        said = answer.getvalue().decode(errors="replace")
        return {name for name, words in self.planted().items() if any(word in said for word in words)}

    def planted(self) -> dict[str, tuple[str, ...]]:
        return {**WORDS, "sums": self.sums}

    def found(self, path: str) -> dict[str, set[str]]:
        """Return by planted word who finds it at an address."""
        seen = {role: self.words(role, path) for role in sorted(ROLES)}
        return {
            word: who for word in self.planted() if (who := {role for role, words in seen.items() if word in words})
        }


def house_of(stage: Stage) -> House:
    """Play a round up to its decisions; Eli is recused by rule, Gil who chairs, Dee and Lou declared, Fay is waived."""
    company = stage.company
    una = user_create(actor=company.system, email="una@acorn.example", name="Una Example")
    sue = user_create(actor=company.system, email="sue@acorn.example", name="Sue Example")
    User.objects.filter(pk=sue.pk).update(is_superuser=True, is_staff=True)
    ned = user_create(actor=company.system, email="ned@acorn.example", name="Ned Example")
    for user in (una, ned, company.lou):
        role_grant(actor=company.system, user=user, role=Role.COMMITTEE)
        services.seat_set(actor=company.gil, round_=stage.round, user=user)
        stage.members.append(user)
    pitch = stage.pitch("Nightjar")
    services.attachment_add(
        actor=company.ana, pitch=pitch, name="avocet.csv", declared="text/csv", content=b"bird,count\navocet,7\n"
    )
    asked = replace(ITEM, calls_target=101_000)  # 2,424 dollars; the other pitch asks for 2,400
    said = content(company.eli, title="Nightjar", problem="The ptarmigan problem.", items=(asked,))
    services.pitch_submit(actor=company.ana, pitch=pitch, content=said)
    pitch.refresh_from_db()
    other = stage.submitted("Lapwing")
    waived = services.recusal_declare(actor=company.fay, pitch=pitch, reason="We were at school together.")
    services.recusal_waive(actor=company.gil, recusal=waived, plan="Thirty years ago, and no contact since.")
    for member in (company.dee, company.lou, company.gil):
        services.recusal_declare(actor=member, pitch=pitch, reason="I built its pilot.")
    stage.to_review()
    marks = {pk: Mark(7, "A sandpiper of a plan.") for pk in stage.marks()}
    services.review_submit(actor=una, pitch=pitch, revision_number=1, marks=marks, expertise=Expertise.EXPERT)
    services.question_ask(actor=una, pitch=pitch, body="Does the curlew count?")
    services.remark_add(actor=una, pitch=pitch, body="The godwit convinced me.")
    stage.to_vote()
    for member in (una, ned, company.fay):
        stage.vote(member, pitch)
    for member in (una, company.gil, company.dee, company.eli):
        stage.vote(member, other)
    services.voting_close(actor=company.gil, round_=stage.round)
    services.board_note(actor=una, round_=stage.now(), text="It goes to the whimbrel first.", pitch=pitch)
    people = {
        "lead": company.ana,
        "team": company.bo,
        "head": company.kim,
        "stranger": company.cy,
        "declared": company.dee,
        "rule": company.eli,
        "waived": company.fay,
        "chair": company.gil,
        "member": una,
        "finance": company.hana,
        "finance_member": company.lou,
        "auditor": company.jo,
        "admin": company.ivo,
        "compliance": company.mia,
        "superuser": User.objects.get(pk=sue.pk),
    }
    return House(stage, pitch, other, people, sums_of(una, stage.round))


def sums_of(member: User, round_: Round) -> tuple[str, ...]:
    board = board_of(member, round_)
    assert board.left is not None
    forms = (f"{sum_:,.2f}" for sum_ in (board.cost, board.left))
    return (*forms, f'"cost":"{plain(board.cost)}"', f'"left":"{plain(board.left)}"')


def decide(house: House) -> None:
    """Let Una decide in the chair's place."""
    services.decision_set(
        actor=house.people["member"],
        pitch=house.pitch,
        outcome=Outcome.FUND,
        reason="The dotterel is worth it.",
        lines={Tier.STANDARD: Decimal("2345.67")},
    )
