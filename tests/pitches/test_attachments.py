"""Files of a pitch: what is taken and what is refused, who may read them, and that a revision keeps what it had."""

import hashlib
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import Error, connection, transaction
from django.test import Client

from pitches import services
from pitches.attachments import MOST_FILES
from pitches.models import Attachment, Pitch
from pitches.selectors.pitches import revision_whole
from pitches.selectors.revisions import changes_between
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import AuditEvent, User
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, error_beside, page_of
from tests.pitches import files
from tests.pitches.stage import Stage, content, of, typed

pytestmark = pytest.mark.django_db

TEAM, COMMITTEE, READERS = {"ana", "bo", "kim"}, {"dee", "eli", "fay", "gil"}, {"hana", "jo"}


def attach(pitch: Pitch, actor: User, name: str = "notes.txt", content: bytes = files.TXT) -> Attachment:
    return services.attachment_add(actor=actor, pitch=pitch, name=name, declared="", content=content)


def send(client: Client, pitch: Pitch, name: str, content: bytes, declared: str = "", **headers: Any) -> Any:
    upload = SimpleUploadedFile(name, content, content_type=declared)
    return client.post(of("attachments/", pitch), {"file": upload}, **headers)


# --- What is taken ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", files.TAKEN)
def test_every_kind_is_taken_and_comes_back_byte_for_byte(stage: Stage, company: Company, name: str) -> None:
    declared, content = files.TAKEN[name]
    pitch, ana = stage.pitch(), company.client(company.ana)

    assert send(ana, pitch, name, content, declared).status_code == 302

    attachment = Attachment.objects.get()
    assert (attachment.name, attachment.size) == (name, len(content))
    assert attachment.sha256 == hashlib.sha256(content).hexdigest()
    assert ana.get(of(f"attachments/{attachment.pk}/", pitch)).content == content


def test_a_refused_file_is_named_beside_the_field_and_nothing_is_kept(stage: Stage, company: Company) -> None:
    pitch, ana = stage.pitch(), company.client(company.ana)

    answer = send(ana, pitch, "plan.pdf", files.MARKUP, "application/pdf")

    assert answer.status_code == 422
    assert error_beside(answer, "file") == "plan.pdf is not PDF, whatever its name says."
    assert error_beside(ana.post(of("attachments/", pitch)), "file") == "Choose a file first."
    assert not Attachment.objects.exists()


# --- Adding and taking away ---------------------------------------------------------------------


def test_a_file_is_attached_beside_the_form_and_the_part_of_the_page_says_so(stage: Stage, company: Company) -> None:
    pitch, ana = stage.pitch(), company.client(company.ana)

    part = send(ana, pitch, "notes.txt", files.TXT, "text/plain", headers={"hx-request": "true"})

    assert part.status_code == 200
    assert page_of(part).one(id="attachments-said").text == "notes.txt is attached."
    wrong = send(ana, pitch, "notes.txt", files.MARKUP, "text/plain", headers={"hx-request": "true"})
    assert (wrong.status_code, "holds HTML or SVG" in error_beside(wrong, "file")) == (422, True)
    for path in ("edit/", "attachments/"):
        page = ana.get(of(path, pitch))
        assert_readable(page)
        assert "notes.txt" in page_of(page).one(id="attachments").text


def test_an_empty_folder_says_what_it_is_for(stage: Stage, company: Company) -> None:
    answer = company.client(company.ana).get(of("attachments/", stage.pitch()))

    assert_readable(answer)
    assert "what a reader should have beside them" in page_of(answer).one(id="attachments").text


def test_a_folder_has_room_for_ten(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()
    for number in range(MOST_FILES):
        attach(pitch, company.ana, content=b"file %d" % number)

    with pytest.raises(Refused) as refused:
        attach(pitch, company.ana, content=b"one more")

    assert refused.value.code == "too_many_files"
    page = page_of(company.client(company.ana).get(of("attachments/", pitch)))
    assert "A pitch holds at most 10 files." in page.one(id="attachments").text
    names = list(pitch.attachments.order_by("pk").values_list("name", flat=True))
    assert names == ["notes.txt", *(f"notes ({number}).txt" for number in range(2, 11))]


def test_the_same_file_is_there_once(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()
    attach(pitch, company.ana)

    with pytest.raises(Refused) as refused:
        attach(pitch, company.bo, "again.txt")

    assert (refused.value.code, refused.value.message) == (
        "file_there_already",
        "This file is there already, as notes.txt.",
    )


def test_only_the_team_changes_the_folder(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    services.pitch_return(actor=company.dee, pitch=pitch, note="How was it measured?")
    attachment = attach(pitch, company.bo)

    for name in set(PEOPLE) - {"ana", "bo"}:
        person, client = company.person(name), company.client(company.person(name))
        with pytest.raises(NotAllowed):
            attach(pitch, person, "theirs.txt", b"theirs")
        with pytest.raises(NotAllowed):
            services.attachment_remove(actor=person, attachment=attachment)
        assert send(client, pitch, "theirs.txt", b"theirs").status_code == 404
        assert client.post(of(f"attachments/{attachment.pk}/remove/", pitch)).status_code == 404


def test_a_co_applicant_changes_the_folder_too(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()
    applicant = {"applicants-0-email": "cy@acorn.example", "applicants-0-role": "Owns the fraud marks"}
    words = {**typed(company.kim), **applicant}
    services.draft_save(actor=company.ana, pitch=pitch, typed=words, version=pitch.draft_version)
    first, cy = attach(pitch, company.ana), company.client(company.cy)

    assert cy.get(of(f"attachments/{first.pk}/", pitch)).content == files.TXT
    assert send(cy, pitch, "graph.csv", files.CSV).status_code == 302
    assert cy.post(of(f"attachments/{first.pk}/remove/", pitch)).status_code == 302
    assert cy.get(of("similar/", pitch)).status_code == 200

    assert list(pitch.attachments.values_list("name", "added_by")) == [("graph.csv", company.cy.pk)]


def test_a_submitted_folder_is_closed(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()
    attachment = attach(pitch, company.ana)
    services.pitch_submit(actor=company.ana, pitch=pitch, content=content(company.kim))

    with pytest.raises(WrongState):
        attach(pitch, company.ana, "late.txt", b"late")
    with pytest.raises(WrongState):
        services.attachment_remove(actor=company.ana, attachment=attachment)
    ana = company.client(company.ana)
    assert send(ana, pitch, "late.txt", b"late").status_code == 422
    assert ana.post(of(f"attachments/{attachment.pk}/remove/", pitch)).status_code == 422
    assert ana.get(of("attachments/", pitch)).status_code == 302


def test_a_file_that_was_never_submitted_is_gone_once_it_is_taken_away(stage: Stage, company: Company) -> None:
    pitch, ana = stage.pitch(), company.client(company.ana)
    attachment = attach(pitch, company.ana)

    assert ana.post(of(f"attachments/{attachment.pk}/remove/", pitch)).status_code == 302

    assert not Attachment.objects.exists()
    assert ana.get(of(f"attachments/{attachment.pk}/", pitch)).status_code == 404
    events = AuditEvent.objects.filter(object_type="pitches.attachment").order_by("pk")
    assert [(event.verb, event.actor, event.details["name"]) for event in events] == [
        ("attachment.add", company.ana, "notes.txt"),
        ("attachment.remove", company.ana, "notes.txt"),
    ]
    assert events[1].details["sha256"] == attachment.sha256


def test_a_revision_keeps_what_it_was_submitted_with_and_the_next_says_what_changed(
    stage: Stage, company: Company
) -> None:
    pitch = stage.pitch()
    first = attach(pitch, company.ana)
    services.pitch_submit(actor=company.ana, pitch=pitch, content=content(company.kim))
    stage.to_review()
    services.pitch_return(actor=company.dee, pitch=pitch, note="How was it measured?")
    ana = company.client(company.ana)
    assert ana.post(of(f"attachments/{first.pk}/remove/", pitch)).status_code == 302
    second = attach(pitch, company.ana, "measured.csv", files.CSV)

    services.pitch_submit(actor=company.ana, pitch=pitch, content=content(company.kim))

    whole = [revision_whole(pitch, number) for number in (1, 2)]
    assert whole[0] is not None
    assert whole[1] is not None
    assert [[pin.attachment for pin in one.revision_attachments.all()] for one in whole if one] == [[first], [second]]
    changes = {change.label: "".join(piece.text for piece in change.pieces) for change in changes_between(*whole)}  # type: ignore[arg-type]
    assert changes == {
        "File measured.csv": f"CSV, {len(files.CSV)} bytes, SHA-256 begins with {second.sha256[:8]}",
        "File notes.txt": f"Text, {len(files.TXT)} bytes, SHA-256 begins with {first.sha256[:8]}",
    }
    dee = company.client(company.dee)
    assert dee.get(of(f"attachments/{first.pk}/", pitch)).content == files.TXT
    assert "notes.txt" in page_of(dee.get(of("revisions/1/", pitch))).one("main").text
    assert "measured.csv" in page_of(dee.get(of("", pitch))).one("main").text


def test_files_and_co_applicants_go_along_when_a_returned_pitch_continues_in_another_round(
    stage: Stage, company: Company
) -> None:
    pitch = stage.pitch()
    attach(pitch, company.ana)
    applicant = {"applicants-0-email": "cy@acorn.example", "applicants-0-role": "Owns the fraud marks"}
    services.draft_save(actor=company.ana, pitch=pitch, typed={**typed(company.kim), **applicant}, version=0)
    services.pitch_submit(actor=company.ana, pitch=pitch, content=content(company.kim))
    stage.submitted("Another")
    stage.to_review()
    services.pitch_return(actor=company.dee, pitch=pitch, note="How was it measured?")
    stage.to_vote()

    onward = services.pitch_carry_over(actor=company.ana, pitch=pitch, round_=stage.following())

    copy = onward.attachments.get()
    assert (copy.name, bytes(copy.content), copy.removed_at) == ("notes.txt", files.TXT, None)
    assert company.client(company.cy).get(of(f"attachments/{copy.pk}/", onward)).content == files.TXT


# --- Reading ------------------------------------------------------------------------------------


def test_a_file_is_handed_out_so_that_no_browser_shows_or_runs_it(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()
    attachment = attach(pitch, company.ana, 'Kosten "neu" für März.csv', files.CSV)

    answer = company.client(company.ana).get(of(f"attachments/{attachment.pk}/", pitch))

    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == "attachment; filename*=utf-8''Kosten%20_neu_%20f%C3%BCr%20M%C3%A4rz.csv"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"].startswith("default-src 'none'; sandbox;")
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer["Cache-Control"] == "private, no-store"


def test_the_files_of_a_draft_are_for_those_who_type_it(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    services.pitch_return(actor=company.dee, pitch=pitch, note="How was it measured?")
    attachment = attach(pitch, company.ana)

    path = of(f"attachments/{attachment.pk}/", pitch)

    assert {name for name in PEOPLE if company.client(company.person(name)).get(path).status_code == 200} == {
        "ana",
        "bo",
    }


def test_submitted_files_are_for_those_who_may_read_the_pitch_and_not_for_a_recused_member(
    stage: Stage, company: Company
) -> None:
    pitch = stage.pitch()
    attachment = attach(pitch, company.ana)
    services.pitch_submit(actor=company.ana, pitch=pitch, content=content(company.kim))
    services.recusal_declare(actor=company.eli, pitch=pitch, reason="My brother works there")

    path = of(f"attachments/{attachment.pk}/", pitch)
    sealed = {name for name in PEOPLE if company.client(company.person(name)).get(path).status_code == 200}
    stage.to_review()
    answers = {name: company.client(company.person(name)).get(path).status_code for name in PEOPLE}

    assert sealed == TEAM
    assert {name for name, status in answers.items() if status == 200} == TEAM | COMMITTEE - {"eli"} | READERS
    assert {answers[name] for name in set(PEOPLE) - TEAM - (COMMITTEE - {"eli"}) - READERS} == {404}
    assert Client().get(path)["Location"].startswith("/account/login/")


def test_a_file_belongs_to_its_own_pitch_alone(stage: Stage, company: Company) -> None:
    attachment, other = attach(stage.pitch(), company.ana), stage.pitch("Another")

    assert company.client(company.ana).get(of(f"attachments/{attachment.pk}/", other)).status_code == 404
    assert company.client(company.ana).post(of(f"attachments/{attachment.pk}/remove/", other)).status_code == 404


def test_a_request_from_another_site_attaches_nothing(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()

    assert send(company.client(company.ana, csrf=True), pitch, "notes.txt", files.TXT).status_code == 403


def test_programs_attach_list_read_and_take_away(stage: Stage, company: Company) -> None:
    pitch, ana = stage.pitch(), company.client(company.ana)
    path = f"/api/v1/pitches/{pitch.pk}/attachments/"

    made = ana.post(path, {"file": SimpleUploadedFile("plan.pdf", files.PDF, "application/pdf")})
    assert (made.status_code, made.json()["name"], made.json()["size"]) == (201, "plan.pdf", len(files.PDF))
    one = f"{path}{made.json()['id']}/"
    wrong = ana.post(path, {"file": SimpleUploadedFile("plan.pdf", files.MARKUP, "application/pdf")})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "kind_mismatch")
    assert ana.get(path).json() == [{**made.json(), "in_draft": True, "revisions": []}]
    assert ana.get(one).content == files.PDF
    assert company.client(company.cy).get(one).status_code == 404
    assert company.client(company.cy).get(path).status_code == 404
    services.pitch_submit(actor=company.ana, pitch=pitch, content=content(company.kim))
    assert company.client(company.jo).get(path).status_code == 404
    stage.to_review()
    assert company.client(company.jo).get(path).json()[0]["revisions"] == [1]
    assert ana.delete(one).json()["error"]["code"] == "wrong_state"
    services.pitch_return(actor=company.dee, pitch=pitch, note="How was it measured?")
    assert ana.delete(one).status_code == 204
    assert ana.get(path).json()[0]["in_draft"] is False


# --- What the database itself refuses -----------------------------------------------------------

ATTACKS: dict[str, Callable[[Attachment], None]] = {
    "other bytes": lambda one: _sql("UPDATE pitches_attachment SET content = 'x', size = 1 WHERE id = %s", one.pk),
    "another name": lambda one: _sql("UPDATE pitches_attachment SET name = 'x.txt' WHERE id = %s", one.pk),
    "gone from its revision": lambda one: _sql(
        "DELETE FROM pitches_revisionattachment WHERE attachment_id = %s", one.pk
    ),
    "gone altogether": lambda one: _sql("DELETE FROM pitches_attachment WHERE id = %s", one.pk),
    "a second file in a whole revision": lambda one: _sql(
        "INSERT INTO pitches_revisionattachment (revision_id, attachment_id, position)"
        " SELECT revision_id, attachment_id, 2 FROM pitches_revisionattachment WHERE attachment_id = %s",
        one.pk,
    ),
    "a digest of something else": lambda one: _sql(
        "INSERT INTO pitches_attachment (pitch_id, name, kind, size, sha256, content, added_by_id, added_at)"
        " SELECT pitch_id, 'b.txt', kind, 1, repeat('0', 64), 'x', added_by_id, now() FROM pitches_attachment"
        " WHERE id = %s",
        one.pk,
    ),
}


def _sql(statement: str, pk: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, [pk])


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_database_keeps_what_was_submitted(stage: Stage, company: Company, attack: str) -> None:
    pitch = stage.pitch()
    attachment = attach(pitch, company.ana)
    services.pitch_submit(actor=company.ana, pitch=pitch, content=content(company.kim))

    with pytest.raises(Error), transaction.atomic():
        ATTACKS[attack](attachment)


def test_the_owner_cannot_change_a_file_either(owner_connection: psycopg.Connection, stage: Stage) -> None:
    """The triggers hold without the run-time role's missing rights."""
    for function in ("pitches_attachment_guard", "pitches_pin_guard", "pitches_thread_guard"):
        rows = owner_connection.execute(
            "SELECT tgenabled FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE p.proname = %s", [function]
        ).fetchall()
        assert rows == [("A",)]
