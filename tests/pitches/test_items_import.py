"""Line items from a CSV file: every problem with its line and column, and all of it or nothing."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from hypothesis import given
from hypothesis import strategies as st

from pitches import services
from pitches.forms.pitch import PitchDraft, rows_typed
from pitches.forms.sheet import COLUMNS, MOST_BYTES, TEMPLATE, Problem, sheet_read
from pitches.models import Pitch
from tests.cast import Company
from tests.pages import assert_readable, error_beside, page_of, rows
from tests.pages import typed as stands_in
from tests.pitches.stage import Stage, of, typed

HEADER = ",".join(COLUMNS)
SORT = "Sort,standard,1000,500,1500,4500,3000,150,20,measured"
DRAFT = "Draft,economy,2000,,,800,,90,,"


def problems(text: str) -> list[tuple[int, str, str]]:
    return [(problem.line, problem.column, problem.message) for problem in sheet_read(text).problems]


def test_the_template_can_be_imported_as_it_is() -> None:
    sheet = sheet_read(TEMPLATE)

    assert sheet.is_good
    assert [*sheet.rows[0]] == list(COLUMNS)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_spreadsheets_write_it_in_more_than_one_way(separator: str, end: str, mark: str) -> None:
    text = mark + end.join([HEADER, SORT, "", DRAFT, ""]).replace(",", separator)

    sheet = sheet_read(text)

    assert sheet.problems == []
    assert [row["workflow"] for row in sheet.rows] == ["Sort", "Draft"]
    assert sheet.rows[1] == {
        "workflow": "Draft",
        "tier": "economy",
        "calls_target": "2000",
        "input_tokens": "800",
        "output_tokens": "90",
    }


def test_columns_come_in_any_order_and_those_that_may_be_blank_may_be_missing() -> None:
    sheet = sheet_read(
        'Tier,workflow,input_tokens,output_tokens,calls_target\nStandard,"Sort, then draft",10,20,"1,000"'
    )

    assert sheet.problems == []
    assert sheet.rows == [
        {
            "tier": "standard",
            "workflow": "Sort, then draft",
            "input_tokens": "10",
            "output_tokens": "20",
            "calls_target": "1,000",
        }
    ]


def test_every_problem_is_told_with_its_line_and_column() -> None:
    text = "\n".join(
        [
            HEADER,
            SORT,
            ",platinum,1000,2000,,4500,5000,150,101,rumour",
            "",
            '"On two\nlines",standard,1.5,,,10,,20,,',
            "Short,standard,1000",
        ]
    )

    assert problems(text) == [
        (3, "workflow", "This field is required."),
        (3, "tier", "Select a valid choice. platinum is not one of the available choices."),
        (3, "calls_min", "More than the target."),
        (3, "cached_tokens", "More than goes in."),
        (3, "batch_percent", "Between 0 and 100."),
        (3, "evidence", "Select a valid choice. rumour is not one of the available choices."),
        (5, "calls_target", "Write a whole number such as 20000 or 20,000."),
        (7, "", "3 cells under 10 columns."),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [(1, "", "There is nothing in it.")]),
        (HEADER, [(1, "", "There are no rows under the header.")]),
        (
            "workflow,tier,calls_target,input_tokens,price,tier\n",
            [
                (1, "output_tokens", "This column is missing."),
                (1, "price", "There is no such column."),
                (1, "tier", "This column is there twice."),
            ],
        ),
        ("x" * (MOST_BYTES + 1), [(1, "", "More than 100,000 bytes.")]),
        ("\n".join([HEADER, *[SORT] * 41]), [(1, "", "41 rows; a pitch has at most 40.")]),
        (f'{HEADER}\n"Sort', [(2, "", "This line cannot be read: unexpected end of data.")]),
    ],
)
def test_a_file_that_cannot_be_one_is_told_what_is_wrong(text: str, found: list[tuple[int, str, str]]) -> None:
    assert problems(text) == found


@given(st.text(max_size=300))
def test_whatever_a_file_says_it_is_read_and_good_or_its_problems_are_told(text: str) -> None:
    for whole in (text, f"{HEADER}\n{text}"):
        sheet = sheet_read(whole)
        assert sheet.is_good or sheet.problems
        assert all(isinstance(problem, Problem) and problem.line >= 1 for problem in sheet.problems)


def begun(stage: Stage) -> Pitch:
    pitch = stage.pitch()
    return services.draft_save(actor=stage.company.ana, pitch=pitch, typed=typed(stage.company.kim), version=0)


def send(company: Company, pitch: Pitch, text: str = "", **more: object):  # type: ignore[no-untyped-def]
    data = {"text": text, "mode": "replace", "version": str(pitch.draft_version), "intent": "import", **more}
    return company.client(company.ana).post(of("items/import/", pitch), data)


def workflows(pitch: Pitch) -> list[str]:
    pitch.refresh_from_db()
    return [row["workflow"] for row in rows_typed(pitch.draft, "items")]


@pytest.mark.django_db
def test_a_file_is_checked_first_and_changes_nothing(stage: Stage, company: Company) -> None:
    pitch = begun(stage)

    answer = send(company, pitch, f"{HEADER}\n{SORT}\n{DRAFT}", intent="check")

    assert answer.status_code == 200
    assert_readable(answer)
    assert [row[0] for row in rows(answer, "Rows, table")] == ["Sort", "Draft"]
    assert "Import 2 workflows" in page_of(answer).one("main").text
    assert workflows(pitch) == ["Triage"]


@pytest.mark.django_db
@pytest.mark.parametrize(("mode", "after"), [("replace", ["Sort", "Draft"]), ("append", ["Triage", "Sort", "Draft"])])
def test_a_good_file_replaces_the_rows_or_joins_them(
    stage: Stage, company: Company, mode: str, after: list[str]
) -> None:
    pitch = begun(stage)

    answer = send(company, pitch, f"{HEADER}\n{SORT}\n{DRAFT}", mode=mode)

    assert answer["Location"] == of("edit/#items", pitch)
    assert workflows(pitch) == after
    draft = PitchDraft(pitch.draft, pitch)
    assert draft.is_valid()
    assert draft.content().items[-2].evidence == "measured"


@pytest.mark.django_db
def test_one_bad_cell_and_nothing_is_imported(stage: Stage, company: Company) -> None:
    pitch = begun(stage)
    text = f"{HEADER}\n{SORT}\n{DRAFT.replace('2000', 'many')}"

    answer = send(company, pitch, text)

    assert answer.status_code == 422
    assert_readable(answer)
    assert rows(answer, "Problems, table") == [["3", "calls_target", "Write a whole number such as 20000 or 20,000."]]
    assert stands_in(answer, "text") == " ".join(text.split())
    assert workflows(pitch) == ["Triage"]


@pytest.mark.django_db
def test_a_file_is_uploaded_checked_and_still_there_to_be_imported(stage: Stage, company: Company) -> None:
    pitch = begun(stage)
    file = SimpleUploadedFile("rows.csv", f"\ufeff{HEADER}\r\n{SORT}\r\n".encode(), "text/csv")

    checked = send(company, pitch, file=file, intent="check")
    assert checked.status_code == 200
    text = page_of(checked).one("textarea").pieces[0]
    assert isinstance(text, str)
    assert send(company, pitch, text).status_code == 302

    assert workflows(pitch) == ["Sort"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00x", "Save the file as CSV in UTF-8."),
        (b"x" * (MOST_BYTES + 1), "A file has at most 100,000 bytes."),
    ],
)
def test_a_file_that_is_no_text_or_too_large_is_refused(
    stage: Stage, company: Company, content: bytes, message: str
) -> None:
    answer = send(company, begun(stage), file=SimpleUploadedFile("rows.csv", content))

    assert (answer.status_code, error_beside(answer, "file")) == (422, message)


@pytest.mark.django_db
def test_nothing_at_all_is_refused_beside_the_field(stage: Stage, company: Company) -> None:
    assert error_beside(send(company, begun(stage)), "text") == "Choose a file or paste its lines."


@pytest.mark.django_db
def test_rows_that_join_others_stay_within_forty(stage: Stage, company: Company) -> None:
    pitch = begun(stage)

    answer = send(company, pitch, "\n".join([HEADER, *[SORT] * 40]), mode="append")

    assert answer.status_code == 422
    assert "A pitch has at most 40 workflows; 1 are there." in page_of(answer).one("main").text
    assert workflows(pitch) == ["Triage"]


@pytest.mark.django_db
def test_an_import_overwrites_nothing_that_was_saved_meanwhile(stage: Stage, company: Company) -> None:
    pitch = begun(stage)

    answer = send(company, pitch, f"{HEADER}\n{SORT}", version="0")

    assert answer.status_code == 422
    assert "Somebody else saved this draft meanwhile" in page_of(answer).one("main").text
    assert workflows(pitch) == ["Triage"]


@pytest.mark.django_db
def test_the_template_is_a_download_for_those_who_write_the_pitch(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()

    answer = company.client(company.bo).get(of("items/template.csv", pitch))

    assert answer.content.decode() == TEMPLATE
    assert answer["Content-Disposition"] == 'attachment; filename="workflows.csv"'
    for path in ("items/template.csv", "items/import/", "items/estimate/", "items/from-key/"):
        assert company.client(company.cy).get(of(path, pitch)).status_code == 404
        assert company.client(company.ana).get(of(path, stage.submitted("Sent"))).status_code == 404
