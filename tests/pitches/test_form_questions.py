"""What a round asks for itself: set while it is prepared, asked under conditions, kept as it was asked."""

from collections.abc import Mapping
from typing import Any

import pytest
from django.db import Error, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from ledger.money import usd
from ledger.selectors import today
from pitches import services
from pitches.asking import (
    DEFAULT_CHECKLIST,
    Asked,
    Check,
    Condition,
    Terms,
    answer_clean,
    answer_words,
    answers_kept,
    questions_shown,
)
from pitches.forms.pitch import PitchDraft
from pitches.models import ChecklistItem, Pitch, Round, RoundQuestion
from pitches.questions import Answer, DataClass, QuestionKind, SectionCode
from pitches.selectors.asking import terms_of
from pitches.selectors.pitches import revision_whole
from pitches.selectors.revisions import changes_between, facts_of
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import AuditEvent
from tests.cast import Company
from tests.pages import assert_readable, error_beside, page_of
from tests.pages import typed as stands_in
from tests.pitches.stage import Stage, calendar, content, of, open_round_asking, queries_of, typed

BASIS = Asked(
    "legal_basis",
    SectionCode.DATA,
    "On what legal basis is the data used?",
    QuestionKind.CHOICE,
    choices=("Contract", "Consent", "Other"),
    shown_when=Condition("data_class", ("personal",)),
)
OTHER = Asked(
    "other_basis", SectionCode.DATA, "Which one?", QuestionKind.LONG, shown_when=Condition("legal_basis", ("Other",))
)
PEOPLE = Asked(
    "people", SectionCode.CASE, "How many people do it today?", QuestionKind.NUMBER, help="Full-time.", required=False
)
ASKED = (PEOPLE, BASIS, OTHER)
NO_PRINTING = Check("no_printing", "Nothing is printed.", explain_no=False)


@pytest.fixture
def asking(stage: Stage, company: Company) -> Round:
    """Give a story an open round that asks three questions, two of them under a condition."""
    return open_round_asking(company, Terms((*DEFAULT_CHECKLIST, NO_PRINTING), ASKED))


def drafted(company: Company, round_: Round) -> Pitch:
    return services.pitch_create(actor=company.ana, round_=round_, team=company.claims, title="Claims triage")


def said(company: Company, **changes: Any) -> Any:
    checks = {check.code: Answer.YES.value for check in (*DEFAULT_CHECKLIST, NO_PRINTING)}
    return content(company.kim, **{"compliance": checks, **changes})


def test_a_question_is_asked_when_its_condition_holds_and_that_of_every_question_it_rests_on() -> None:
    def shown(own: Mapping[str, str], **answers: str) -> set[str]:
        return set(questions_shown(ASKED, own, answers))

    assert shown({"data_class": "internal"}) == {"people"}
    assert shown({"data_class": "personal"}) == {"people", "legal_basis"}
    assert shown({"data_class": "personal"}, legal_basis="Other") == {"people", "legal_basis", "other_basis"}
    # The answer of a question that is not asked any more opens nothing.
    assert shown({"data_class": "public"}, legal_basis="Other") == {"people"}


def test_only_answers_to_questions_that_are_asked_are_needed_and_kept() -> None:
    assert answers_kept(ASKED, {"data_class": "public"}, {"legal_basis": "Consent", "people": "2 000"}) == {
        "people": "2000"
    }
    with pytest.raises(Refused) as refused:
        answers_kept(ASKED, {"data_class": "personal"}, {"legal_basis": "Other"})
    assert (refused.value.code, refused.value.field) == ("question_missing", "question-other_basis")


@given(st.dictionaries(st.sampled_from(["people", "legal_basis", "other_basis", "x"]), st.text(max_size=12)))
def test_whatever_is_answered_what_is_kept_was_asked_and_keeping_it_again_changes_nothing(
    answers: dict[str, str],
) -> None:
    own = {"data_class": "personal"}
    try:
        kept = answers_kept(ASKED, own, answers)
    except Refused:
        return
    assert kept.keys() <= questions_shown(ASKED, own, kept)
    assert answers_kept(ASKED, own, kept) == kept


@pytest.mark.parametrize(
    ("kind", "text", "kept"),
    [
        (QuestionKind.NUMBER, "20,000", "20000"),
        (QuestionKind.NUMBER, "-1.50", "-1.50"),
        (QuestionKind.DATE, " 2027-01-31 ", "2027-01-31"),
        (QuestionKind.YES_NO, "no", "no"),
        (QuestionKind.TEXT, " a b ", "a b"),
        (QuestionKind.NUMBER, "1.200,5", None),
        (QuestionKind.NUMBER, "٣", None),
        (QuestionKind.DATE, "31.01.2027", None),
        (QuestionKind.YES_NO, "perhaps", None),
        (QuestionKind.TEXT, "x" * 201, None),
    ],
)
def test_an_answer_is_kept_in_one_form_or_refused(kind: QuestionKind, text: str, kept: str | None) -> None:
    question = Asked("q", SectionCode.CASE, "What?", kind)
    if kept is not None:
        assert answer_clean(question, text) == kept
        return
    with pytest.raises(Refused):
        answer_clean(question, text)


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (QuestionKind.NUMBER, "1330.50", "1,330.50"),
        (QuestionKind.DATE, "2026-09-01", "1 Sep 2026"),
        (QuestionKind.YES_NO, "no", "No"),
        (QuestionKind.CHOICE, "yes", "yes"),
    ],
)
def test_an_answer_is_read_by_people(kind: QuestionKind, text: str, words: str) -> None:
    assert answer_words(kind, text) == words


def prepared(company: Company) -> Round:
    return services.round_create(
        actor=company.gil, name="Q2", cap=usd(1000), calendar=calendar(), starts_on=today(), months=3
    )


@pytest.mark.django_db
def test_a_new_round_asks_the_usual_checklist_and_no_questions(company: Company) -> None:
    assert terms_of(prepared(company)) == Terms(DEFAULT_CHECKLIST)


@pytest.mark.django_db
def test_what_a_round_asks_is_set_while_it_is_prepared_and_stands_in_its_history(company: Company) -> None:
    round_ = prepared(company)

    services.terms_set(actor=company.hana, round_=round_, terms=Terms((NO_PRINTING,), ASKED))

    assert terms_of(round_) == Terms((NO_PRINTING,), ASKED)
    event = AuditEvent.objects.get(verb="round.questions_set")
    assert (event.actor, event.details) == (company.hana, {"questions": ["people", "legal_basis", "other_basis"]})


@pytest.mark.django_db
def test_another_round_can_ask_the_same(company: Company, asking: Round) -> None:
    round_ = prepared(company)

    services.terms_copy(actor=company.gil, source=asking, target=round_)

    assert terms_of(round_) == terms_of(asking)


@pytest.mark.django_db
def test_members_do_not_set_what_a_round_asks(company: Company) -> None:
    with pytest.raises(NotAllowed):
        services.questions_set(actor=company.dee, round_=prepared(company), questions=ASKED)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("questions", "field"),
    [
        ([Asked("Legal", SectionCode.CASE, "What?", QuestionKind.TEXT)], "questions-0-code"),
        ([Asked("data_class", SectionCode.CASE, "What?", QuestionKind.TEXT)], "questions-0-code"),
        ([PEOPLE, PEOPLE], "questions-1-code"),
        ([Asked("q", SectionCode.CASE, " ", QuestionKind.TEXT)], "questions-0-text"),
        ([Asked("q", SectionCode.CASE, "What?", QuestionKind.CHOICE, choices=("One",))], "questions-0-choices"),
        ([Asked("q", SectionCode.CASE, "What?", QuestionKind.TEXT, choices=("A", "B"))], "questions-0-choices"),
        ([OTHER, BASIS], "questions-0-when_field"),
        (
            [Asked("q", SectionCode.CASE, "W?", QuestionKind.TEXT, shown_when=Condition("data_class", ("secret",)))],
            "questions-0-when_is",
        ),
        (
            [PEOPLE, Asked("q", SectionCode.CASE, "W?", QuestionKind.TEXT, shown_when=Condition("people", ("3",)))],
            "questions-1-when_field",
        ),
    ],
)
def test_questions_that_could_not_be_asked_are_refused(company: Company, questions: list[Asked], field: str) -> None:
    with pytest.raises(Refused) as refused:
        services.questions_set(actor=company.gil, round_=prepared(company), questions=questions)

    assert refused.value.field == field
    assert RoundQuestion.objects.count() == 0


@pytest.mark.django_db
def test_nothing_of_it_changes_once_the_round_is_open(company: Company, asking: Round) -> None:
    with pytest.raises(WrongState):
        services.questions_set(actor=company.gil, round_=asking, questions=())
    with pytest.raises(WrongState):
        services.checklist_set(actor=company.gil, round_=asking, checklist=())
    for table in (RoundQuestion, ChecklistItem):
        for change in ("UPDATE {} SET text = 'Other'", "DELETE FROM {}"):
            with (
                pytest.raises(Error, match="fixed since it opened"),
                transaction.atomic(),
                connection.cursor() as cursor,
            ):
                cursor.execute(change.format(table._meta.db_table))


@pytest.mark.django_db
def test_a_submission_keeps_answers_and_questions_as_they_were_asked(company: Company, asking: Round) -> None:
    pitch = drafted(company, asking)
    answers = {"people": "12", "legal_basis": "Other", "other_basis": "A law.", "unknown": "x"}

    services.pitch_submit(
        actor=company.ana, pitch=pitch, content=said(company, data_class=DataClass.PERSONAL, answers=answers)
    )

    pitch.refresh_from_db()
    revision = pitch.submitted
    assert revision.answers == {"people": "12", "legal_basis": "Other", "other_basis": "A law."}
    assert [row["text"] for row in revision.questions] == [question.text for question in ASKED]
    assert revision.checklist[-1] == {"code": "no_printing", "text": "Nothing is printed."}
    whole = revision_whole(pitch)
    assert whole is not None
    facts = {fact.label: fact.text for fact in facts_of(whole)}
    assert (facts["Which one?"], facts["Nothing is printed."]) == ("A law.", "Yes")


@pytest.mark.django_db
def test_the_answer_to_a_question_that_is_hidden_is_not_kept(company: Company, asking: Round) -> None:
    pitch = drafted(company, asking)

    services.pitch_submit(actor=company.ana, pitch=pitch, content=said(company, answers={"legal_basis": "Contract"}))

    pitch.refresh_from_db()
    assert (pitch.submitted.answers, pitch.submitted.questions) == ({}, [])


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"data_class": DataClass.PERSONAL}, "question_missing", "question-legal_basis"),
        ({"data_class": DataClass.PERSONAL, "answers": {"legal_basis": "Luck"}}, "invalid", "question-legal_basis"),
        ({"answers": {"people": "a few"}}, "invalid", "question-people"),
        ({"compliance": {}}, "checklist_missing", "compliance-minimised"),
    ],
)
def test_a_submission_that_does_not_answer_is_refused(
    company: Company, asking: Round, changes: dict[str, Any], code: str, field: str
) -> None:
    with pytest.raises(Refused) as refused:
        services.pitch_submit(actor=company.ana, pitch=drafted(company, asking), content=said(company, **changes))

    assert (refused.value.code, refused.value.field) == (code, field)


@pytest.mark.django_db
def test_a_no_is_explained_where_the_checklist_says_so(company: Company, asking: Round) -> None:
    yes = {check.code: Answer.YES.value for check in DEFAULT_CHECKLIST}
    pitch = drafted(company, asking)

    no = {**yes, "checked": "no", "no_printing": "yes"}
    with pytest.raises(Refused) as refused:
        services.pitch_submit(actor=company.ana, pitch=pitch, content=said(company, compliance=no))
    assert refused.value.field == "compliance_note"
    services.pitch_submit(
        actor=company.ana, pitch=pitch, content=said(company, compliance={**yes, "no_printing": "no"})
    )


@pytest.mark.django_db
def test_a_draft_checks_what_the_submission_would(company: Company, asking: Round) -> None:
    pitch = drafted(company, asking)
    fields = typed(company.kim, **{"compliance-no_printing": "yes", "data_class": "personal"})

    def wrong(**more: str) -> dict[str, list[str]]:
        return PitchDraft(fields | {f"question-{code}": text for code, text in more.items()}, pitch).messages()

    assert wrong() == {"question-legal_basis": ["This field is required."]}
    assert wrong(legal_basis="Other") == {"question-other_basis": ["This field is required."]}
    assert wrong(legal_basis="Luck") == {"question-legal_basis": ["Choose one of the answers."]}
    assert wrong(legal_basis="Contract", other_basis="x" * 9999, people="1,000") == {}


@pytest.mark.django_db
def test_the_form_hides_what_is_not_asked_and_tells_the_page_when_it_is(company: Company, asking: Round) -> None:
    ana, pitch = company.client(company.ana), drafted(company, asking)

    def hidden() -> list[bool]:
        page = page_of(ana.get(of("edit/", pitch)))
        return ["hidden" in place.attrs for place in page.all("div", class_="asked")]

    assert hidden() == [False, True, True]
    services.draft_save(
        actor=company.ana, pitch=pitch, typed={"data_class": "personal", "question-legal_basis": "Other"}, version=0
    )
    answer = ana.get(of("edit/", pitch))
    assert hidden() == [False, False, False]
    places = page_of(answer).all("div", class_="asked")
    assert [(place.attrs.get("data-when"), place.attrs.get("data-is")) for place in places] == [
        (None, None),
        ("data_class", '["personal"]'),
        ("question-legal_basis", '["Other"]'),
    ]
    assert_readable(answer)


@pytest.mark.django_db
def test_what_is_answered_is_saved_checked_and_shown_to_everybody_who_reads_it(company: Company, asking: Round) -> None:
    ana, pitch = company.client(company.ana), drafted(company, asking)
    fields = {**typed(company.kim, data_class="personal"), "compliance-no_printing": "yes", "version": "0"}

    answer = ana.post(of("edit/", pitch), {**fields, "question-people": "a few", "intent": "submit"})

    assert answer.status_code == 422
    assert error_beside(answer, "question-people") == "Write a number such as 20000, 20,000 or 1.5."
    assert error_beside(answer, "question-legal_basis") == "This field is required."
    assert stands_in(answer, "question-people") == "a few"
    good = {**fields, "question-people": "12", "question-legal_basis": "Consent", "version": "1", "intent": "submit"}
    assert ana.post(of("edit/", pitch), good).status_code == 302
    services.review_start(actor=company.gil, round_=asking)
    for reader, path in ((company.ana, of("", pitch)), (company.dee, f"/admin/pitches/round/pitch/{pitch.pk}/")):
        words = page_of(company.client(reader).get(path)).one("main" if reader == company.ana else "body").text
        assert "On what legal basis is the data used? Consent" in words
    told = company.client(company.jo).get(f"/api/v1/pitches/{pitch.pk}/").json()["content"]
    assert told["answers"] == [
        {"code": "people", "question": "How many people do it today?", "answer": "12"},
        {"code": "legal_basis", "question": "On what legal basis is the data used?", "answer": "Consent"},
    ]


@pytest.mark.django_db
def test_another_answer_stands_in_the_diff(company: Company, asking: Round) -> None:
    pitch = drafted(company, asking)
    for people in ("12", "14"):
        services.pitch_submit(actor=company.ana, pitch=pitch, content=said(company, answers={"people": people}))
        if people == "12":
            services.review_start(actor=company.gil, round_=asking)
            services.pitch_return(actor=company.dee, pitch=pitch, note="How many people is it?")
    pitch.refresh_from_db()

    before, after = revision_whole(pitch, 1), revision_whole(pitch, 2)

    assert before is not None
    assert after is not None
    assert [change.label for change in changes_between(before, after)] == ["How many people do it today?"]


def editor(round_: Round) -> str:
    return f"/admin/pitches/round/{round_.pk}/questions/"


@pytest.mark.django_db
def test_the_chair_writes_questions_on_a_page_and_nothing_typed_is_lost(company: Company) -> None:
    round_, gil = prepared(company), company.client(company.gil)
    fields = {
        "questions-TOTAL_FORMS": "2",
        "questions-0-text": "Is the supplier new?",
        "questions-0-code": "new_supplier",
        "questions-0-section": "people",
        "questions-0-kind": "yes_no",
        "questions-0-required": "on",
        "questions-1-text": "Who checked them?",
        "questions-1-code": "checked by",
        "questions-1-section": "people",
        "questions-1-kind": "text",
        "questions-1-when_field": "new_supplier",
        "questions-1-when_is": "Yes",
        "checklist-TOTAL_FORMS": "1",
        "checklist-0-text": "Nothing is printed.",
        "checklist-0-code": "no_printing",
    }

    refused = gil.post(editor(round_), fields)
    assert refused.status_code == 422
    assert error_beside(refused, "questions-1-code") == "Small letters, digits and _, beginning with a letter."
    assert stands_in(refused, "questions-1-text") == "Who checked them?"
    added = gil.post(editor(round_), {**fields, "intent": "add-questions"})
    assert stands_in(added, "questions-2-text") == ""
    removed = gil.post(editor(round_), {**fields, "intent": "remove-questions-0"})
    assert stands_in(removed, "questions-0-text") == "Who checked them?"
    assert gil.post(editor(round_), {**fields, "questions-1-code": "checked_by"}).status_code == 302

    assert terms_of(round_) == Terms(
        (NO_PRINTING,),
        (
            Asked("new_supplier", SectionCode.PEOPLE, "Is the supplier new?", QuestionKind.YES_NO),
            Asked(
                "checked_by",
                SectionCode.PEOPLE,
                "Who checked them?",
                QuestionKind.TEXT,
                required=False,
                shown_when=Condition("new_supplier", ("yes",)),
            ),
        ),
    )


@pytest.mark.django_db
def test_what_an_open_round_asks_is_shown_and_not_edited(company: Company, asking: Round) -> None:
    page = page_of(company.client(company.dee).get(editor(asking)))

    assert "On what legal basis is the data used? only when data_class is personal" in page.one("body").text
    assert page.all("textarea") == []
    assert company.client(company.cy).get(editor(asking)).status_code in {302, 403, 404}


@pytest.mark.django_db
def test_a_form_with_three_questions_asks_as_often_as_one_with_one(company: Company, stage: Stage) -> None:
    few = drafted(company, open_round_asking(company, Terms(DEFAULT_CHECKLIST, ASKED[:1]), name="Few"))
    many = drafted(company, open_round_asking(company, Terms(DEFAULT_CHECKLIST, ASKED), name="Many"))
    ana, gil = company.client(company.ana), company.client(company.gil)

    assert queries_of(ana, of("edit/", few)) == queries_of(ana, of("edit/", many))
    assert queries_of(gil, editor(few.round)) == queries_of(gil, editor(many.round))
