"""Every door, by role: what each person finds of one pitch while its committee decides, and after.

`DOORS` has a row for every address of pitches and of the admin that can say something about a pitch; an address
without a row fails `test_no_address_is_forgotten`. To add one: its name, its path, and which of the planted words who
finds behind it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.mail import EmailMultiAlternatives
from django.test import Client
from django.test.client import MULTIPART_CONTENT
from django.urls import URLPattern, URLResolver, get_resolver

from ledger.models import Tier
from pitches import services
from pitches.models import Expertise, Offer, Outcome, Pitch, Recusal, Round
from pitches.services import Mark
from teams.mail import outbox_send
from teams.models import AuditEvent, Notification, Role, User, WebhookEvent
from teams.services import role_grant, user_create
from tests.pitches.stage import Stage, content

pytestmark = pytest.mark.django_db

WORDS = {
    "title": ("Nightjar",),
    "text": ("ptarmigan",),
    "opinion": ("sandpiper",),
    "decision": ("dotterel", "2,345.67", "2345.67"),
    # What the others can still be awarded says what this one was.
    "rest": ("6,654.33", "6654.33"),
}

INSIDE = {"lead", "team", "head"}
KEPT_OUT = {"declared", "rule", "chair", "finance_member"}
JUDGES = {"member", "waived"}
OUTSIDE = {"stranger", "admin", "superuser"}
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
    clients: dict[str, Client] = field(default_factory=dict)

    def client(self, role: str) -> Client:
        if role not in self.clients:
            self.clients[role] = self.stage.company.client(self.people[role])
        return self.clients[role]

    def words(self, role: str, path: str) -> set[str]:
        """Return which of the planted words somebody finds at an address."""
        answer = self.client(role).get(path)
        said = answer.getvalue().decode(errors="replace")
        return {name for name, words in WORDS.items() if any(word in said for word in words)}

    def found(self, path: str) -> dict[str, set[str]]:
        """Return by planted word who finds it at an address."""
        seen = {role: self.words(role, path) for role in sorted(ROLES)}
        return {word: who for word in WORDS if (who := {role for role, words in seen.items() if word in words})}


def house_of(stage: Stage) -> House:
    """Play a round up to its decisions; Eli is recused by rule, Gil who chairs, Dee and Lou declared, Fay is waived."""
    company = stage.company
    mia = user_create(actor=company.system, email="mia@acorn.example", name="Mia Example")
    sue = user_create(actor=company.system, email="sue@acorn.example", name="Sue Example")
    User.objects.filter(pk=sue.pk).update(is_superuser=True, is_staff=True)
    ned = user_create(actor=company.system, email="ned@acorn.example", name="Ned Example")
    for user in (mia, ned, company.lou):
        role_grant(actor=company.system, user=user, role=Role.COMMITTEE)
        services.seat_set(actor=company.gil, round_=stage.round, user=user)
        stage.members.append(user)
    pitch = stage.pitch("Nightjar")
    said = content(company.eli, title="Nightjar", problem="The ptarmigan problem.")
    services.pitch_submit(actor=company.ana, pitch=pitch, content=said)
    pitch.refresh_from_db()
    other = stage.submitted("Lapwing")
    waived = services.recusal_declare(actor=company.fay, pitch=pitch, reason="We were at school together.")
    services.recusal_waive(actor=company.gil, recusal=waived, plan="Thirty years ago, and no contact since.")
    for member in (company.dee, company.lou, company.gil):
        services.recusal_declare(actor=member, pitch=pitch, reason="I built its pilot.")
    stage.to_review()
    marks = {pk: Mark(7, "A sandpiper of a plan.") for pk in stage.marks()}
    services.review_submit(actor=mia, pitch=pitch, revision_number=1, marks=marks, expertise=Expertise.EXPERT)
    stage.to_vote()
    for member in (mia, ned, company.fay):
        stage.vote(member, pitch)
    for member in (mia, company.gil, company.dee, company.eli):
        stage.vote(member, other)
    services.voting_close(actor=company.gil, round_=stage.round)
    stage.now()
    people = {
        "lead": company.ana,
        "team": company.bo,
        "head": company.kim,
        "stranger": company.cy,
        "declared": company.dee,
        "rule": company.eli,
        "waived": company.fay,
        "chair": company.gil,
        "member": mia,
        "finance": company.hana,
        "finance_member": company.lou,
        "auditor": company.jo,
        "admin": company.ivo,
        "superuser": User.objects.get(pk=sue.pk),
    }
    return House(stage, pitch, other, people)


def decide(house: House) -> None:
    """Let Mia decide in the chair's place."""
    services.decision_set(
        actor=house.people["member"],
        pitch=house.pitch,
        outcome=Outcome.FUND,
        reason="The dotterel is worth it.",
        lines={Tier.STANDARD: Decimal("2345.67")},
    )


@pytest.fixture
def house(stage: Stage) -> House:
    made = house_of(stage)
    decide(made)
    return made


@dataclass(frozen=True)
class Door:
    """An address, and who finds which words behind it while the committee decides."""

    path: str
    seen: Found = field(default_factory=dict)


ROUND, PITCH = "/admin/pitches/round/{round}/", "/admin/pitches/round/pitch/{pitch}/"
# Those who are kept out read the title where they are told that they are, and nowhere else.
BOARD: Found = {"title": COMMITTEE | {"auditor"}}
TEXT = INSIDE | JUDGES | READERS
PAGE: Found = {"title": TEXT, "text": TEXT}
NOTHING: Found = {}

DOORS: dict[str, Door] = {
    "home": Door("/", {"title": JUDGES}),
    "teams:inbox": Door("/inbox/", {"title": JUDGES}),
    "pitches:rounds": Door("/rounds/"),
    "pitches:round": Door("/rounds/{round}/", {"title": {"lead", "team"}}),
    "pitches:receipts": Door("/rounds/{round}/receipts/", {"title": JUDGES | {"auditor"}}),
    "pitches:pitches": Door("/pitches/?all", {"title": TEXT}),
    "pitches:new": Door("/pitches/new/"),
    "pitches:pitch": Door("/pitches/{pitch}/", PAGE),
    "pitches:edit": Door("/pitches/{pitch}/edit/", {"title": set()}),
    "pitches:revision": Door("/pitches/{pitch}/revisions/1/", PAGE),
    "pitches:offer": Door("/pitches/{pitch}/offer/"),
    "pitches:api_rounds": Door("/api/v1/rounds/"),
    "pitches:api_round": Door("/api/v1/rounds/{round}/"),
    "pitches:api_pitches": Door("/api/v1/pitches/", {"title": TEXT}),
    "pitches:api_pitch": Door("/api/v1/pitches/{pitch}/", PAGE),
    "admin:index": Door("/admin/"),
    "admin:search": Door("/admin/search/?s=nightjar&extended=1"),
    "admin:app_list": Door("/admin/pitches/"),
    "admin:autocomplete": Door("/admin/autocomplete/?app_label=pitches&model_name=pitch&field_name=round&term=night"),
    "admin:teams_auditevent_changelist": Door("/admin/teams/auditevent/"),
    "admin:teams_auditevent_changelist searched": Door("/admin/teams/auditevent/?q=is+worth+it"),
    "admin:teams_outgoingmail_changelist": Door("/admin/teams/outgoingmail/"),
    "admin:pitches_round_changelist": Door("/admin/pitches/round/?q=nightjar"),
    "admin:pitches_round_new": Door("/admin/pitches/round/new/"),
    "admin:pitches_round_add": Door("/admin/pitches/round/add/"),
    "admin:pitches_round_change": Door("/admin/pitches/round/{round}/change/"),
    "admin:pitches_round_history": Door("/admin/pitches/round/{round}/history/"),
    "admin:pitches_round_delete": Door("/admin/pitches/round/{round}/delete/"),
    "admin:pitches_round_desk": Door(ROUND + "desk/", BOARD),
    "admin:pitches_round_schedule": Door(ROUND + "calendar/"),
    "admin:pitches_round_committee": Door(ROUND + "committee/", BOARD),
    "admin:pitches_round_declare": Door(ROUND + "declare/", {"title": COMMITTEE}),
    "admin:pitches_round_ballot": Door(ROUND + "ballot/", {"title": COMMITTEE}),
    "admin:pitches_round_decide": Door(ROUND + "decide/", {"title": COMMITTEE, "decision": JUDGES, "rest": JUDGES}),
    "admin:pitches_pitch_read": Door(PITCH, {"title": JUDGES, "text": JUDGES, "opinion": JUDGES}),
    "admin:pitches_pitch_decide": Door(PITCH + "decide/", {"title": JUDGES, "decision": JUDGES}),
    "admin:pitches_pitch_decide of another": Door("/admin/pitches/round/pitch/{other}/decide/", {"rest": JUDGES}),
    "ledger:report award-register": Door("/ledger/reports/award-register/"),
    "ledger:report award-register.csv": Door("/ledger/reports/award-register.csv"),
    "ledger:entries": Door("/ledger/entries/"),
}
POSTS = {
    "pitches:draft": "/pitches/{pitch}/draft/",
    "pitches:withdraw": "/pitches/{pitch}/withdraw/",
    "pitches:carry_over": "/pitches/{pitch}/carry-over/",
    "pitches:offer_accept": "/pitches/{pitch}/offer/accept/",
    "pitches:offer_decline": "/pitches/{pitch}/offer/decline/",
    "pitches:api_submit": "/api/v1/pitches/{pitch}/submit/",
    "admin:pitches_round_step": ROUND + "step/cancel/",
    "admin:pitches_seat_remove": ROUND + "committee/1/remove/",
    "admin:pitches_recusal_judge": ROUND + "conflicts/{recusal}/",
    "admin:pitches_pitch_take_in": PITCH + "take-in/",
    "admin:pitches_pitch_return": PITCH + "return/",
    "admin:pitches_pitch_recuse": PITCH + "recuse/",
    "admin:pitches_pitch_read": PITCH,
    "admin:pitches_pitch_decide": PITCH + "decide/",
    "admin:pitches_round_ballot": ROUND + "ballot/",
}
# Endpoints of the committee, the choice and the form: the doors of the pages that they stand for.
DOORS |= {
    "pitches:api_schedule": Door("/api/v1/rounds/{round}/calendar/"),
    "pitches:api_committee": Door("/api/v1/rounds/{round}/committee/"),
    "pitches:api_declaration": Door("/api/v1/rounds/{round}/declaration/", {"title": JUDGES}),
    "pitches:api_conflicts": Door("/api/v1/rounds/{round}/conflicts/"),
    "pitches:api_ballots": Door("/api/v1/rounds/{round}/ballots/", {"title": JUDGES}),
    "pitches:api_receipts": Door("/api/v1/rounds/{round}/receipts/", {"title": JUDGES | {"auditor"}}),
    "pitches:api_reviews": Door("/api/v1/pitches/{pitch}/reviews/", {"opinion": JUDGES}),
    "pitches:api_options": Door("/api/v1/rounds/{round}/options/"),
    "pitches:api_choice": Door("/api/v1/rounds/{round}/choice/"),
    "pitches:api_overrides": Door("/api/v1/rounds/{round}/overrides/"),
    "pitches:api_override_room": Door("/api/v1/rounds/{round}/override-room/"),
    "pitches:api_waitlist": Door("/api/v1/rounds/{round}/waitlist/"),
    "pitches:api_results": Door("/api/v1/rounds/{round}/results/"),
    "pitches:api_decision": Door("/api/v1/pitches/{pitch}/decision/", {"decision": JUDGES}),
    "pitches:api_claims": Door("/api/v1/claims/"),
    "pitches:api_factors": Door("/api/v1/claims/factors/"),
    "pitches:api_terms": Door("/api/v1/rounds/{round}/questions/"),
    "pitches:api_draft": Door("/api/v1/pitches/{pitch}/draft/"),
}
POSTS |= {
    "pitches:api_step": "/api/v1/rounds/{round}/steps/cancel/",
    "pitches:api_seat_remove": "/api/v1/rounds/{round}/committee/1/remove/",
    "pitches:api_conflict_judge": "/api/v1/rounds/{round}/conflicts/{recusal}/judge/",
    "pitches:api_conflict": "/api/v1/pitches/{pitch}/conflicts/",
    "pitches:api_take_in": "/api/v1/pitches/{pitch}/take-in/",
    "pitches:api_return": "/api/v1/pitches/{pitch}/return/",
    "pitches:api_ballot": "/api/v1/pitches/{pitch}/ballot/",
    "pitches:api_adopt": "/api/v1/rounds/{round}/choice/adopt/",
    "pitches:api_override": "/api/v1/pitches/{pitch}/overrides/",
    "pitches:api_override_sign": "/api/v1/overrides/1/sign/",
    "pitches:api_override_withdraw": "/api/v1/overrides/1/withdraw/",
    "pitches:api_waitlist_raise": "/api/v1/pitches/{pitch}/waitlist-raise/",
    "pitches:api_items_import": "/api/v1/pitches/{pitch}/items/import/",
    "pitches:api_estimate": "/api/v1/pitches/{pitch}/items/estimate/",
    "pitches:api_quote": "/api/v1/pitches/{pitch}/quote/",
    "pitches:api_withdraw": "/api/v1/pitches/{pitch}/withdraw/",
    "pitches:api_carry_over": "/api/v1/pitches/{pitch}/carry-over/",
}
# The admin of other models says nothing of pitches, and Django's own addresses show no object.
OF_OTHERS = ("admin:account_", "admin:socialaccount_", "admin:ledger_", "admin:allocations_", "admin:teams_")
OF_DJANGO = {
    "admin:login",
    "admin:logout",
    "admin:password_change",
    "admin:password_change_done",
    "admin:jsi18n",
    "admin:view_on_site",
    "admin:None",
}


def addresses(resolver: URLResolver, space: str = "") -> Iterator[str]:
    for one in resolver.url_patterns:
        if isinstance(one, URLPattern):
            yield f"{space}{one.name}"
        else:
            yield from addresses(one, f"{space}{one.namespace}:" if one.namespace else space)


def test_no_address_is_forgotten() -> None:
    known = {name.partition(" ")[0] for name in DOORS} | POSTS.keys() | OF_DJANGO
    ours = {name for name in addresses(get_resolver()) if name.startswith(("pitches:", "admin:"))}

    forgotten = {name for name in ours - known if not name.startswith(OF_OTHERS)}

    assert forgotten == set()
    assert {name for name in known if name.startswith(("pitches:", "admin:"))} - OF_DJANGO <= ours


def at(path: str, house: House) -> str:
    recusal = Recusal.objects.get(pitch=house.pitch, member=house.people["declared"])
    return path.format(round=house.stage.round.pk, pitch=house.pitch.pk, other=house.other.pk, recusal=recusal.pk)


def test_everybody_finds_what_is_theirs_to_see_and_nothing_else(house: House) -> None:
    cache.clear()  # the admin remembers searches
    expected = {name: {word: who for word, who in door.seen.items() if who} for name, door in DOORS.items()}

    assert {name: house.found(at(door.path, house)) for name, door in DOORS.items()} == expected


def test_whoever_is_kept_out_changes_nothing(house: House) -> None:
    data = {
        "reason": "Because I can do it.",
        "note": "Please change all of it.",
        "plan": "I promise to be fair.",
        "judgement": "waive",
        "outcome": "decline",
        "pitch": str(house.pitch.pk),
        f"{house.pitch.pk}-choice": "no",
        f"{house.pitch.pk}-score": "1",
        "conflict_type": "other",
    }
    before = AuditEvent.objects.count()

    statuses = {}
    for role in sorted(KEPT_OUT - {"finance_member", "chair"} | OUTSIDE | {"auditor"}):
        for name, path in POSTS.items():
            kind = "application/json" if path.startswith("/api/") else MULTIPART_CONTENT
            statuses[role, name] = house.client(role).post(at(path, house), data, content_type=kind).status_code

    assert AuditEvent.objects.count() == before
    # 302: to the page that says why not, or to the login of the admin; 422: the page itself says it.
    refused = {302, 403, 404, 422}
    assert {where: status for where, status in statuses.items() if status not in refused} == {}


def test_no_notice_about_it_goes_to_whoever_is_kept_out(house: House) -> None:
    services.round_publish(actor=house.people["chair"], round_=undecided_declined(house))
    offer = Offer.objects.get(pitch=house.pitch)
    services.offer_decline(actor=house.people["lead"], offer=offer, reason="We found another way.")

    told = Notification.objects.filter(title__contains="Nightjar", created_at__gt=offer.created_at)
    titles = Notification.objects.filter(title__contains="declined the offer").values_list("user", flat=True)
    assert {User.objects.get(pk=pk).name for pk in titles} == {"Mia Example", "Ned Example", "Fay Example"}
    kept_out = {house.people[role].pk for role in KEPT_OUT}
    assert not told.filter(user__in=kept_out).exists()


def undecided_declined(house: House) -> Round:
    services.decision_set(
        actor=house.people["chair"], pitch=house.other, outcome=Outcome.DECLINE, reason="Not this time, sorry."
    )
    return house.stage.now()


def test_what_stops_a_publication_is_not_said_by_name_to_whoever_is_kept_out(stage: Stage) -> None:
    house = house_of(stage)
    chair = house.client("chair")

    answer = chair.post(f"/admin/pitches/round/{stage.round.pk}/step/publish/", follow=True)

    assert "Still to be decided: Lapwing, what you are recused from." in answer.content.decode().replace("\n", " ")


def test_a_refusal_for_the_cap_does_not_say_what_the_others_got(house: House) -> None:
    answer = house.client("chair").post(
        f"/admin/pitches/round/pitch/{house.other.pk}/decide/",
        {"outcome": "fund", "reason": "All of the rest of it.", "amount-standard": "7000"},
    )

    assert answer.status_code == 422
    assert "$7,000.00 does not fit: other awards take too much of the cap." in answer.content.decode()
    assert "6,654.33" not in answer.content.decode()


def test_once_published_whoever_was_kept_out_reads_what_everybody_reads(house: House) -> None:
    services.round_publish(actor=house.people["chair"], round_=undecided_declined(house))
    for path in ("/rounds/{round}/", "/rounds/{round}/receipts/"):
        found = {role: house.words(role, at(path, house)) for role in ROLES}
        assert {role: found[role] - {"rest"} for role in KEPT_OUT} == {
            role: found["stranger"] - {"rest"} for role in KEPT_OUT
        }
        assert "title" in found["stranger"]
    for role in KEPT_OUT:
        assert house.client(role).get(at(PITCH, house)).status_code == 404


def test_no_event_about_pitches_leaves_by_webhook() -> None:
    assert [event for event in WebhookEvent.values if event.startswith(("pitch", "round", "ballot", "offer"))] == []


def test_no_mail_holds_what_is_sealed(house: House, mailoutbox: list[EmailMultiAlternatives]) -> None:
    outbox_send(limit=500)

    sealed = WORDS["opinion"] + WORDS["decision"] + WORDS["rest"] + WORDS["text"]
    said = [f"{mail.subject} {mail.body} {mail.alternatives}" for mail in mailoutbox]
    assert said
    assert [text for text in said if any(word in text for word in sealed)] == []
    kept_out = {house.people[role].email for role in KEPT_OUT}
    titled = {mail.to[0] for mail in mailoutbox if "Nightjar" in f"{mail.subject} {mail.body}"}
    assert titled & kept_out == set()


def test_the_settings_let_the_admin_search_no_models() -> None:
    assert "COMMAND" not in settings.UNFOLD
