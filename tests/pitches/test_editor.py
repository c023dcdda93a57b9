"""The pitch form: saved as it is typed, priced as it is typed, and nothing typed is ever lost."""

import pytest
from django.test import Client

from ledger.selectors import rate_card_version
from pitches import services
from pitches.models import Pitch, PitchRevision
from tests.cast import Company
from tests.pages import Element, assert_readable, error_beside, page_of
from tests.pages import typed as stands_in
from tests.pitches.stage import Stage, of, queries_of, typed

pytestmark = pytest.mark.django_db

HOSTILE = '"><script>alert(1)</script>\u202e{{ 7*7 }}{% now %}'


def test_a_pitch_is_begun_for_an_own_team_in_an_open_round(stage: Stage, company: Company) -> None:
    ana = company.client(company.ana)

    answer = ana.post("/pitches/new/", {"title": "Letters", "team": company.claims.pk, "round": stage.round.pk})

    pitch = Pitch.objects.get()
    assert (answer["Location"], pitch.title, pitch.owner) == (of("edit/", pitch), "Letters", company.ana)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("title", "", "This field is required."),
        ("title", "x" * 121, "Ensure this value has at most 120 characters (it has 121)."),
        ("team", "fraud", "Select a valid choice."),
        ("team", "'; DROP TABLE", "Select a valid choice."),
        ("round", "999999", "Select a valid choice."),
    ],
)
def test_what_is_wrong_with_a_new_pitch_stands_beside_the_field(
    stage: Stage, company: Company, field: str, value: str, message: str
) -> None:
    posted = {"title": "Letters", "team": company.claims.pk, "round": stage.round.pk}
    posted[field] = company.fraud.pk if value == "fraud" else value

    answer = company.client(company.ana).post("/pitches/new/", posted)

    assert answer.status_code == 422
    assert error_beside(answer, field).startswith(message)
    assert Pitch.objects.count() == 0


def autosave(client: Client, pitch: Pitch, version: int, **fields: str) -> Element:
    data = {**typed(pitch.owner), **fields, "version": str(version)}
    answer = client.post(of("draft/", pitch), data, headers={"HX-Request": "true"})
    assert answer.status_code == 200
    return page_of(answer)


def test_typing_saves_the_draft_and_shows_the_quote_without_a_reload(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()

    answer = autosave(company.client(company.ana), pitch, 0, value_p50="about 40k")

    pitch.refresh_from_db()
    assert (pitch.draft_version, pitch.draft["value_p50"]) == (1, "about 40k")
    assert answer.one("input", id="version").attrs["value"] == "1"
    quote = answer.one("section", id="quote")
    assert quote.one("div", class_="big").text == "$2,400.00"
    table = [[cell.text for cell in row.children] for row in quote.all("table")[0].all("tr")]
    assert table == [
        ["Tier", "Low", "Expected", "High"],
        ["Frontier", "$2,000", "$2,000", "$2,000"],
        ["Standard", "$400", "$400", "$400"],
        ["Economy", "$90.00", "$90.00", "$90.00"],
        ["Batch", "$200", "$200", "$200"],
        ["As asked", "$400", "$400", "$400"],
    ]


def test_the_quote_names_the_rate_card_that_it_was_made_with(stage: Stage, company: Company) -> None:
    answer = autosave(company.client(company.ana), stage.pitch(), 0)

    assert f"rate card {rate_card_version()}" in answer.one("section", id="quote").text


def test_a_row_that_is_not_complete_is_not_priced_and_the_others_are(stage: Stage, company: Company) -> None:
    more = {"items-TOTAL_FORMS": "2", "items-1-workflow": "Letters", "items-1-calls_target": "1,00"}

    quote = autosave(company.client(company.ana), stage.pitch(), 0, **more).one("section", id="quote")

    assert quote.one("div", class_="big").text == "$2,400.00"
    assert "1 workflow cannot be priced yet" in quote.text


def test_the_progress_counts_what_is_missing_or_wrong(stage: Stage, company: Company) -> None:
    answer = autosave(company.client(company.ana), stage.pitch(), 0, value_p50="about 40k", problem="", latency="")

    assert [line.text for line in answer.one("section", id="progress").all("li")] == [
        "Use case 1 to go",
        "People complete",
        "Value 1 to go",
        "Work 1 to go",
        "Proof complete",
        "Data complete",
    ]


def test_a_second_writer_is_told_and_overwrites_nothing(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()
    autosave(company.client(company.ana), pitch, 0, problem="Hers")

    answer = autosave(company.client(company.bo), pitch, 0, problem="His")

    assert answer.one("span", id="saved").text.startswith("Not saved. Somebody else saved this draft meanwhile.")
    assert answer.all("input", id="version") == []
    pitch.refresh_from_db()
    assert pitch.draft["problem"] == "Hers"


def test_a_second_writer_who_submits_keeps_everything_that_was_typed(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()
    autosave(company.client(company.bo), pitch, 0, problem="His")

    answer = company.client(company.ana).post(
        of("edit/", pitch), {**typed(company.kim), "problem": "Hers", "version": "0", "intent": "submit"}
    )

    assert answer.status_code == 422
    assert "Somebody else saved this draft meanwhile" in page_of(answer).one("main").text
    assert stands_in(answer, "problem") == "Hers"
    assert_readable(answer)


def test_the_form_comes_back_as_it_was_left_with_wrong_things_marked_and_empty_ones_not(
    stage: Stage, company: Company
) -> None:
    pitch = stage.pitch()
    autosave(
        company.client(company.ana), pitch, 0, value_p50="about 40k", problem="", **{"items-0-input_tokens": "1.5"}
    )

    answer = company.client(company.bo).get(of("edit/", pitch))

    assert stands_in(answer, "value_p50") == "about 40k"
    assert error_beside(answer, "value_p50") == "Write dollars such as 1200000, 1,200,000 or 49.50."
    assert error_beside(answer, "items-0-input_tokens") == "Write a whole number such as 20000 or 20,000."
    problem = next(one for one in page_of(answer).all("textarea") if one.attrs["name"] == "problem")
    assert "aria-invalid" not in problem.attrs
    assert_readable(answer)


def test_rows_are_added_and_removed_and_nothing_else_changes(stage: Stage, company: Company) -> None:
    pitch, ana = stage.pitch(), company.client(company.ana)
    data = {**typed(company.kim), "items-0-calls_target": "wrong"}

    added = ana.post(of("edit/", pitch), {**data, "version": "0", "intent": "add-items"})
    assert added["Location"] == of("edit/#items", pitch)
    pitch.refresh_from_db()
    two = {**pitch.draft, "items-1-workflow": "Second", "items-1-calls_target": "7"}
    removed = ana.post(
        of("edit/", pitch), {**two, "version": "1", "intent": "remove-items-0"}, headers={"HX-Request": "true"}
    )

    assert [
        one.attrs["value"] for one in page_of(removed).all("input") if one.attrs.get("name") == "items-0-workflow"
    ] == ["Second"]
    pitch.refresh_from_db()
    assert (pitch.draft["items-TOTAL_FORMS"], pitch.draft["items-0-calls_target"]) == ("1", "7")
    assert pitch.draft["problem"] == data["problem"]


@pytest.mark.parametrize("count", ["-1", "0", "99999", "1e3", "<b>", ""])
def test_the_number_of_rows_is_bounded_whatever_is_sent(stage: Stage, company: Company, count: str) -> None:
    pitch = stage.pitch()

    autosave(company.client(company.ana), pitch, 0, **{"items-TOTAL_FORMS": count})

    pitch.refresh_from_db()
    assert 1 <= int(pitch.draft["items-TOTAL_FORMS"]) <= 40


def test_fields_that_the_form_does_not_have_are_not_kept(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()

    autosave(company.client(company.ana), pitch, 0, state="funded", owner_id="1", **{"items-0-price": "0"})

    pitch.refresh_from_db()
    assert not {"state", "owner_id", "items-0-price", "version"} & set(pitch.draft)
    assert (pitch.state, pitch.owner) == ("draft", company.ana)


def submit(company: Company, pitch: Pitch, **changes: str):  # type: ignore[no-untyped-def]
    data = {**typed(company.kim), **changes, "version": str(pitch.draft_version), "intent": "submit"}
    return company.client(company.ana).post(of("edit/", pitch), data)


def test_submitting_leads_to_the_pitch_with_its_first_revision(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()

    answer = submit(company, pitch)

    assert answer["Location"] == of("", pitch)
    revision = PitchRevision.objects.get()
    assert (revision.number, str(revision.value_p50), revision.sign_off) == (1, "50000", company.kim)
    item = revision.line_items.get()
    assert (item.calls_min, item.calls_target, item.calls_stretch, item.cached_tokens) == (50_000, 100_000, 200_000, 0)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("title", "", "This field is required."),
        ("summary", "x" * 4001, "Ensure this value has at most 4000 characters (it has 4001)."),
        ("value_p50", "1.200,50", "Write dollars such as 1200000, 1,200,000 or 49.50."),
        ("value_p50", "-5", "Write dollars such as"),
        ("value_p50", "0", "A pitch is worth something."),
        ("value_p10", "60000", "More than the expected value."),
        ("value_p90", "10", "Less than the expected value."),
        ("value_kind", "bribe", "Select a valid choice."),
        ("sign_off", "nobody@acorn.example", "Nobody in Tank has this address."),
        ("sign_off", "system@tank.invalid", "Nobody in Tank has this address."),
        ("sign_off", "ana@acorn.example", "Somebody else than owner and submitter signs off the value."),
        ("data_class", "", "This field is required."),
        ("compliance-checked", "", "This field is required."),
        ("items-0-tier", "platinum", "Select a valid choice."),
        ("items-0-calls_target", "0", "Between 1 and 100,000,000."),
        ("items-0-calls_min", "100001", "More than the target."),
        ("items-0-calls_stretch", "9", "Less than the target."),
        ("items-0-cached_tokens", "1001", "More than goes in."),
        ("items-0-batch_percent", "101", "Between 0 and 100."),
        ("milestones-0-due_on", "soon", "Enter a valid date."),
        ("milestones-0-title", "", "This field is required."),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_everything_typed_is_kept(
    stage: Stage, company: Company, field: str, value: str, message: str
) -> None:
    pitch = stage.pitch()

    answer = submit(company, pitch, **{field: value})

    assert answer.status_code == 422
    assert error_beside(answer, field).startswith(message)
    assert stands_in(answer, "problem") == "Two people read every claim first."
    assert PitchRevision.objects.count() == 0
    pitch.refresh_from_db()
    assert (pitch.state, pitch.draft.get(field, "")) == ("draft", value)
    assert_readable(answer)


def test_a_no_is_explained(stage: Stage, company: Company) -> None:
    answer = submit(company, stage.pitch(), **{"compliance-checked": "no"})

    assert error_beside(answer, "compliance_note") == "Explain the answer no."


def test_a_member_writes_and_a_lead_submits(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()
    bo = company.client(company.bo)

    page = bo.get(of("edit/", pitch))
    assert "A lead of the team submits it: Ana Example." in page_of(page).one("main").text
    answer = bo.post(of("edit/", pitch), {**typed(company.kim), "version": "0", "intent": "submit"})

    assert answer.status_code == 422
    assert "Only a lead of the team submits its pitches." in page_of(answer).one("main").text
    pitch.refresh_from_db()
    assert (pitch.state, pitch.draft["problem"]) == ("draft", "Two people read every claim first.")


@pytest.mark.parametrize("path", ["", "edit/", "revisions/1/"])
def test_hostile_text_is_shown_and_does_nothing(stage: Stage, company: Company, path: str) -> None:
    pitch = stage.pitch()
    for field in ("title", "summary", "problem", "value_metric", "value_method", "quality_bar"):
        assert submit(company, pitch, **{field: HOSTILE}).status_code in {302, 422}
    pitch = stage.submitted(HOSTILE, summary=HOSTILE, problem=HOSTILE, quality_bar=HOSTILE)
    stage.peek(company.dee, pitch)
    services.pitch_return(actor=company.dee, pitch=pitch, note=HOSTILE)

    answer = company.client(company.ana).get(of(path, pitch))

    assert answer.status_code == 200
    assert_readable(answer)
    assert HOSTILE in answer.content.decode().replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">")
    assert b"<script>alert" not in answer.content
    assert "49" not in page_of(answer).one("h1").text


def test_a_form_with_three_rows_asks_as_often_as_one_with_one(stage: Stage, company: Company) -> None:
    pitch, client = stage.pitch(), company.client(company.ana)
    services.draft_save(actor=company.ana, pitch=pitch, typed=typed(company.kim), version=0)
    before = queries_of(client, of("edit/", pitch))
    more = {
        f"items-{place}-{name.split('-')[-1]}": text
        for place in (1, 2)
        for name, text in typed(company.kim).items()
        if name.startswith("items-0")
    }
    services.draft_save(
        actor=company.ana,
        pitch=pitch,
        typed={**typed(company.kim), **more, "items-TOTAL_FORMS": "3"},
        version=1,
    )

    assert queries_of(client, of("edit/", pitch)) == before
