"""Tokens estimated from a sample: a range and never a promise, and a row of the form when it is used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocations.metering.measure import text_tokens
from pitches import services
from pitches.estimating import CACHED_FROM, Script, Tokens, call_estimate, script_of, tokens_in
from pitches.forms.pitch import PitchDraft, rows_typed
from pitches.models import Pitch
from tests.cast import Company
from tests.pages import assert_readable, error_beside, page_of
from tests.pages import typed as stands_in
from tests.pitches.stage import Stage, of, typed

SAMPLE = "x" * 1000


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", Tokens(0, 0, 0)),
        # A thousand characters: a quarter to four tenths of a token each.
        (SAMPLE, Tokens(220, 280, 400)),
        ("請" * 100, Tokens(50, 80, 150)),
        ("ж" * 100, Tokens(25, 50, 150)),
        ("é" * 100 + "請" * 10, Tokens(27, 36, 55)),
        # No more tokens than bytes, however rare the letter.
        ("ж", Tokens(1, 1, 2)),
        ("a", Tokens(1, 1, 1)),
    ],
)
def test_tokens_are_counted_by_the_characters_of_each_script(text: str, tokens: Tokens) -> None:
    assert tokens_in(text) == tokens


@pytest.mark.parametrize(
    ("character", "script"),
    [
        ("a", Script.LATIN),
        ("ß", Script.LATIN),
        ("ế", Script.LATIN),
        ("—", Script.LATIN),
        ("か", Script.EAST_ASIAN),
        ("한", Script.EAST_ASIAN),
        ("𠀀", Script.EAST_ASIAN),
        ("ж", Script.OTHER),
        ("ع", Script.OTHER),
        ("न", Script.OTHER),
        ("🦦", Script.OTHER),
    ],
)
def test_every_character_belongs_to_a_script(character: str, script: Script) -> None:
    assert script_of(character) is script


@given(st.text(min_size=1, max_size=300))
def test_an_estimate_is_a_range_within_what_no_model_can_exceed(text: str) -> None:
    found = tokens_in(text)

    assert 1 <= found.low <= found.expected <= found.high <= text_tokens(text)


@given(st.text(max_size=200), st.text(max_size=200))
def test_more_text_is_never_fewer_tokens(text: str, more: str) -> None:
    assert tokens_in(text + more).expected >= tokens_in(text).expected


def test_what_stands_before_every_prompt_is_cached_once_it_is_long_enough() -> None:
    long = call_estimate(fixed="x" * 4 * CACHED_FROM, prompt=SAMPLE, answer="yes")
    short = call_estimate(fixed=SAMPLE, prompt=SAMPLE, answer="yes")

    assert (long.cached.expected, long.input.expected) == (1147, 1427)
    assert (short.cached, short.input.expected) == (Tokens(0, 0, 0), 560)


def begun(stage: Stage) -> Pitch:
    pitch = stage.pitch()
    return services.draft_save(actor=stage.company.ana, pitch=pitch, typed=typed(stage.company.kim), version=0)


def send(company: Company, pitch: Pitch, *, part: bool = False, **changes: str):  # type: ignore[no-untyped-def]
    data = {
        "workflow": "Sort",
        "tier": "standard",
        "calls_target": "10,000",
        "prompt": SAMPLE,
        "answer": "x" * 100,
        "version": str(pitch.draft_version),
        "intent": "estimate",
    }
    headers = {"HX-Request": "true"} if part else {}
    return company.client(company.ana).post(of("items/estimate/", pitch), data | changes, headers=headers)


@pytest.mark.django_db
@pytest.mark.parametrize("part", [False, True])
def test_an_estimate_is_shown_with_and_without_a_reload(stage: Stage, company: Company, part: bool) -> None:
    answer = send(company, begun(stage), part=part)

    table = page_of(answer).one("section", id="estimate").one("table")
    # 280 tokens in at 2 dollars and 28 out at 10 dollars a million: 0.00084 dollars a call.
    assert [[cell.text for cell in row.children] for row in table.all("tr")] == [
        ["", "Low", "Expected", "High"],
        ["In", "220", "280", "400"],
        ["of that cached", "0", "0", "0"],
        ["Out", "22", "28", "40"],
        ["USD a month", "$6.60", "$8.40", "$12.00"],
    ]
    assert (b"<h1" in answer.content) is not part
    if not part:
        assert_readable(answer)
        assert stands_in(answer, "prompt") == SAMPLE


@pytest.mark.django_db
def test_it_fills_a_row_and_keeps_nothing_of_the_sample(stage: Stage, company: Company) -> None:
    pitch = begun(stage)

    answer = send(company, pitch, intent="use")

    assert answer["Location"] == of("edit/#items", pitch)
    pitch.refresh_from_db()
    assert rows_typed(pitch.draft, "items")[1] == {
        "workflow": "Sort",
        "tier": "standard",
        "calls_target": "10000",
        "input_tokens": "280",
        "cached_tokens": "0",
        "output_tokens": "28",
        "evidence": "guess",
    }
    assert SAMPLE not in str(pitch.draft)
    assert PitchDraft(pitch.draft, pitch).is_valid()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("prompt", "", "This field is required."),
        ("calls_target", "many", "Write a whole number such as 20000 or 20,000."),
        ("tier", "platinum", "Select a valid choice. platinum is not one of the available choices."),
        ("answer", "x" * 200_001, "Ensure this value has at most 200000 characters (it has 200001)."),
    ],
)
def test_what_is_wrong_stands_beside_its_field(
    stage: Stage, company: Company, field: str, value: str, message: str
) -> None:
    changes = {field: value}

    answer = send(company, begun(stage), part=False, **changes)

    assert (answer.status_code, error_beside(answer, field)) == (422, message)
    assert stands_in(answer, "workflow") == "Sort"


@pytest.mark.django_db
def test_a_row_overwrites_nothing_that_was_saved_meanwhile(stage: Stage, company: Company) -> None:
    answer = send(company, begun(stage), intent="use", version="0")

    assert answer.status_code == 422
    assert "Somebody else saved this draft meanwhile" in page_of(answer).one("main").text
