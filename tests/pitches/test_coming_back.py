"""A returned pitch that comes back: into review by itself where its screening was done, and the reviews filled in."""

from dataclasses import replace
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction

from pitches import services
from pitches.models import Aspect, Assignment, Finding, Pitch, Review, Screening
from pitches.questions import DataClass, Latency
from pitches.selectors.minutes import minutes_of
from pitches.selectors.scores import scores_of_round
from pitches.selectors.screening import findings_of, screening_queue, unscreened
from teams.models import AuditEvent, Notification, User
from teams.selectors import standing_forget
from teams.services import membership_set
from tests.cast import Company
from tests.pages import Element, page_of
from tests.pitches.stage import ITEM, Stage, content, queries_of

pytestmark = pytest.mark.django_db

NOTE = "How was the value measured, and on which desk?"
ANSWERED = "Minutes saved, measured for a week at desk four, times what an hour costs."
WHY = "Checked against last month's calls."


def path(pitch: Pitch) -> str:
    return f"/admin/pitches/round/pitch/{pitch.pk}/"


def screen(actor: User, pitch: Pitch, aspect: Aspect, finding: Finding = Finding.FEASIBLE) -> None:
    services.screening_record(
        actor=actor,
        pitch=pitch,
        revision_number=pitch.submitted.number,
        aspect=aspect,
        finding=finding,
        reason=WHY,
    )


@pytest.fixture
def pitch(stage: Stage) -> Pitch:
    """Give a story a pitch that was screened by both, reviewed by Dee with a 4, and returned with a question."""
    pitch = stage.submitted()
    stage.to_review()
    pitch.refresh_from_db()
    screen(stage.company.ivo, pitch, Aspect.ESTIMATE)
    screen(stage.company.mia, pitch, Aspect.COMPLIANCE, Finding.PROBLEM)
    stage.review(stage.company.dee, pitch, 4)
    services.pitch_return(actor=stage.company.eli, pitch=pitch, note=NOTE)
    return pitch


def again(stage: Stage, pitch: Pitch, **changes: object) -> Pitch:
    """Submit it again, as Ana."""
    said = replace(content(stage.company.kim), **changes)  # type: ignore[arg-type]
    services.pitch_submit(actor=stage.company.ana, pitch=pitch, content=said)
    return Pitch.objects.select_related("round", "current").get(pk=pitch.pk)


def fields_of(page: Element) -> dict[str, str]:
    """Return what stands in the form of the review."""
    form = page.one("section", id="review").one("form")
    typed = {one.attrs["name"]: one.attrs.get("value", "") for one in form.all("input") if one.attrs["type"] != "radio"}
    chosen = [one.attrs["value"] for one in form.all("input", type="radio") if "checked" in one.attrs]
    return typed | {"expertise": "".join(chosen)}


def test_it_is_in_review_again_at_once_and_its_history_says_why(stage: Stage, company: Company, pitch: Pitch) -> None:
    held = set(Assignment.objects.filter(pitch=pitch, ended_at=None).values_list("member", flat=True))

    pitch = again(stage, pitch, value_method=ANSWERED)

    assert (pitch.state, pitch.submitted.number, pitch.return_note) == ("in_review", 2, "")
    event = AuditEvent.objects.filter(verb="pitch.take_in").latest("pk")
    assert (event.actor, event.reason) == (
        company.system,
        "Ana Example submitted revision 2 in answer to the committee. "
        "Both screenings stay: nothing that they judged changed.",
    )
    assert event.details == {
        "from": "submitted",
        "to": "in_review",
        "revision": 2,
        "carried": ["estimate", "compliance"],
        "again": [],
    }
    found = findings_of([pitch])[pitch.pk]
    assert [(row.finding, row.by, row.reason) for row in found.values()] == [
        ("feasible", company.ivo, WHY),
        ("problem", company.mia, WHY),
    ]
    assert unscreened([pitch]) == []
    assert [queue[0].waiting for queue in (screening_queue(company.ivo), screening_queue(company.mia))] == [[], []]
    assert minutes_of(company.gil, stage.round).facts["screenings"] == 2
    assert set(Assignment.objects.filter(pitch=pitch, ended_at=None).values_list("member", flat=True)) == held
    title = "Claims: Claims triage came back as revision 2 and is in review"
    told = dict(Notification.objects.filter(title=title).exclude(user=company.gil).values_list("user", "body"))
    assert told.pop(company.dee.pk) == "Your review of the earlier revision is filled in. It counts once you save it."
    assert told == dict.fromkeys(held - {company.dee.pk, company.gil.pk}, "You are asked to review it.")
    services.voting_open(actor=company.gil, round_=stage.round)
    assert stage.now().state == "voting"


def test_what_a_screening_judged_and_changed_is_screened_anew(stage: Stage, company: Company, pitch: Pitch) -> None:
    pitch = again(stage, pitch, items=(replace(ITEM, calls_target=120_000),))

    assert pitch.state == "in_review"
    assert [(row.pk, aspects) for row, aspects in unscreened([pitch])] == [(pitch.pk, [Aspect.ESTIMATE])]
    assert [row.waiting for row in screening_queue(company.ivo)] == [[Aspect.ESTIMATE]]
    assert AuditEvent.objects.filter(verb="pitch.take_in").latest("pk").reason == (
        "Ana Example submitted revision 2 in answer to the committee. "
        "The screening of compliance stays. Estimate is screened anew."
    )
    carried = AuditEvent.objects.filter(verb="pitch.screen").latest("pk")
    assert (carried.actor, carried.reason) == (
        company.system,
        f"Carried over from revision 1, as {company.mia.name} found it: {WHY}",
    )


@pytest.mark.parametrize(
    ("changes", "waiting"),
    [
        ({"value_p50": Decimal(60_000)}, []),
        ({"summary": "An agent answers what comes in."}, [Aspect.ESTIMATE, Aspect.COMPLIANCE]),
        ({"problem": "Three people read every claim first."}, [Aspect.COMPLIANCE]),
        (
            {"data_class": DataClass.PERSONAL, "compliance_note": "Names are masked before the first call."},
            [Aspect.COMPLIANCE],
        ),
        ({"latency": Latency.OVERNIGHT}, [Aspect.ESTIMATE]),
    ],
)
def test_each_screening_looks_at_its_own_part(
    stage: Stage, pitch: Pitch, changes: dict[str, object], waiting: list[Aspect]
) -> None:
    pitch = again(stage, pitch, **changes)

    assert [aspects for _, aspects in unscreened([pitch])] == ([waiting] if waiting else [])


def test_where_the_rules_ask_for_a_look_it_waits_for_the_committee(stage: Stage, company: Company) -> None:
    half, infeasible = stage.submitted("Half"), stage.submitted("Infeasible")
    stage.to_review()
    for pitch in (half, infeasible):
        pitch.refresh_from_db()
        screen(company.ivo, pitch, Aspect.ESTIMATE)
    screen(company.mia, infeasible, Aspect.COMPLIANCE, Finding.INFEASIBLE)
    for pitch in (half, infeasible):
        services.pitch_return(actor=company.eli, pitch=pitch, note=NOTE)

    states = [again(stage, pitch, title=pitch.title).state for pitch in (half, infeasible)]

    assert states == ["submitted", "submitted"]
    assert Notification.objects.filter(user=company.gil, title="Claims: Half came back as revision 2").exists()
    # What was found infeasible is looked at again, changed or not.
    findings = findings_of(Pitch.objects.filter(pk=infeasible.pk))[infeasible.pk]
    assert [row for row in findings.values() if row.finding == "infeasible"] == []


def test_who_screened_it_and_has_a_conflict_by_now_does_not_vouch_for_it(
    stage: Stage, company: Company, pitch: Pitch
) -> None:
    membership_set(actor=company.system, user=company.ivo, team=company.claims, role="member")
    standing_forget(company.ivo)

    pitch = again(stage, pitch)

    assert (pitch.state, [aspects for _, aspects in unscreened([pitch])]) == ("in_review", [[Aspect.ESTIMATE]])


def test_the_database_carries_over_only_what_was_found(stage: Stage, company: Company, pitch: Pitch) -> None:
    pitch = again(stage, pitch)
    found = Screening.objects.get(revision__number=1, aspect="estimate")

    for wrong in ({"reason": "It is fine."}, {"finding": "problem"}, {"aspect": "compliance"}, {"by": company.mia}):
        row = {"aspect": "estimate", "finding": "feasible", "reason": WHY, "by": company.ivo} | wrong
        with pytest.raises(DatabaseError, match="is not what is carried over"), transaction.atomic():
            Screening.objects.create(revision=pitch.submitted, carried_from=found, **row)


def test_a_reviewer_finds_their_review_filled_in_and_it_counts_once_it_is_saved(
    stage: Stage, company: Company, pitch: Pitch
) -> None:
    pitch = again(stage, pitch, value_method=ANSWERED)
    dee = company.client(company.dee)

    answer = dee.get(path(pitch))

    review = page_of(answer).one("section", id="review")
    assert "Filled in from your review of revision 1. Nothing of it counts for revision 2 until" in review.text
    assert [term.text for term in review.one("dl", class_="changes").all("dt")] == ["From metric to dollars"]
    link = f"/pitches/{pitch.pk}/revisions/2/?against=1"
    assert link in [one.attrs["href"] for one in review.all("a")]
    filled = fields_of(page_of(answer))
    criteria = list(stage.round.criteria.order_by("position"))
    assert {name: filled[name] for name in filled if name.startswith(("score", "sentence", "exp", "revision"))} == {
        **{f"score-{row.pk}": "4" for row in criteria},
        **{f"sentence-{row.pk}": f"4 for {row.name}" for row in criteria},
        "expertise": "2",
        "revision": "2",
    }
    assert scores_of_round(stage.round)[pitch.pk].reviews == 0
    assert "Hidden until your own is in" in page_of(answer).text

    dee.post(path(pitch), filled | {f"score-{criteria[0].pk}": "8"})

    assert list(Review.objects.order_by("pk").values_list("reviewer", "revision__number")) == [
        (company.dee.pk, 1),
        (company.dee.pk, 2),
    ]
    scores = [
        [row.score for row in one.scores.order_by("criterion__position")] for one in Review.objects.order_by("pk")
    ]
    assert scores == [[4, 4, 4, 4], [8, 4, 4, 4]]
    assert scores_of_round(stage.round)[pitch.pk].reviews == 1
    after = page_of(dee.get(path(pitch)))
    assert "Filled in from" not in after.text
    assert fields_of(after)[f"score-{criteria[0].pk}"] == "8"


def test_who_did_not_review_the_earlier_one_finds_an_empty_form(stage: Stage, company: Company, pitch: Pitch) -> None:
    pitch = again(stage, pitch)

    page = page_of(company.client(company.fay).get(path(pitch)))

    assert "Filled in from" not in page.text
    assert {text for name, text in fields_of(page).items() if name.startswith(("score", "sentence"))} == {""}


def test_what_is_typed_wrong_over_what_was_filled_in_stays(stage: Stage, company: Company, pitch: Pitch) -> None:
    pitch = again(stage, pitch)
    dee = company.client(company.dee)
    filled = fields_of(page_of(dee.get(path(pitch))))
    first = f"score-{stage.round.criteria.order_by('position')[0].pk}"

    answer = dee.post(path(pitch), filled | {first: "12"})

    assert answer.status_code == 422
    assert fields_of(page_of(answer))[first] == "12"
    assert "Filled in from your review of revision 1." in page_of(answer).text
    assert Review.objects.count() == 1


def test_the_page_asks_as_often_whatever_changed(stage: Stage, company: Company, pitch: Pitch) -> None:
    dee, pitch = company.client(company.dee), again(stage, pitch, value_method=ANSWERED)
    once = queries_of(dee, path(pitch))
    services.pitch_return(actor=company.eli, pitch=pitch, note=NOTE)
    pitch = again(stage, pitch, value_method=ANSWERED, problem="Three read.", quality_bar="95 of 100.")

    assert queries_of(dee, path(pitch)) == once
