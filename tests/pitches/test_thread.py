"""Questions and answers on a pitch: who asks, who answers, who is told, and that a recused member sees none of it."""

import pytest
from django.db import Error, connection, transaction

from pitches import services
from pitches.content import ApplicantContent
from pitches.models import MessageKind, Pitch, ThreadMessage
from pitches.selectors.folder import open_questions, thread_shown
from pitches.services.thread import LONGEST_MESSAGE
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import AuditEvent, Notification, User
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, error_beside, page_of, typed
from tests.pitches.stage import Stage, content, of, queries_of

pytestmark = pytest.mark.django_db

COMMITTEE, READERS = {"dee", "eli", "fay", "gil"}, {"hana", "jo"}


def unsealed(stage: Stage) -> Pitch:
    """Submit a pitch to a round that then closes, so that the committee may read it."""
    pitch = stage.submitted()
    stage.to_review()
    return pitch


def ask(pitch: Pitch, member: User, body: str = "How was it measured?") -> ThreadMessage:
    return services.question_ask(actor=member, pitch=pitch, body=body)


def answer(question: ThreadMessage, person: User, body: str = "By hand, on 200 claims.") -> ThreadMessage:
    return services.question_answer(actor=person, pitch=question.pitch, question=question, body=body)


def told(person: User) -> list[tuple[str, str, str]]:
    return [(one.title, one.body, one.url) for one in Notification.objects.filter(user=person).order_by("pk")]


def test_a_question_is_answered_followed_up_and_answered_again(stage: Stage, company: Company) -> None:
    pitch = unsealed(stage)

    question = ask(pitch, company.dee)
    assert open_questions([pitch.pk]) == {pitch.pk: 1}
    answer(question, company.bo)
    assert open_questions([pitch.pk]) == {}
    services.question_ask(actor=company.eli, pitch=pitch, body="By whom?", question=question)
    assert open_questions([pitch.pk]) == {pitch.pk: 1}
    answer(question, company.ana, "By two of us.")

    thread = thread_shown(company.fay, pitch)
    assert thread is not None
    [row] = thread
    assert [(one.kind, one.author, one.body, one.revision.number) for one in (row.asked, *row.replies)] == [
        ("question", company.dee, "How was it measured?", 1),
        ("answer", company.bo, "By hand, on 200 claims.", 1),
        ("follow_up", company.eli, "By whom?", 1),
        ("answer", company.ana, "By two of us.", 1),
    ]
    events = AuditEvent.objects.filter(object_type="pitches.threadmessage").order_by("pk")
    assert [(event.verb, event.actor) for event in events] == [
        ("thread.question", company.dee),
        ("thread.answer", company.bo),
        ("thread.follow_up", company.eli),
        ("thread.answer", company.ana),
    ]


def test_the_team_is_told_of_a_question_and_whoever_asked_of_the_answer(stage: Stage, company: Company) -> None:
    pitch = unsealed(stage)
    Notification.objects.all().delete()

    question = ask(pitch, company.dee)
    services.question_ask(actor=company.eli, pitch=pitch, body="On which claims?", question=question)
    answer(question, company.ana)

    path = of("questions/", pitch)
    assert told(company.ana) == [
        ("The committee asks about Claims triage", "How was it measured?", path),
        ("The committee asks about Claims triage", "On which claims?", path),
    ]
    for member in (company.dee, company.eli):
        assert told(member) == [("Claims answered about Claims triage", "By hand, on 200 claims.", path)]
    assert told(company.fay) == told(company.gil) == told(company.cy) == []


def test_a_member_who_was_recused_since_is_told_nothing(stage: Stage, company: Company) -> None:
    pitch = unsealed(stage)
    question = ask(pitch, company.dee)
    services.recusal_declare(actor=company.dee, pitch=pitch, reason="I am joining that team")
    Notification.objects.all().delete()

    answer(question, company.ana)

    assert told(company.dee) == []


def test_who_may_read_the_thread(stage: Stage, company: Company) -> None:
    pitch = unsealed(stage)
    ask(pitch, company.dee)
    services.recusal_declare(actor=company.eli, pitch=pitch, reason="My brother works there")

    answers = {name: company.client(company.person(name)).get(of("questions/", pitch)) for name in PEOPLE}

    may_read = {"ana", "bo"} | (COMMITTEE - {"eli"}) | READERS
    assert {name for name, page in answers.items() if page.status_code == 200} == may_read
    assert {page.status_code for name, page in answers.items() if name not in may_read} == {404}
    for name in may_read:
        assert_readable(answers[name])
        assert "How was it measured?" in page_of(answers[name]).one("main").text


def test_a_recused_member_sees_nothing_of_it_anywhere(stage: Stage, company: Company) -> None:
    pitch = unsealed(stage)
    ask(pitch, company.dee, "Is the sample fair?")
    services.recusal_declare(actor=company.eli, pitch=pitch, reason="My brother works there")
    eli, fay = company.client(company.eli), company.client(company.fay)
    desk = f"/admin/pitches/round/{stage.round.pk}/desk/"
    read = f"/admin/pitches/round/pitch/{pitch.pk}/"

    for path in (of("", pitch), read, desk):
        words = eli.get(path).content.decode()
        assert "Is the sample fair?" not in words
        assert "open question" not in words
        assert "Questions and answers" not in words
        assert "1 question waits" not in words
    assert "1 open question" in fay.get(desk).content.decode()
    assert "Is the sample fair?" in fay.get(read).content.decode()
    assert eli.get(f"/api/v1/pitches/{pitch.pk}/questions/").status_code == 404


def test_only_the_committee_asks_and_only_the_team_answers(stage: Stage, company: Company) -> None:
    pitch = unsealed(stage)
    question = ask(pitch, company.dee)

    for name in set(PEOPLE) - COMMITTEE:
        with pytest.raises(NotAllowed):
            ask(pitch, company.person(name))
    for name in set(PEOPLE) - {"ana", "bo"}:
        with pytest.raises(NotAllowed):
            answer(question, company.person(name))


def test_a_co_applicant_reads_the_thread_and_answers_too(stage: Stage, company: Company) -> None:
    pitch = stage.submitted(applicants=(ApplicantContent(company.cy, "Owns the fraud marks"),))
    stage.to_review()
    question = ask(pitch, company.dee)
    cy, path = company.client(company.cy), of("questions/", pitch)
    assert "Read and answer" in page_of(cy.get(of("", pitch))).one("main").text

    assert cy.post(path, {"body": "By hand.", "question": question.pk}).status_code == 302

    assert ThreadMessage.objects.latest("pk").author == company.cy
    assert "By hand." in page_of(cy.get(path)).one("main").text


def test_a_recused_member_asks_nothing(stage: Stage, company: Company) -> None:
    pitch = unsealed(stage)
    services.recusal_declare(actor=company.dee, pitch=pitch, reason="I am joining that team")

    with pytest.raises(NotAllowed):
        ask(pitch, company.dee)
    with pytest.raises(Error), transaction.atomic():
        ThreadMessage.objects.create(
            pitch=pitch, revision=pitch.submitted, kind=MessageKind.QUESTION, author=company.dee, body="Still?"
        )


def test_a_draft_is_not_asked_about(stage: Stage, company: Company) -> None:
    with pytest.raises(NotAllowed):
        ask(stage.pitch(), company.dee)


def test_what_is_sealed_is_asked_about_by_who_has_looked_at_it(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    with pytest.raises(NotAllowed):
        ask(pitch, company.dee)
    assert company.client(company.dee).get(of("questions/", pitch)).status_code == 404

    stage.peek(company.dee, pitch)
    answer(ask(pitch, company.dee), company.ana)

    assert company.client(company.dee).get(of("questions/", pitch)).status_code == 200
    assert company.client(company.eli).get(of("questions/", pitch)).status_code == 404


def test_questions_end_with_the_decision_and_answers_with_its_publication(stage: Stage, company: Company) -> None:
    pitch = unsealed(stage)
    question = ask(pitch, company.dee)
    stage.to_decide(pitch)
    ask(pitch, company.fay, "One more thing?")
    answer(question, company.ana)
    stage.fund(pitch)
    services.round_publish(actor=company.gil, round_=stage.round)

    with pytest.raises(WrongState):
        ask(pitch, company.dee)
    with pytest.raises(WrongState):
        answer(question, company.ana)
    page = page_of(company.client(company.ana).get(of("questions/", pitch)))
    assert not page.all("textarea")
    assert "One more thing?" in page.one("main").text


@pytest.mark.parametrize(
    ("body", "code"),
    [("", "message_missing"), (" \r\n\t", "message_missing"), ("x" * (LONGEST_MESSAGE + 1), "message_too_long")],
)
def test_a_message_says_something_and_not_everything(stage: Stage, company: Company, body: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        ask(unsealed(stage), company.dee, body)

    assert (refused.value.code, refused.value.field) == (code, "body")


def test_a_reply_hangs_on_a_question_of_the_same_pitch(stage: Stage, company: Company) -> None:
    other = stage.submitted("Another")
    question = ask(unsealed(stage), company.dee)

    with pytest.raises(Refused) as refused:
        services.question_answer(actor=company.ana, pitch=other, question=question, body="Yes.")

    assert refused.value.code == "another_pitch"
    path, words = of("questions/", other), {"question": question.pk, "body": "Yes."}
    assert company.client(company.ana).post(path, words).status_code == 404
    with pytest.raises(Error), transaction.atomic():
        ThreadMessage.objects.create(
            pitch=other,
            revision=other.submitted,
            kind=MessageKind.ANSWER,
            question=question,
            author=company.ana,
            body="Yes.",
        )


def test_words_are_plain_text_with_their_lines(stage: Stage, company: Company) -> None:
    pitch = unsealed(stage)
    ask(pitch, company.dee, "Two things:\r\n<b>see</b> https://example.com\r\n\r\nAnd why?")

    answer_ = company.client(company.ana).get(of("questions/", pitch))

    assert "Two things:\n&lt;b&gt;see&lt;/b&gt; https://example.com\n\nAnd why?" in answer_.content.decode()
    said = page_of(answer_).one("p", class_="said")
    assert not said.all("a")
    assert not said.all("b")


def test_a_question_is_asked_and_answered_on_the_page(stage: Stage, company: Company) -> None:
    pitch = unsealed(stage)
    dee, ana = company.client(company.dee), company.client(company.ana)
    path = of("questions/", pitch)
    assert "No question yet" in page_of(dee.get(path)).one("main").text

    assert dee.post(path, {"body": "How was it measured?"})["Location"] == f"{path}#questions"
    question = ThreadMessage.objects.get()
    assert "Read and answer" in page_of(ana.get(of("", pitch))).one("main").text
    refused = ana.post(path, {"body": "x" * 4001, "question": question.pk})
    assert refused.status_code == 422
    assert "4000" in error_beside(refused, "body")
    assert typed(refused, "body") == "x" * 4001
    assert ana.post(path, {"body": "By hand.", "question": question.pk}).status_code == 302

    kinds = list(ThreadMessage.objects.order_by("pk").values_list("kind", flat=True))
    assert kinds == ["question", "answer"]
    assert company.client(company.cy).post(path, {"body": "Me too?"}).status_code == 404
    assert company.client(company.hana).post(path, {"body": "Me too?"}).status_code == 422
    assert company.client(company.dee, csrf=True).post(path, {"body": "Forged"}).status_code == 403


def test_a_question_names_the_revision_that_it_was_asked_about(stage: Stage, company: Company) -> None:
    pitch = unsealed(stage)
    first = ask(pitch, company.dee)
    services.pitch_return(actor=company.dee, pitch=pitch, note="Say how it was measured")
    services.pitch_submit(actor=company.ana, pitch=pitch, content=content(company.kim))

    second = answer(first, company.ana)

    assert (first.revision.number, second.revision.number) == (1, 2)


@pytest.mark.parametrize("change", ["UPDATE {} SET body = 'Never said'", "DELETE FROM {}"])
def test_what_was_said_stays_said(stage: Stage, company: Company, change: str) -> None:
    ask(unsealed(stage), company.dee)

    with pytest.raises(Error), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change.format("pitches_threadmessage"))


def test_programs_ask_and_answer(stage: Stage, company: Company) -> None:
    pitch = unsealed(stage)
    path = f"/api/v1/pitches/{pitch.pk}/questions/"
    dee, ana = company.client(company.dee), company.client(company.ana)

    asked = dee.post(path, {"body": "How was it measured?"}, content_type="application/json")
    assert (asked.status_code, asked.json()["kind"], asked.json()["revision"]) == (201, "question", 1)
    number = asked.json()["id"]
    said = ana.post(path, {"body": "By hand.", "question": number}, content_type="application/json")
    assert (said.status_code, said.json()["kind"], said.json()["question"]) == (201, "answer", number)
    assert [one["author"] for one in ana.get(path).json()] == ["Dee Example", "Ana Example"]
    empty = dee.post(path, {"body": " "}, content_type="application/json")
    assert (empty.status_code, empty.json()["error"]["code"]) == (422, "message_missing")
    assert ana.post(path, {"body": "Why?"}, content_type="application/json").json()["error"]["code"] == "not_allowed"
    assert company.client(company.cy).get(path).status_code == 404


def test_a_long_thread_asks_no_more_of_the_database(stage: Stage, company: Company) -> None:
    pitch = unsealed(stage)
    answer(ask(pitch, company.dee), company.ana)
    gil = company.client(company.gil)
    paths = [of("questions/", pitch), of("", pitch), f"/admin/pitches/round/{stage.round.pk}/desk/"]
    before = [queries_of(gil, path) for path in paths]

    for member in (company.eli, company.fay):
        answer(ask(pitch, member, "And this?"), company.bo)

    assert [queries_of(gil, path) for path in paths] == before
