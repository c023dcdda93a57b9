"""Conflicts by type: what rules find, what members declare for a whole round, and who lets whom back in."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.money import usd
from ledger.selectors import today
from pitches import services
from pitches.models import Choice, Declaration, DeclarationAnswer, Expertise, Pitch, Recusal, RecusalType, Review
from pitches.selectors.conflicts import is_conflicted, judged_by, rule_type, undeclared
from pitches.selectors.desk import desk_of
from pitches.selectors.scores import PitchScores, scores_of_round
from pitches.services import Calendar, ConflictAnswer, Rules
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import AuditEvent, Notification, Role, TeamRole, User
from teams.selectors import standing_forget
from teams.services import business_unit_head_set, membership_set, role_grant
from tests.cast import Company
from tests.pages import error_beside, page_of
from tests.pitches.stage import Stage, content, queries_of

pytestmark = pytest.mark.django_db

NONE = ConflictAnswer()
MONEY = ConflictAnswer(RecusalType.FINANCIAL, "I hold shares in its supplier.")
Way = Callable[[Stage, User], None]


def unseal(stage: Stage) -> None:
    """Close the round for pitches: what came in is known now, and nobody has declared yet."""
    services.review_start(actor=stage.company.gil, round_=stage.round)
    stage.now()


def owns(stage: Stage, dee: User) -> None:
    Pitch.objects.update(owner=dee)


def joins(stage: Stage, dee: User) -> None:
    membership_set(actor=stage.company.system, user=dee, team=stage.company.claims, role=TeamRole.MEMBER)


def heads_the_unit(stage: Stage, dee: User) -> None:
    business_unit_head_set(actor=stage.company.system, unit=stage.company.insurance, head=dee)


def works_under_the_owner(stage: Stage, dee: User) -> None:
    company = stage.company
    membership_set(actor=company.system, user=dee, team=company.fraud, role=TeamRole.MEMBER)
    business_unit_head_set(actor=company.system, unit=company.security, head=company.ana)


def signs_off(stage: Stage, dee: User) -> None:
    pitch = Pitch.objects.get()
    stage.peek(stage.company.eli, pitch)
    services.pitch_return(actor=stage.company.eli, pitch=pitch, note="Who signs off its value?")
    services.pitch_submit(actor=stage.company.ana, pitch=pitch, content=content(dee))


RULES: list[tuple[Way, RecusalType, str]] = [
    (owns, RecusalType.OWNER, "Dee Example owns the pitch."),
    (joins, RecusalType.SAME_TEAM, "Dee Example belongs to the team Claims."),
    (heads_the_unit, RecusalType.REPORTING_LINE, "Dee Example heads the business unit Insurance."),
    (
        works_under_the_owner,
        RecusalType.REPORTING_LINE,
        "Dee Example belongs to a business unit that Ana Example heads, who owns the pitch.",
    ),
    (signs_off, RecusalType.SIGN_OFF, "Dee Example answers for the value of the pitch."),
]


@pytest.mark.parametrize(("arises", "found", "reason"), RULES)
def test_a_rule_finds_a_conflict_and_says_of_which_type(
    stage: Stage, company: Company, arises: Way, found: RecusalType, reason: str
) -> None:
    pitch = stage.submitted()
    assert rule_type(pitch, company.dee) is None

    arises(stage, company.dee)
    services.review_start(actor=company.gil, round_=stage.round)

    noted = Recusal.objects.get(member=company.dee)
    assert (noted.kind, noted.type, noted.reason) == ("rule", found, reason)
    assert is_conflicted(company.dee, pitch)
    assert not is_conflicted(company.eli, pitch)


def test_who_signs_off_is_asked_of_the_revision_that_stands(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    signs_off(stage, company.dee)
    pitch.refresh_from_db()
    stage.peek(company.eli, pitch)
    services.pitch_return(actor=company.eli, pitch=pitch, note="Somebody outside the committee, please.")
    services.pitch_submit(actor=company.ana, pitch=pitch, content=content(company.kim))

    pitch.refresh_from_db()
    assert rule_type(pitch, company.dee) is None
    # What was noted stays: nobody is let back in by an edit of the team.
    assert is_conflicted(company.dee, pitch)


def test_a_member_declares_for_the_whole_round_at_once(stage: Stage, company: Company) -> None:
    first, second, third = stage.submitted("First"), stage.submitted("Second"), stage.submitted("Third")
    answers = {first.pk: NONE, second.pk: MONEY, third.pk: NONE}
    unseal(stage)

    services.declaration_make(actor=company.dee, round_=stage.round, answers=answers)

    kept = DeclarationAnswer.objects.order_by("pitch_id").values_list("pitch_id", "type", "reason")
    assert list(kept) == [(first.pk, "", ""), (second.pk, "financial", MONEY.reason), (third.pk, "", "")]
    recusal = Recusal.objects.get()
    assert (recusal.pitch, recusal.kind, recusal.type, recusal.state) == (second, "declared", "financial", "recused")
    event = AuditEvent.objects.get(verb="round.declare")
    assert (event.actor, event.details) == (
        company.dee,
        {"round": stage.round.pk, "pitches": 3, "conflicts": 1},
    )
    assert list(undeclared(company.dee, stage.round)) == []
    assert list(undeclared(company.eli, stage.round)) == [first, second, third]


def test_every_pitch_needs_an_answer_and_a_conflict_a_reason(stage: Stage, company: Company) -> None:
    first, second = stage.submitted("First"), stage.submitted("Second")
    unseal(stage)
    wrong: list[tuple[dict[int, ConflictAnswer], str, str]] = [
        ({first.pk: NONE}, "answer_missing", f"type-{second.pk}"),
        ({first.pk: NONE, second.pk: ConflictAnswer(RecusalType.OTHER, "hm")}, "reason_missing", f"reason-{second.pk}"),
        ({first.pk: NONE, second.pk: NONE, 10**9: NONE}, "not_in_round", f"type-{10**9}"),
    ]

    for answers, code, field in wrong:
        with pytest.raises(Refused) as refused:
            services.declaration_make(actor=company.dee, round_=stage.round, answers=answers)
        assert (refused.value.code, refused.value.field) == (code, field)
    assert (Declaration.objects.count(), Recusal.objects.count()) == (0, 0)


def test_only_members_declare_and_only_while_the_committee_is_at_work(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    unseal(stage)
    for stranger in (company.ana, company.hana, company.ivo, company.jo):
        with pytest.raises(NotAllowed):
            services.declaration_make(actor=stranger, round_=stage.round, answers={pitch.pk: NONE})
    services.round_cancel(actor=company.gil, round_=stage.round, reason="Another time")

    with pytest.raises(WrongState):
        services.declaration_make(actor=company.dee, round_=stage.round, answers={})


def test_a_review_opens_only_after_the_declaration(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    services.review_start(actor=company.gil, round_=stage.round)

    def review() -> None:
        services.review_submit(
            actor=company.dee, pitch=pitch, revision_number=1, marks=stage.marks(), expertise=Expertise.EXPERT
        )

    with pytest.raises(Refused, match="First declare"):
        review()
    with pytest.raises(DatabaseError, match="has not declared yet"), transaction.atomic():
        Review.objects.create(revision=pitch.submitted, reviewer=company.dee, expertise=1)
    stage.declared(company.dee)
    review()
    assert Review.objects.get().reviewer == company.dee


def test_while_the_round_is_sealed_there_is_nothing_to_declare_about(stage: Stage, company: Company) -> None:
    pitch = stage.submitted("First")

    assert list(undeclared(company.dee, stage.round)) == []
    with pytest.raises(Refused) as refused:
        services.declaration_make(actor=company.dee, round_=stage.round, answers={pitch.pk: NONE})
    assert refused.value.code == "not_in_round"
    unseal(stage)
    assert list(undeclared(company.dee, stage.round)) == [pitch]


def test_in_a_fast_lane_a_pitch_that_comes_later_is_declared_about_as_well(stage: Stage, company: Company) -> None:
    until = datetime.now(UTC) + timedelta(days=200)
    round_ = services.round_create(
        actor=company.gil,
        name="Fast lane",
        cap=usd("5000"),
        calendar=Calendar.of_fast_lane(until, until + timedelta(days=14)),
        starts_on=today(),
        months=6,
        rules=Rules(reserve_share=Decimal(0), fast_lane_limit=Decimal(2500)),
    )
    for member in stage.members:
        services.seat_set(actor=company.gil, round_=round_, user=member, is_chair=member == company.gil)
    services.round_open(actor=company.gil, round_=round_, reason="For small things")
    lane = Stage(company, round_, stage.models, stage.members)
    lane.now()
    lane.submitted("First")
    lane.declared(company.dee)

    later = lane.submitted("Later")

    assert list(undeclared(company.dee, lane.round)) == [later]


def test_a_declaration_is_never_changed_but_made_anew(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    unseal(stage)
    stage.declared(company.dee)
    with pytest.raises(DatabaseError), transaction.atomic():
        DeclarationAnswer.objects.update(type="other", reason="Nobody will notice.")
    with pytest.raises(DatabaseError), transaction.atomic():
        Declaration.objects.all().delete()

    services.declaration_make(actor=company.dee, round_=stage.round, answers={pitch.pk: MONEY})

    assert list(DeclarationAnswer.objects.order_by("pk").values_list("type", flat=True)) == ["", "financial"]
    assert is_conflicted(company.dee, pitch)


def test_one_button_says_of_all_that_is_left_blank_that_there_is_no_conflict(stage: Stage, company: Company) -> None:
    first, second, third = stage.submitted("First"), stage.submitted("Second"), stage.submitted("Third")
    unseal(stage)
    dee, path = company.client(company.dee), f"/admin/pitches/round/{stage.round.pk}/declare/"
    said = {f"type-{second.pk}": "financial", f"reason-{second.pk}": MONEY.reason}

    assert dee.post(path, said).status_code == 422
    assert dee.post(path, said | {"rest": "none"}).status_code == 302

    kept = DeclarationAnswer.objects.order_by("pitch_id").values_list("pitch_id", "type")
    assert list(kept) == [(first.pk, ""), (second.pk, "financial"), (third.pk, "")]
    assert list(undeclared(company.dee, stage.round)) == []


def test_the_page_lists_every_pitch_once_and_what_a_rule_found(stage: Stage, company: Company) -> None:
    role_grant(actor=company.system, user=company.cy, role=Role.COMMITTEE)
    services.seat_set(actor=company.gil, round_=stage.round, user=company.cy)
    stage.submitted("Fraud graph", team=company.fraud, lead=company.cy)
    first, second = stage.submitted("First"), stage.submitted("Second")
    unseal(stage)
    standing_forget(company.cy)
    cy, path = company.client(company.cy), f"/admin/pitches/round/{stage.round.pk}/declare/"

    page = page_of(cy.get(path))
    assert [legend.text for legend in page.all("legend")] == [
        f"First {first.number} · Claims",
        f"Second {second.number} · Claims",
    ]
    assert [title.text for title in page.all("h3")] == ["You are recused from 1", "Without an answer: 2"]
    assert "you are recused. Owns the pitch, found by rule: Cy Example owns the pitch." in page.text

    half = cy.post(path, {f"type-{first.pk}": "none", f"type-{second.pk}": "financial"})
    assert half.status_code == 422
    assert error_beside(half, f"reason-{second.pk}") == "Say what the conflict is."
    select = page_of(half).one("select", name=f"type-{second.pk}")
    assert [one.attrs["value"] for one in select.all("option") if "selected" in one.attrs] == ["financial"]

    said = {f"type-{first.pk}": "none", f"type-{second.pk}": "financial", f"reason-{second.pk}": MONEY.reason}
    assert cy.post(path, said)["Location"] == f"/admin/pitches/round/{stage.round.pk}/desk/"
    assert is_conflicted(company.cy, second)
    for name in ("ana", "hana", "ivo", "jo"):
        assert company.client(company.person(name)).get(path).status_code in {302, 404}


def test_forty_pitches_are_one_page_in_groups_with_a_field_to_find_one(stage: Stage, company: Company) -> None:
    first = stage.submitted("Pitch 1")
    pitches = [first, *(stage.submitted(f"Pitch {number}") for number in range(2, 41))]
    unseal(stage)
    dee, path = company.client(company.dee), f"/admin/pitches/round/{stage.round.pk}/declare/"
    forty = queries_of(dee, path)

    page = page_of(dee.get(path))
    assert [title.text for title in page.all("h3")] == ["Without an answer: 40"]
    assert page.one("input", id="declare-filter").attrs["aria-controls"] == "declare"
    found = [row.attrs["data-row"] for row in page.all("fieldset", class_="said")]
    assert found == [f"{pitch.title} {pitch.number} Claims" for pitch in pitches]
    # Nothing is said for anybody: each row stands on "Choose" until they choose, or press the button for the rest.
    assert {one.attrs["value"] for one in page.all("option") if "selected" in one.attrs} <= {""}

    dee.post(path, {f"type-{pitch.pk}": "none" for pitch in pitches[:3]} | {"rest": "none"})
    later = page_of(dee.get(path))
    assert [title.text for title in later.all("h3")] == ["Answered: 40"]

    Pitch.objects.filter(pk__in=[pitch.pk for pitch in pitches[1:]]).update(state="withdrawn")
    assert queries_of(dee, path) == forty


def test_where_the_chair_has_a_conflict_another_member_judges(stage: Stage, company: Company) -> None:
    pitch, other = stage.submitted("His"), stage.submitted("Another")
    unseal(stage)
    own = services.recusal_declare(actor=company.gil, pitch=pitch, reason="I advised the team.")
    hers = services.recusal_declare(actor=company.dee, pitch=pitch, reason="I advised the team too.")
    elsewhere = services.recusal_declare(actor=company.dee, pitch=other, reason="I know its owner well.")

    assert judged_by(company.eli, stage.round) == {pitch.pk}
    assert judged_by(company.gil, stage.round) == {other.pk}
    assert judged_by(company.dee, stage.round) == set()
    told = Notification.objects.filter(title="Dee Example declared a conflict about His, revision 1")
    assert {line.user for line in told} == {company.eli, company.fay}
    eli = company.client(company.eli)
    page = page_of(eli.get(f"/admin/pitches/round/{stage.round.pk}/committee/"))
    forms = [form.attrs["action"] for form in page.all("form") if "/conflicts/" in form.attrs.get("action", "")]
    assert forms == [f"/admin/pitches/round/{stage.round.pk}/conflicts/{row.pk}/" for row in (own, hers)]

    services.recusal_waive(actor=company.eli, recusal=own, plan="It was ten years ago, and unpaid.")
    with pytest.raises(NotAllowed):
        services.recusal_waive(actor=company.eli, recusal=elsewhere, plan="It was ten years ago.")
    # Gil is back, so that he judges again.
    services.recusal_waive(actor=company.gil, recusal=hers, plan="She reads the figures only.")
    with pytest.raises(NotAllowed):
        services.recusal_dismiss(actor=company.eli, recusal=hers, plan="It was long ago.")


INPUTS = st.tuples(st.integers(1, 9), st.sampled_from(list(Choice)), st.booleans())


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=INPUTS, other=st.integers(1, 9))
def test_a_conflicted_members_input_changes_nothing_for_that_pitch(
    stage: Stage, company: Company, said: tuple[int, Choice, bool], other: int
) -> None:
    """Play the same vote without her, and with whatever she said before she stepped aside: every figure is the same."""
    score, choice, reviews = said

    def play(*, with_dee: bool) -> tuple[dict[str, object], object]:
        with transaction.atomic():
            pitch = stage.submitted()
            stage.to_review()
            stage.review(company.eli, pitch, other)
            if with_dee and reviews:
                stage.review(company.dee, pitch, score)
            stage.to_vote()
            if with_dee:
                stage.vote(company.dee, pitch, choice, score)
            for member in (company.gil, company.eli, company.fay):
                stage.vote(member, pitch, Choice.YES, other)
            services.recusal_declare(actor=company.dee, pitch=pitch, reason="I remember now: my sister works there.")
            services.voting_close(actor=company.gil, round_=stage.round)
            scores = scores_of_round(stage.now())[pitch.pk]
            row = desk_of(company.gil, stage.round).rows[0]
            found = figures(scores), (row.reviews, row.eligible, row.dots)
            transaction.set_rollback(True)
        stage.now()
        return found

    assert play(with_dee=True) == play(with_dee=False)


def figures(scores: PitchScores) -> dict[str, object]:
    names = ("eligible", "reviews", "review_score", "disagreement", "cast", "yes", "no", "abstained", "ballot_score")
    found: dict[str, object] = {name: getattr(scores, name) for name in names}
    return found | {"scores": sorted(scores.scores), "quorum": [scores.has_quorum(least) for least in range(1, 6)]}


def test_the_quorum_counts_only_those_who_may_vote(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    for member in (company.fay, company.eli):
        services.recusal_declare(actor=member, pitch=pitch, reason="I built its pilot.")
    stage.to_vote()
    for member in (company.gil, company.dee):
        stage.vote(member, pitch)
    services.voting_close(actor=company.gil, round_=stage.round)

    scores = scores_of_round(stage.now())[pitch.pk]
    assert (scores.eligible, scores.has_quorum(2), scores.has_quorum(3)) == (2, True, False)


def test_types_are_known_to_the_database(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    services.recusal_declare(actor=company.dee, pitch=pitch, reason="I built its pilot.")

    with connection.cursor() as cursor, pytest.raises(DatabaseError, match="recusal_type_known"), transaction.atomic():
        cursor.execute("UPDATE pitches_recusal SET type = 'friend'")
