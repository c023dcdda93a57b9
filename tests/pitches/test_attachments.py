"""Files of a pitch: what is taken and what is refused, who may read them, and that a revision keeps what it had."""

import hashlib
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import Error, connection, transaction
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from marketplace.asgi import most_bytes
from pitches import services
from pitches.attachments import LARGEST, LONGEST_NAME, MOST_FILES, file_check, name_clean
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


MARKUP = b"<!DOCTYPE html><script>alert(1)</script>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
BOTH = files.package(
    {
        "[Content_Types].xml": files.index(files.SHEET, files.LETTER),
        "xl/workbook.xml": "<workbook/>",
        "word/document.xml": "<document/>",
    }
)
ZIP = files.package({"readme.txt": "a plain archive"})
MACROS = files.package(
    {"[Content_Types].xml": files.index(files.LETTER), "word/document.xml": "", "word/vbaProject.bin": "Sub"}
)
MACRO_KIND = files.package(
    {"[Content_Types].xml": files.index("application/vnd.ms-word.document.macroEnabled.main+xml")}
)
CLIMBING = files.package(
    {"[Content_Types].xml": files.index(files.LETTER), "word/document.xml": "", "../../etc/cron.d/x": ""}
)
BOMB = files.package(
    {
        "[Content_Types].xml": files.index(files.SHEET),
        "xl/workbook.xml": "",
        **{f"xl/{part}": "0" * 20_000_000 for part in range(6)},
    }
)
REFUSED: dict[str, tuple[str, str, bytes, str]] = {
    # story: name, what it was sent as, its bytes, the code of the refusal
    "an empty file": ("plan.pdf", "application/pdf", b"", "file_empty"),
    "one byte too many": ("notes.txt", "text/plain", b"a" * (LARGEST + 1), "file_too_large"),
    "a program": ("setup.exe", "application/octet-stream", b"MZ", "kind_not_taken"),
    "a page": ("page.html", "text/html", MARKUP, "kind_not_taken"),
    "a drawing that can run scripts": ("logo.svg", "image/svg+xml", SVG, "kind_not_taken"),
    "a name without a kind": ("README", "text/plain", files.TXT, "kind_not_taken"),
    "a kind only before the last dot": ("plan.pdf.html", "application/pdf", files.PDF, "kind_not_taken"),
    "macros by their name": ("letter.docm", "", files.DOCX, "kind_not_taken"),
    "a page sent as text": ("notes.txt", "text/html", files.TXT, "kind_declared_otherwise"),
    "a picture sent as a PDF": ("chart.png", "application/pdf", files.PNG, "kind_declared_otherwise"),
    "a page named PDF": ("plan.pdf", "application/pdf", MARKUP, "kind_mismatch"),
    "a picture named PDF": ("plan.pdf", "application/pdf", files.PNG, "kind_mismatch"),
    "a JPEG named PNG": ("chart.png", "image/png", files.JPEG, "kind_mismatch"),
    "a PNG named JPEG": ("desk.jpg", "image/jpeg", files.PNG, "kind_mismatch"),
    "text named Excel": ("costs.xlsx", "", files.CSV, "kind_mismatch"),
    "a PDF after a page": ("plan.pdf", "application/pdf", MARKUP + files.PDF, "kind_mismatch"),
    "a plain archive named Word": ("letter.docx", "", ZIP, "kind_mismatch"),
    "Excel named Word": ("letter.docx", "", files.XLSX, "kind_mismatch"),
    "Word named Excel": ("costs.xlsx", "", files.DOCX, "kind_mismatch"),
    "bytes named text": ("notes.txt", "text/plain", b"\xff\xfe\x00\x01", "kind_mismatch"),
    "control characters in text": ("notes.md", "text/plain", b"a\x00b", "kind_mismatch"),
    "no table at all": ("calls.csv", "text/csv", b"\n\n", "kind_mismatch"),
    "an archive behind a PDF": ("plan.pdf", "application/pdf", files.PDF + ZIP, "file_two_kinds"),
    "a page behind a PDF": ("plan.pdf", "application/pdf", files.PDF + MARKUP, "file_two_kinds"),
    "a page at the head of a PDF": ("plan.pdf", "", b"%PDF-1.4\n" + MARKUP + files.PDF, "file_two_kinds"),
    "an archive behind a picture": ("chart.png", "image/png", files.PNG + ZIP, "file_two_kinds"),
    "a script inside a picture": (
        "chart.png",
        "image/png",
        files.PNG[:33] + files.chunk(b"tEXt", b"Title\x00<script>alert(1)</script>") + files.PNG[33:],
        "file_two_kinds",
    ),
    "an archive behind a JPEG": ("desk.jpg", "image/jpeg", files.JPEG + ZIP, "file_two_kinds"),
    "something behind a JPEG": ("desk.jpg", "image/jpeg", files.JPEG + b"more", "file_two_kinds"),
    "a PDF inside text": ("notes.txt", "text/plain", b"see\n%PDF-1.4\n", "file_two_kinds"),
    "Word and Excel at once": ("costs.xlsx", "", BOTH, "file_two_kinds"),
    "something before the archive": ("letter.docx", "", b"PK\x03\x04junk" + files.DOCX, "file_two_kinds"),
    "something behind the archive": ("letter.docx", "", files.DOCX + b"\n<html>", "file_two_kinds"),
    "a page named text": ("notes.txt", "text/plain", MARKUP, "file_active"),
    "a drawing named Markdown": ("notes.md", "text/markdown", SVG, "file_active"),
    "a script in a table": ("calls.csv", "text/csv", b"name\n< ScRiPt>alert(1)</script>\n", "file_active"),
    "XML named text": ("notes.txt", "text/plain", b'<?xml version="1.0"?><a/>', "file_active"),
    "a PDF with a script": (
        "plan.pdf",
        "application/pdf",
        files.PDF.replace(b"/Catalog", b"/Catalog /OpenAction << /S /JavaScript >>"),
        "file_active",
    ),
    "a letter with macros": ("letter.docx", "", MACROS, "file_active"),
    "a letter that says it has macros": ("letter.docx", "", MACRO_KIND, "file_active"),
    "a PDF without an end": ("plan.pdf", "application/pdf", files.PDF[:-7], "file_damaged"),
    "half a picture": ("chart.png", "image/png", files.PNG[:-20], "file_damaged"),
    "a picture with another sum": ("chart.png", "image/png", files.PNG[:-13] + b"!" + files.PNG[-12:], "file_damaged"),
    "half a JPEG": ("desk.jpg", "image/jpeg", files.JPEG[:-2], "file_damaged"),
    "half an archive": ("letter.docx", "", files.DOCX[:-30], "file_damaged"),
    "parts that climb out": ("letter.docx", "", CLIMBING, "file_damaged"),
    "a bomb": ("costs.xlsx", "", BOMB, "file_too_large"),
}


@pytest.mark.parametrize("story", REFUSED)
def test_what_is_not_plainly_one_kind_is_refused(story: str) -> None:
    name, declared, content, code = REFUSED[story]

    with pytest.raises(Refused) as refused:
        file_check(name=name, declared=declared, content=content)

    assert (refused.value.code, refused.value.field) == (code, "file")


def test_a_refused_file_is_named_beside_the_field_and_nothing_is_kept(stage: Stage, company: Company) -> None:
    pitch, ana = stage.pitch(), company.client(company.ana)

    answer = send(ana, pitch, "plan.pdf", MARKUP, "application/pdf")

    assert answer.status_code == 422
    assert error_beside(answer, "file") == "plan.pdf is not PDF, whatever its name says."
    assert error_beside(ana.post(of("attachments/", pitch)), "file") == "Choose a file first."
    assert not Attachment.objects.exists()


def test_a_file_of_exactly_five_megabytes_is_taken() -> None:
    assert len(file_check(name="notes.txt", declared="text/plain", content=b"a" * LARGEST).content) == LARGEST


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("C:\\Users\\Ana\\Plan 2027.PDF", "Plan 2027.pdf"),
        ("../../etc/passwd.txt", "passwd.txt"),
        ("a\r\nSet-Cookie: x=1.txt", "a Set-Cookie_ x=1.txt"),
        ("\u202efdp.exe.txt", "fdp.exe.txt"),
        ("  .hidden.txt", "hidden.txt"),
        ('"quoted" <b>.md', "_quoted_ _b_.md"),
        ("con.txt", "_con.txt"),
        (".txt", "txt"),
        ("Kosten für März.csv", "Kosten für März.csv"),
        ("x" * 300 + ".csv", "x" * 96 + ".csv"),
    ],
)
def test_names_are_cleaned(typed: str, kept: str) -> None:
    assert name_clean(typed) == kept


@given(st.text(max_size=300))
def test_a_cleaned_name_is_plain_short_and_stays_as_it_is(typed: str) -> None:
    name = name_clean(typed)

    assert 1 <= len(name) <= LONGEST_NAME
    assert not set(name) & set('/\\:*?"<>|\x00\r\n')
    assert name_clean(name) == name


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/pitches/7/attachments/", 16 * 1024 * 1024),
        ("/api/v1/pitches/7/attachments/", 16 * 1024 * 1024),
        ("/pitches/7/attachments/9/remove/", 2 * 1024 * 1024),
        ("/pitches/7/edit/", 2 * 1024 * 1024),
        ("/evil/pitches/7/attachments/", 2 * 1024 * 1024),
    ],
)
def test_only_where_files_are_sent_a_request_may_be_large(path: str, most: int) -> None:
    assert most_bytes(path) == most
    assert LARGEST < 16 * 1024 * 1024


# --- Adding and taking away ---------------------------------------------------------------------


def test_a_file_is_attached_beside_the_form_and_the_part_of_the_page_says_so(stage: Stage, company: Company) -> None:
    pitch, ana = stage.pitch(), company.client(company.ana)

    part = send(ana, pitch, "notes.txt", files.TXT, "text/plain", headers={"hx-request": "true"})

    assert part.status_code == 200
    assert page_of(part).one(id="attachments-said").text == "notes.txt is attached."
    wrong = send(ana, pitch, "notes.txt", MARKUP, "text/plain", headers={"hx-request": "true"})
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
    wrong = ana.post(path, {"file": SimpleUploadedFile("plan.pdf", MARKUP, "application/pdf")})
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
