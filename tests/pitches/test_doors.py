"""Every door, by role: what each person finds of one pitch while its committee decides, and after.

`DOORS` has a row for every address of pitches and of the admin that can say something about a pitch; an address
without a row fails `test_no_address_is_forgotten`. To add one: its name, its path, and which of the planted words who
finds behind it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.mail import EmailMultiAlternatives
from django.test.client import MULTIPART_CONTENT
from django.urls import URLPattern, URLResolver, get_resolver

from pitches import services
from pitches.models import Aspect, Assignment, Finding, Offer, Outcome, Recusal, Round
from pitches.selectors.assignments import loads_shown_to
from teams.mail import outbox_send
from teams.models import AuditEvent, Notification, User, WebhookEvent
from teams.withheld import events_open_to
from tests.pitches.house import (
    COMMITTEE,
    INSIDE,
    JUDGES,
    KEPT_OUT,
    OUTSIDE,
    READERS,
    ROLES,
    WORDS,
    Found,
    House,
    decide,
    house_of,
)
from tests.pitches.stage import Stage

pytestmark = pytest.mark.django_db


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
PAGE: Found = {"title": TEXT, "text": TEXT, "file": TEXT}
# The notice of a question, to who answers for the pitch; what came in sealed was told to the committee by number.
ASKED: Found = {"title": {"lead"}, "thread": {"lead"}}
IN_THREAD = {"lead", "team"} | JUDGES | READERS
THREAD: Found = {"title": IN_THREAD, "thread": IN_THREAD}
ON_BOARD: Found = {"title": COMMITTEE, "opinion": JUDGES, "sums": JUDGES}
MINUTES: Found = {"title": JUDGES, "opinion": JUDGES, "decision": JUDGES}
NOTHING: Found = {}

DOORS: dict[str, Door] = {
    "home": Door("/", ASKED),
    "teams:inbox": Door("/inbox/", ASKED),
    "pitches:rounds": Door("/rounds/"),
    "pitches:round": Door("/rounds/{round}/", {"title": {"lead", "team"}}),
    "pitches:receipts": Door("/rounds/{round}/receipts/", {"title": JUDGES | {"auditor"}}),
    "pitches:pitches": Door("/pitches/?all", {"title": TEXT}),
    "pitches:new": Door("/pitches/new/"),
    "pitches:pitch": Door("/pitches/{pitch}/", PAGE),
    "pitches:edit": Door("/pitches/{pitch}/edit/", {"title": set()}),
    "pitches:revision": Door("/pitches/{pitch}/revisions/1/", PAGE),
    "pitches:offer": Door("/pitches/{pitch}/offer/"),
    "pitches:calendar": Door("/rounds/calendar/"),
    "pitches:calendar_file": Door("/rounds/calendar.ics"),
    "pitches:results": Door("/rounds/{round}/results/"),
    "pitches:results_csv": Door("/rounds/{round}/results.csv"),
    "pitches:results_json": Door("/rounds/{round}/results.json"),
    "pitches:claims": Door("/rounds/claims/"),
    "pitches:claims_csv": Door("/rounds/claims.csv"),
    "pitches:claim_new": Door("/rounds/claims/new/"),
    "pitches:sealed": Door("/rounds/{round}/sealed/"),
    "pitches:screening_queue": Door("/screening/"),
    "pitches:screening": Door("/screening/{pitch}/"),
    "pitches:items_template": Door("/pitches/{pitch}/items/template.csv"),
    "pitches:attachments": Door("/pitches/{pitch}/attachments/"),
    "pitches:attachment": Door("/pitches/{pitch}/attachments/{file}/", {"file": TEXT}),
    "pitches:questions": Door("/pitches/{pitch}/questions/", THREAD),
    "pitches:similar": Door("/pitches/{other}/similar/"),
    "pitches:pitches searched": Door("/pitches/?all&q=problem", {"title": TEXT, "text": TEXT}),
    "pitches:api_calendar": Door("/api/v1/rounds/calendar.ics"),
    # Another round is prepared by finance, the chair and superusers: it says nothing of any pitch.
    "pitches:api_clone": Door("/api/v1/rounds/{round}/clone/"),
    "pitches:api_sealed": Door("/api/v1/rounds/{round}/sealed/"),
    "pitches:api_assignments": Door("/api/v1/rounds/{round}/assignments/"),
    "pitches:api_lane_decisions": Door("/api/v1/rounds/{round}/lane-decisions/"),
    "pitches:api_screening": Door("/api/v1/screening/"),
    "pitches:api_remarks": Door("/api/v1/pitches/{pitch}/remarks/", {"opinion": JUDGES}),
    "pitches:api_board": Door("/api/v1/rounds/{round}/board/", {"title": COMMITTEE, "sums": JUDGES}),
    "pitches:api_minutes": Door("/api/v1/rounds/{round}/minutes/", MINUTES),
    "pitches:api_search": Door("/api/v1/pitches/search/?q=problem", {"title": TEXT, "text": TEXT}),
    "pitches:api_similar": Door("/api/v1/pitches/{other}/similar/", {"title": TEXT, "text": TEXT}),
    "pitches:api_questions": Door(
        "/api/v1/pitches/{pitch}/questions/", {"thread": {"lead", "team"} | JUDGES | READERS}
    ),
    "pitches:api_attachments": Door("/api/v1/pitches/{pitch}/attachments/", {"file": TEXT}),
    "pitches:api_attachment": Door("/api/v1/pitches/{pitch}/attachments/{file}/", {"file": TEXT}),
    "pitches:api_offers": Door("/api/v1/offers/"),
    "pitches:api_offer": Door("/api/v1/offers/1/"),
    "admin:teams_auditevent_changelist of the board": Door("/admin/teams/auditevent/?q=round.note"),
    "admin:pitches_round_questions": Door(ROUND + "questions/"),
    "admin:pitches_round_edit": Door(ROUND + "edit/"),
    "admin:pitches_round_clone": Door(ROUND + "clone/"),
    "admin:pitches_round_assignments": Door(ROUND + "assignments/", {"title": JUDGES | {"auditor"}}),
    # Every member may run the choice: it says nothing, and decides nothing until it is adopted.
    "admin:pitches_round_choose": Door(ROUND + "choose/"),
    # Numbers of pitches and the chair's name only; a failure's words are the chair's.
    "admin:pitches_round_choosing": Door(ROUND + "choosing/"),
    "admin:pitches_round_lane": Door(ROUND + "lane/"),
    "admin:pitches_pitch_lane": Door(PITCH + "lane/"),
    "admin:pitches_round_board": Door(ROUND + "board/", ON_BOARD),
    "admin:pitches_round_board_live": Door(ROUND + "board/live/?stamp=0", ON_BOARD),
    "admin:pitches_round_board_prices": Door(ROUND + "board/prices/?p={pitch}&p={other}"),
    "admin:pitches_round_board_compare": Door(ROUND + "board/compare/"),
    "admin:pitches_round_board_curve": Door(ROUND + "board/curve/"),
    "admin:pitches_round_board_csv": Door(ROUND + "board/curve.csv"),
    "admin:pitches_round_minutes": Door(ROUND + "minutes/", MINUTES),
    "admin:pitches_round_minutes_csv": Door(ROUND + "minutes.csv", MINUTES),
    "admin:pitches_round_offers": Door(ROUND + "offers/"),
    "admin:pitches_pitch_offer": Door(PITCH + "offer/"),
    "admin:pitches_pitch_override": Door(PITCH + "override/", {"title": JUDGES}),
    "pitches:api_rounds": Door("/api/v1/rounds/"),
    "pitches:api_round": Door("/api/v1/rounds/{round}/"),
    "pitches:api_pitches": Door("/api/v1/pitches/", {"title": TEXT}),
    "pitches:api_pitch": Door("/api/v1/pitches/{pitch}/", {"title": TEXT, "text": TEXT}),
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
    "admin:pitches_pitch_read": Door(PITCH, dict.fromkeys(("title", "text", "file", "thread", "opinion"), JUDGES)),
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
    "pitches:peek": "/pitches/{pitch}/peek/",
    "pitches:items_import": "/pitches/{pitch}/items/import/",
    "pitches:estimate": "/pitches/{pitch}/items/estimate/",
    "pitches:from_key": "/pitches/{pitch}/items/from-key/",
    "pitches:screening": "/screening/{pitch}/",
    "pitches:claim_new": "/rounds/claims/new/",
    "pitches:offer_counter": "/pitches/{pitch}/offer/counter/",
    "pitches:counter_withdraw": "/pitches/{pitch}/offer/counter/1/withdraw/",
    "pitches:attachments": "/pitches/{pitch}/attachments/",
    "pitches:attachment_remove": "/pitches/{pitch}/attachments/{file}/remove/",
    "pitches:questions": "/pitches/{pitch}/questions/",
    "pitches:api_close_lane": "/api/v1/rounds/{round}/close-lane/",
    "pitches:api_peek": "/api/v1/pitches/{pitch}/peek/",
    "pitches:api_screenings": "/api/v1/pitches/{pitch}/screenings/",
    "pitches:api_rule_out": "/api/v1/pitches/{pitch}/rule-out/",
    "pitches:api_remarks": "/api/v1/pitches/{pitch}/remarks/",
    "pitches:api_lane_decision": "/api/v1/pitches/{pitch}/lane-decision/",
    "pitches:api_board_moves": "/api/v1/rounds/{round}/board/moves/",
    "pitches:api_copy": "/api/v1/pitches/{pitch}/copy/",
    "pitches:api_questions": "/api/v1/pitches/{pitch}/questions/",
    "pitches:api_attachments": "/api/v1/pitches/{pitch}/attachments/",
    "pitches:api_offer_accept": "/api/v1/offers/1/accept/",
    "pitches:api_offer_decline": "/api/v1/offers/1/decline/",
    "pitches:api_offer_counter": "/api/v1/offers/1/counter/",
    "pitches:api_counter_answer": "/api/v1/offers/1/answer/",
    "admin:pitches_round_board_move": ROUND + "board/move/",
    "admin:pitches_round_board_note": ROUND + "board/note/",
    "admin:pitches_pitch_remark": PITCH + "remark/",
    "admin:pitches_pitch_rule_out": PITCH + "rule-out/",
    "admin:pitches_pitch_lane": PITCH + "lane/",
    "admin:pitches_pitch_offer": PITCH + "offer/",
    "admin:pitches_waitlist_raise": PITCH + "waitlist-raise/",
    "admin:pitches_round_adopt": ROUND + "adopt/",
    "admin:pitches_pitch_override": PITCH + "override/",
    "admin:pitches_override_sign": "/admin/pitches/round/override/1/sign/",
    "admin:pitches_override_withdraw": "/admin/pitches/round/override/1/withdraw/",
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
    "pitches:api_choice_run": Door("/api/v1/rounds/{round}/choice/runs/1/"),
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
    file = house.pitch.attachments.get()
    pitches = {"pitch": house.pitch.pk, "other": house.other.pk, "file": file.pk}
    return path.format(round=house.stage.round.pk, recusal=recusal.pk, **pitches)


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
        # What programs send: whole, so that a refusal is about who sends it.
        "name": "Q9",
        "cap": "1000",
        "submissions_close_at": "2099-01-10T18:00:00Z",
        "reviews_close_at": "2099-01-17T18:00:00Z",
        "voting_closes_at": "2099-01-24T18:00:00Z",
        "answers_due_at": "2099-01-31T18:00:00Z",
        "starts_on": "2099-02-01",
        "months": "3",
        "aspect": "estimate",
        "finding": "infeasible",
        "revision": "1",
        "body": "Please change all of it.",
        "message": "Please change all of it.",
        "counter": "1",
        "answer": "accept",
        "lines": {},
        "kind": "note",
        # A move about the pitch: the cap is every member's to move, and says nothing of one pitch.
        "move": f"force_in:{house.pitch.pk}",
        "text": "It goes to the others.",
    }
    before = AuditEvent.objects.count()

    statuses = {}
    for role in sorted(KEPT_OUT - {"finance_member", "chair"} | OUTSIDE | {"auditor"}):
        for name, path in POSTS.items():
            kind = "application/json" if path.startswith("/api/") else MULTIPART_CONTENT
            statuses[role, name] = house.client(role).post(at(path, house), data, content_type=kind).status_code

    assert AuditEvent.objects.count() == before
    # 302: to the page that says why not, or to the login of the admin; 422: the page itself says it; 409: there is
    # nothing to do any more, such as to peek at what is unsealed.
    refused = {302, 403, 404, 409, 422}
    assert {where: status for where, status in statuses.items() if status not in refused} == {}


def test_no_notice_about_it_goes_to_whoever_is_kept_out(house: House) -> None:
    services.round_publish(actor=house.people["chair"], round_=undecided_declined(house))
    offer = Offer.objects.get(pitch=house.pitch)
    services.offer_decline(actor=house.people["lead"], offer=offer, reason="We found another way.")

    told = Notification.objects.filter(title__contains="Nightjar", created_at__gt=offer.created_at)
    titles = Notification.objects.filter(title__contains="declined the offer").values_list("user", flat=True)
    assert {User.objects.get(pk=pk).name for pk in titles} == {"Una Example", "Ned Example", "Fay Example"}
    kept_out = {house.people[role].pk for role in KEPT_OUT}
    assert not told.filter(user__in=kept_out).exists()


def undecided_declined(house: House) -> Round:
    services.decision_set(
        actor=house.people["chair"], pitch=house.other, outcome=Outcome.DECLINE, reason="Not this time, sorry."
    )
    return house.stage.now()


def test_what_is_noted_at_the_board_is_in_nobodys_history_but_the_members(house: House) -> None:
    noted = AuditEvent.objects.filter(verb="round.note")

    assert {role for role in ROLES if events_open_to(house.people[role], noted).exists()} == JUDGES


def test_what_reviewers_are_asked_for_is_counted_without_what_is_closed(house: House) -> None:
    def asked(role: str) -> int:
        return sum(load.asked for load in loads_shown_to(house.people[role], house.stage.round))

    of_both = Assignment.objects.filter(pitch__round=house.stage.round, ended_at=None).count()
    of_other = Assignment.objects.filter(pitch=house.other, ended_at=None).count()
    assert of_both > of_other > 0
    assert {role: asked(role) for role in JUDGES | KEPT_OUT} == {
        **dict.fromkeys(JUDGES, of_both),
        **dict.fromkeys(KEPT_OUT, of_other),
    }


def test_what_a_screening_found_is_told_in_the_place_of_a_chair_who_is_kept_out(stage: Stage) -> None:
    company, pitch = stage.company, stage.submitted("Nightjar")
    stage.to_review()
    services.recusal_declare(actor=company.gil, pitch=pitch, reason="I built its pilot.")

    services.screening_record(
        actor=company.ivo,
        pitch=pitch,
        revision_number=1,
        aspect=Aspect.ESTIMATE,
        finding=Finding.INFEASIBLE,
        reason="No model takes texts as long as these.",
    )

    told = Notification.objects.filter(title__startswith="Nightjar: ")
    assert {line.user for line in told} == {company.dee, company.eli, company.fay}


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
